"""What scores in context would take: every window of the corpus, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from attrs import frozen

from llmattn.data.corpus import Corpus
from llmattn.feeds.packed import entries
from llmattn.feeds.pairs import SHARES
from llmattn.feeds.windows import row_portions
from llmattn.planning.plan import Plan, PlanPoint
from llmattn.rows import Row
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.plan import expected_usage
from llmattn.scoring.planner import merge_rows
from llmattn.scoring.source import ScoreSource
from llmattn.usage import Usage

__all__ = ["make_text_plan"]

_AT_ONCE = 20_000
"""Rows that are looked up together."""


def make_text_plan(
    source: ScoreSource, corpus: Corpus, choice: ScoreChoice, *, block_size: int
) -> Plan:
    """Plan the scoring of ``corpus`` with a source of PREFIX scope. Nothing is sent.

    The points of the curve are shares of the text, from its beginning. Windows that begin alike
    share their first rows.
    """
    price = None if source.local else source.price
    lengths = [split.pieces(block_size).lengths for split in corpus.splits]
    count = sum(map(len, lengths))
    positions = sum(int(entries(of_split).sum()) - len(of_split) for of_split in lengths)
    ends = [max(1, round(share * count)) for share in SHARES]
    points: list[PlanPoint] = []
    known: set[int] = set()
    done = _Lacking()
    pairs = passed = number = 0
    for windows in _portions(source, corpus, block_size, choice.context_words):
        lacking: list[Row] = []
        waiting: list[Row] = []
        seen: set[int] = set()
        for window in windows:
            number += 1
            passed += sum(range(2, len(window) + 2))
            # What an earlier portion asks for is cached by then.
            new = [(hash(row.keys), row) for row in window]
            new = [(text, row) for text, row in new if text not in known]
            pairs += sum(len(row.keys) for text, row in new if text not in seen)
            seen.update(text for text, _ in new)
            waiting += [row for _, row in new]
            if number in ends or len(waiting) >= _AT_ONCE:
                lacking += source.missing(waiting)
                waiting = []
            for share in (SHARES[place] for place, end in enumerate(ends) if end == number):
                found = done + _lacking(source, lacking)
                cost = price.of(found.usage) if price else None
                covered = passed / max(1, positions)
                points.append(
                    PlanPoint(share, pairs, covered, pairs - found.pairs, found.usage, cost)
                )
        lacking += source.missing(waiting)
        known |= seen
        if number < count:
            done += _lacking(source, lacking)
    details = dict(source.identity.details)
    return Plan(
        provider=source.name,
        model=str(details["model"]) if "model" in details else None,
        local=source.local,
        tokens=sum(split.targets for split in corpus.splits),
        words=len({piece for split in corpus.splits for piece in split.written}),
        rows=len(known),
        pairs=pairs,
        positions=positions,
        cached=points[-1].cached,
        curve=tuple(points),
        staged=points[-1].usage,
        staged_cost=points[-1].cost,
        price_in=price.prompt if price else None,
        price_out=price.completion if price else None,
        rpm=source.options.rpm,
        scope=source.identity.scope.value,
    )


@frozen
class _Lacking:
    """What is not cached: how many scores, and what they take."""

    pairs: int = 0
    usage: Usage = Usage()

    def __add__(self, other: _Lacking) -> _Lacking:
        return _Lacking(self.pairs + other.pairs, self.usage + other.usage)


def _lacking(source: ScoreSource, rows: Sequence[Row]) -> _Lacking:
    """Of rows that are asked for together."""
    rows = merge_rows(rows)
    usage = expected_usage(source.provider, source.unbatched(rows))
    return _Lacking(sum(len(row.keys) for row in rows), usage)


def _portions(
    source: ScoreSource, corpus: Corpus, block_size: int, context_words: int
) -> Iterator[list[list[Row]]]:
    """The rows of each window, in the portions that are asked for together."""
    for split in corpus.splits:
        pieces = split.pieces(block_size)
        lengths = pieces.lengths.tolist()
        for numbers, rows in row_portions(
            split, pieces, context_words=context_words, channels=len(source.identity.channels)
        ):
            left = iter(rows)
            yield [list(islice(left, lengths[piece] - 1)) for piece in numbers]
