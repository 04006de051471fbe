"""What the word vectors of a corpus would take: each word once."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import frozen

from llmattn.data.corpus import Corpus
from llmattn.scoring.vectors import VectorSource
from llmattn.training.word_vectors import vector_words
from llmattn.usage import Usage

__all__ = ["VectorPlan", "make_vector_plan"]


@frozen
class VectorPlan:
    """``usage`` and ``cost`` (US dollars, None if no price is known) are for what is not cached."""

    provider: str
    model: str | None
    local: bool
    words: int
    cached: int
    usage: Usage
    cost: float | None
    price_in: float | None

    def facts(self) -> list[tuple[str, str]]:
        """Name and value of each figure, for people."""
        model = f" {self.model}" if self.model else ""
        facts = [
            ("word vectors", self.provider + model),
            ("words", f"{self.words:,}"),
            ("in the cache", f"{self.cached:,}"),
            ("requests to send", f"{self.usage.requests:,}"),
        ]
        if not self.local:
            price = "unknown (pass --price-in and --price-out)"
            facts += [
                ("tokens, about", f"{self.usage.prompt_tokens:,}"),
                (
                    "price a million tokens",
                    price if self.price_in is None else f"${self.price_in:g}",
                ),
                ("US dollars, about", "unknown" if self.cost is None else f"{self.cost:,.4f}"),
            ]
        return facts

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"kind": "word vectors", **attrs.asdict(self)}


def make_vector_plan(source: VectorSource, corpus: Corpus) -> VectorPlan:
    """Plan asking for the vectors of ``corpus``. Nothing is sent."""
    _, words = vector_words(corpus.tokenizer)
    work, asked = source.work(words), source.source
    price = None if asked.local else asked.price
    model = dict(source.identity.details).get("model")
    return VectorPlan(
        provider=source.name,
        model=None if model is None else str(model),
        local=asked.local,
        words=work.pairs,
        cached=work.cached,
        usage=work.expected,
        cost=price.of(work.expected) if price else None,
        price_in=price.prompt if price else None,
    )
