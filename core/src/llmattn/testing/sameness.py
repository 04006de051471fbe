"""Checks that a score depends on its row alone: not on neighbours, order, memory, or the future."""

from __future__ import annotations

import itertools

import numpy as np

from llmattn.feeds.windows import window_rows
from llmattn.providers.protocol import Limits
from llmattn.rows import Row, Scope, prefix_rows
from llmattn.scoring.planner import merge_rows
from llmattn.testing.findings import fail
from llmattn.testing.material import (
    FUTURES,
    TWINS,
    crowd,
    last_row,
    long_row,
    positions,
    random_rows,
    rows_of,
    together,
)
from llmattn.testing.subject import Subject

__all__ = [
    "check_at_once",
    "check_earlier_texts",
    "check_future",
    "check_large_requests",
    "check_neighbours",
    "check_random_rows",
    "check_replies",
]


def check_replies(subject: Subject) -> None:
    """Each row alone, a text from its beginning: what comes is what everything else is held
    against. Scores are known.
    """
    unknown = np.zeros(len(subject.make().channels))
    total = 0
    for text in subject.texts():
        rows = rows_of(subject.scope, text)
        requests = [request for row in rows for request in subject.packed([row])]
        provider = subject.new()
        answers = subject.ask(requests, provider=provider)
        subject.learn(requests, answers)
        for scores in itertools.chain.from_iterable(answers):
            unknown += np.isnan(scores).sum(axis=1)
            total += scores.shape[1]
    for name, share in zip(subject.make().channels, unknown / total, strict=True):
        if share > 0.5:
            fail(
                f"{total} scores were asked",
                f"{share:.0%} are NaN in channel {name!r}",
                "scores: NaN stands for the few that are not known, and is asked for again",
                "what-a-reply-must-be",
            )


def check_unused(subject: Subject) -> None:
    """A provider that was asked for nothing can be closed."""
    subject.ask([])


def check_large_requests(subject: Subject) -> None:
    """As many rows and keys as ``limits`` allow, each the same as in a small request."""
    limits, scope = subject.make().limits, subject.scope
    many = crowd(limits, scope)
    large = [many]
    if scope is Scope.PAIR:
        large.append([long_row(limits)])
    answers = subject.ask(large)
    subject.learn(large, answers)
    picked = [*many[::17], *many[-2:]]
    small = [[row] for row in picked]
    if scope is Scope.PAIR:
        row = large[1][0]
        size = min(40, limits.keys_per_row)
        cuts = range(0, len(row.keys), size)
        small += [[Row(row.query, row.keys[cut : cut + size])] for cut in cuts]
    subject.compare(
        small, subject.ask(small), "Rows of a large request were asked without the others"
    )


def check_neighbours(subject: Subject) -> None:
    """The same rows in other company, in another order, and of another instance."""
    for text in subject.texts():
        rows = rows_of(subject.scope, text)
        packed = subject.packed(rows)
        done = "The rows of a text were asked together of another instance, in another event loop"
        subject.compare(packed, subject.ask(packed), done)
        backwards = subject.packed(rows[::-1])
        done = "The rows of a text were asked in another order"
        subject.compare(backwards, subject.ask(backwards), done)
        limits = subject.make().limits
        full = together(rows, limits) if subject.scope is Scope.PREFIX else []
        full += [request[::-1] for request in full]
        done = "All rows of a text, with another word after the query in the next, shared requests"
        subject.compare(full, subject.ask(full), done)
        if subject.scope is Scope.PAIR:
            turned = subject.packed([Row(row.query, row.keys[::-1]) for row in rows])
            subject.compare(turned, subject.ask(turned), "The keys of each row were turned round")
            ones = [Row(row.query, row.keys[-1:]) for row in rows]
            done = "A key was asked without the others of its row"
            subject.compare([[one] for one in ones], subject.ask([[one] for one in ones]), done)


def check_future(subject: Subject) -> None:
    """No row changes when another word comes after its query, whether the future is shown in the
    request, was shown before, or belongs to the window that follows.
    """
    if subject.scope is Scope.PAIR:
        return
    for number, text in enumerate(subject.texts()):
        rows = {len(row.keys): row for row in rows_of(subject.scope, text)}
        asked: list[list[Row]] = []
        for place in positions(text):
            row = rows[place + 1]
            futures = [FUTURES[(place * 5 + number + i * 7) % len(FUTURES)] for i in range(4)]
            longer = [last_row((*row.keys, future)) for future in futures]
            longer.append(last_row((*row.keys, *futures)))
            limits = subject.make().limits
            asked += [*together([longer[-1], *longer[:2], row], limits), [longer[2]], [row]]
        done = "A row was asked after and beside the same text with another word after the query"
        subject.compare(asked, subject.ask(asked), done)
        done = "Windows that follow each other were asked, another word after the query"
        windows = [_two_windows(text, cut) for cut in _cuts(len(text))]
        requests = [request for rows_ in windows for request in subject.packed(rows_)]
        subject.compare(requests, subject.ask(requests), done)


def _cuts(length: int) -> list[int]:
    return sorted({1, 2, length // 3, length // 2, length - 1} & set(range(1, length)))


def _two_windows(text: tuple[str, ...], cut: int) -> list[Row]:
    """The rows of a window, and of the one that begins where it ends: as it is, and another."""
    end = min(len(text), cut + 12)
    rows = []
    for written in (text[:end], (*text[:cut], *FUTURES[:4], *text[cut + 4 : end])):
        rows += window_rows(written, 0, min(cut, 24))
        rows += window_rows(written, cut, len(written) - cut)
    return merge_rows(rows)


def check_earlier_texts(subject: Subject) -> None:
    """What is kept of one text is not used for another that is like it: at its end, its beginning,
    in length, when joined, or in the letters.
    """
    if subject.scope is Scope.PAIR or subject.text:
        return
    for pair in TWINS:
        for one, other in (pair, pair[::-1]):
            alone = [[row] for row in prefix_rows(other)]
            subject.learn(alone, subject.ask(alone))
            first = [[row] for row in prefix_rows(one)]
            turns = [request for both in zip(first, alone, strict=False) for request in both]
            after = [*first, *alone]
            skipping = [first[-1], alone[-1]]
            for requests in (turns, after, skipping):
                done = f"{''.join(other)!r} was asked after {''.join(one)!r} of the same instance"
                subject.compare(requests, subject.ask(requests), done)


def check_at_once(subject: Subject) -> None:
    """Requests that are under way together have the scores that each has alone."""
    if subject.make().limits.requests_at_once < 2:
        return
    rows = subject.probes()
    limits = subject.make().limits
    few = Limits(limits.pairs_per_request, min(8, limits.rows_per_request), limits.keys_per_row)
    requests = [list(part) for row in rows[-8:] for part in subject.packed([row])]
    if subject.scope is Scope.PREFIX:
        requests += together(rows[:32], few)
    done = f"{len(requests)} requests were made at once"
    subject.compare(requests, subject.ask(requests, at_once=True, done=done), done)


def check_random_rows(subject: Subject) -> None:
    """Many rows of words that nobody chose are scored alike twice over."""
    rows = random_rows(subject.scope, subject.seed, subject.rows)
    first = subject.packed(rows)
    subject.learn(first, subject.ask(first))
    for order in (rows, rows[::-1]):
        requests = subject.packed(order)
        done = f"{len(rows)} rows of random words were asked again, of another instance"
        subject.compare(requests, subject.ask(requests), done)
    again = [*first[:3], *first[:3]]
    subject.compare(again, subject.ask(again), "The same request was made twice of one instance")
