"""What scores in context would take: every window of the corpus, row by row."""

from __future__ import annotations

from collections.abc import Iterator

from llmattn.data.corpus import Corpus, Split
from llmattn.data.packed import entries
from llmattn.data.selection import SHARES
from llmattn.data.texts import window_rows
from llmattn.planning.plan import Plan, PlanPoint
from llmattn.rows import Row
from llmattn.scoring.plan import expected_usage
from llmattn.scoring.source import ScoreSource
from llmattn.usage import Usage

__all__ = ["make_text_plan"]

_AT_ONCE = 20_000
"""Rows that are looked up together."""


def make_text_plan(
    source: ScoreSource, corpus: Corpus, *, block_size: int, context_words: int = 0
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
    lacking: list[list[Row]] = [[] for _ in corpus.splits]
    waiting: list[Row] = []
    seen: set[int] = set()
    pairs = passed = number = 0
    for part, split in enumerate(corpus.splits):
        for window in _windows(split, block_size, context_words):
            number += 1
            passed += sum(range(2, len(window) + 2))
            fresh = [row for row in window if hash(row.keys) not in seen]
            seen.update(hash(row.keys) for row in fresh)
            pairs += sum(len(row.keys) for row in fresh)
            waiting += fresh
            if number in ends or len(waiting) >= _AT_ONCE:
                lacking[part] += source.missing(waiting)
                waiting = []
            for share in (SHARES[place] for place, end in enumerate(ends) if end == number):
                # Each split is asked for by itself, and its rows share requests.
                usage = sum((expected_usage(source.provider, rows) for rows in lacking), Usage())
                missing = sum(len(row.keys) for rows in lacking for row in rows)
                cost = price.of(usage) if price else None
                covered = passed / max(1, positions)
                points.append(PlanPoint(share, pairs, covered, pairs - missing, usage, cost))
        lacking[part] += source.missing(waiting)
        waiting = []
    details = dict(source.identity.details)
    return Plan(
        provider=source.name,
        model=str(details["model"]) if "model" in details else None,
        local=source.local,
        tokens=sum(split.targets for split in corpus.splits),
        words=len({piece for split in corpus.splits for piece in split.written}),
        rows=len(seen),
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


def _windows(split: Split, block_size: int, context_words: int) -> Iterator[list[Row]]:
    """The rows of each window."""
    pieces = split.pieces(block_size)
    for start, length in zip(pieces.starts.tolist(), pieces.lengths.tolist(), strict=True):
        yield window_rows(split.written, start, length, context_words=context_words)
