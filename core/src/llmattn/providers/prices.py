"""What models cost, as far as their providers say it: to plan with, not to rely on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from llmattn.errors import LlmattnError, PluginError
from llmattn.registry import Registered
from llmattn.usage import Usage

__all__ = ["Price", "price_of"]


def _dollars(_: object, field: Any, value: float) -> None:
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
        raise ValueError(f"the price of {field.name} tokens must be 0 or more, not {value!r}")


@frozen
class Price:
    """What a model costs: US dollars a million tokens of the prompt and of the reply."""

    prompt: float = field(validator=_dollars)
    completion: float = field(validator=_dollars)

    def of(self, usage: Usage) -> float:
        """US dollars for the tokens of ``usage``."""
        tokens = usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion
        return tokens / 1e6


def price_of(registered: Registered, model: str) -> Price | None:
    """The list price, or None where the provider states none.

    A dated model name (``NAME-2026-03-17``) costs what the name without date does. Raises
    PluginError if the provider's prices cannot be read.
    """
    try:
        price = _look_up(registered, model)
    except LlmattnError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise _unreadable(registered, f"{type(error).__name__}: {error}") from error
    if price is not None and not isinstance(price, Price):
        raise _unreadable(registered, f"{price!r} is no Price")
    return price


def _look_up(registered: Registered, model: str) -> Any:
    prices = registered.imported(registered.prices)
    prices = prices() if callable(prices) else prices
    if prices is None:
        return None
    if not isinstance(prices, Mapping):
        raise _unreadable(registered, f"{type(prices).__name__} is no mapping")
    if model in prices:
        return prices[model]
    for name in prices:
        date = model.removeprefix(f"{name}-")
        if date != model and date.replace("-", "").isdigit():
            return prices[name]
    return None


def _unreadable(registered: Registered, why: str) -> PluginError:
    return PluginError(
        f"{registered.name!r} from {registered.distribution} cannot tell its prices: {why}. That "
        f"is a fault of {registered.distribution}; pass --price-in and --price-out, and they are "
        "not looked up."
    )
