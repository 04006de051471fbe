"""What the vendors' models cost and hold, as genai-prices knows it: its installed copy alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, TieredPrices
from llmattn.plugin import Price

__all__ = ["ANTHROPIC", "BEDROCK", "GEMINI", "MISTRAL", "VERTEX", "Models"]


class Models(Mapping[str, Price]):
    """The prices of one vendor's models, by the names that requests may call them; ``vendor`` is
    what genai-prices calls it. A model without a price for tokens is none of them.
    """

    def __init__(self, vendor: str) -> None:
        self._vendor = vendor

    def __getitem__(self, model: str) -> Price:
        price = _price(self._find(model))
        if price is None:
            raise KeyError(model)
        return price

    def __iter__(self) -> Iterator[str]:
        return (model.id for model in self._all() if _price(model))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def context(self, model: str) -> int | None:
        """The tokens that a request and its reply may have together, or None if unknown."""
        try:
            window: int | None = self._find(model).context_window
        except KeyError:
            return None
        return window

    def _find(self, model: str) -> ModelInfo:
        try:
            return get_snapshot().find_provider_model(model, None, self._vendor, None)[1]
        except LookupError:
            raise KeyError(model) from None

    def _all(self) -> list[ModelInfo]:
        return next((list(p.models) for p in get_snapshot().providers if p.id == self._vendor), [])


def _price(model: ModelInfo) -> Price | None:
    """What the tokens of a short request cost now: beyond some hundred thousand, some cost more."""
    prices = model.get_prices(datetime.now(timezone.utc))
    found = [_dollars(getattr(prices, name, None)) for name in ("input_mtok", "output_mtok")]
    return None if found[0] is None or found[1] is None else Price(found[0], found[1])


def _dollars(price: Any) -> float | None:
    base = price.base if isinstance(price, TieredPrices) else price
    return None if base is None else float(base)


ANTHROPIC = Models("anthropic")
GEMINI = Models("google")
VERTEX = GEMINI
MISTRAL = Models("mistral")
BEDROCK = Models("aws")
