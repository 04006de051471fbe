"""Counts a corpus's pairs, prices them, and tells how much attention the frequent ones cover."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from attrs import frozen

from llmattn.data.corpus import Corpus
from llmattn.feeds.pairs import (
    PairCounts,
    corpus_pairs,
    coverage_curve,
    most_frequent,
    select_pairs,
    tiers,
)
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.plan import expected_usage
from llmattn.scoring.source import ScoreSource
from llmattn.usage import Usage

__all__ = ["Plan", "PlanPoint", "make_pair_plan"]

_NAMES = {
    "pair": ("rows (distinct queries)", "pairs (query, key)"),
    "prefix": ("rows (distinct texts so far)", "scores (text, position)"),
}


@frozen
class PlanPoint:
    """The most frequent ``share`` of the pairs: what they cover and what they would take.

    ``usage`` and ``cost`` (US dollars, None if no price is known) are for what is not cached.
    """

    share: float
    pairs: int
    coverage: float
    cached: int
    usage: Usage
    cost: float | None


@frozen
class Plan:
    """What scoring a corpus with one provider would take. ``curve`` ends with everything."""

    provider: str
    model: str | None
    local: bool
    tokens: int
    words: int
    rows: int
    pairs: int
    positions: int
    cached: int
    curve: tuple[PlanPoint, ...]
    staged: Usage
    """What the whole takes when the most frequent pairs are asked first, as with a limit."""
    staged_cost: float | None
    price_in: float | None
    price_out: float | None
    rpm: float | None
    scope: str = "pair"
    """In context (``prefix``) a row is a text so far, and the curve goes along the text."""

    @property
    def total(self) -> PlanPoint:
        """The last point of the curve: all pairs that were selected."""
        return self.curve[-1]

    @property
    def minutes(self) -> float | None:
        """Minutes at the given requests a minute."""
        return self.total.usage.requests / self.rpm if self.rpm else None

    def facts(self) -> list[tuple[str, str]]:
        """Name and value of each figure, for people."""
        usage, cost = self.total.usage, self.total.cost
        model = f" {self.model}" if self.model else ""
        facts = [
            ("provider", self.provider + model),
            ("tokens", f"{self.tokens:,}"),
            ("distinct words", f"{self.words:,}"),
            (_NAMES[self.scope][0], f"{self.rows:,}"),
            (_NAMES[self.scope][1], f"{self.pairs:,}"),
            ("attention positions", f"{self.positions:,}"),
            ("pairs in the cache", f"{self.cached:,}"),
            ("requests to send", f"{usage.requests:,}"),
        ]
        if not self.local:
            facts += [
                ("prompt tokens, about", f"{usage.prompt_tokens:,}"),
                ("reply tokens, about", f"{usage.completion_tokens:,}"),
                ("price a million tokens", self._price()),
                ("US dollars, about", _dollars(cost)),
            ]
        if not self.local and self.scope == "pair":
            facts += [
                ("with a limit: requests", f"{self.staged.requests:,}"),
                ("with a limit: US dollars, about", _dollars(self.staged_cost)),
            ]
        if self.minutes is not None:
            facts.append((f"minutes at {self.rpm:g} requests a minute", f"{self.minutes:,.1f}"))
        return facts

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**attrs.asdict(self), "minutes": self.minutes}

    def _price(self) -> str:
        if self.price_in is None or self.price_out is None:
            return "unknown (pass --price-in and --price-out)"
        return f"${self.price_in:g} in, ${self.price_out:g} out"


def make_pair_plan(
    source: ScoreSource, corpus: Corpus, choice: ScoreChoice, *, block_size: int
) -> Plan:
    """Plan the scoring of ``corpus`` with a source of PAIR scope. Nothing is sent."""
    _, everything = corpus_pairs(corpus, block_size)
    pairs = select_pairs(everything, coverage=choice.coverage, min_pair_count=choice.min_pair_count)
    vocabulary = corpus.words
    price = None if source.local else source.price
    share_of_all = pairs.counts.sum() / max(1, everything.counts.sum())
    points = []
    for point in coverage_curve(pairs):
        rows = most_frequent(pairs, point.pairs).rows(vocabulary)
        missing = source.missing(rows)
        usage = expected_usage(source.provider, source.unbatched(missing))
        points.append(
            PlanPoint(
                share=point.share,
                pairs=point.pairs,
                coverage=float(point.coverage * share_of_all),
                cached=point.pairs - sum(len(row.keys) for row in missing),
                usage=usage,
                cost=price.of(usage) if price else None,
            )
        )
    staged = Usage()
    for stage in tiers(pairs):
        missing = source.missing(stage.rows(vocabulary))
        staged += expected_usage(source.provider, source.unbatched(missing))
    details = dict(source.identity.details)
    return Plan(
        provider=source.name,
        model=str(details["model"]) if "model" in details else None,
        local=source.local,
        tokens=sum(split.targets for split in corpus.splits),
        words=len(np.unique(np.concatenate([pairs.query_ids, pairs.key_ids]))),
        rows=_n_rows(pairs),
        pairs=len(pairs),
        positions=int(everything.counts.sum()),
        cached=points[-1].cached,
        curve=tuple(points),
        staged=staged,
        staged_cost=price.of(staged) if price else None,
        price_in=price.prompt if price else None,
        price_out=price.completion if price else None,
        rpm=source.options.rpm,
    )


def _dollars(cost: float | None) -> str:
    return "unknown" if cost is None else f"{cost:,.2f}"


def _n_rows(pairs: PairCounts) -> int:
    return len(np.unique(pairs.query_ids))
