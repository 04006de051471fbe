"""What models cost, as far as it is known: a table with a date, to plan with, not to rely on."""

from __future__ import annotations

from attrs import field, frozen, validators

from llmattn.usage import Usage

__all__ = ["PRICES_AS_OF", "Price", "price_of"]

PRICES_AS_OF = "2026-06"
"""When the table was last checked. Vendors change prices: --price-in and --price-out win."""


@frozen
class Price:
    """US dollars a million tokens."""

    prompt: float = field(validator=validators.ge(0))
    completion: float = field(validator=validators.ge(0))

    def of(self, usage: Usage) -> float:
        """US dollars for the tokens of ``usage``."""
        tokens = usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion
        return tokens / 1e6


# List prices without discounts for cached prompts or batches, as published by the vendors.
_PRICES = {
    ("openai", "gpt-5.5"): Price(5.00, 30.00),
    ("openai", "gpt-5.4"): Price(2.50, 15.00),
    ("openai", "gpt-5.4-mini"): Price(0.75, 4.50),
    ("openai", "gpt-5.4-nano"): Price(0.20, 1.25),
    ("cerebras", "gpt-oss-120b"): Price(0.35, 0.75),
}


def price_of(provider: str, model: str) -> Price | None:
    """The list price, or None where the table has none.

    A dated model name (``gpt-5.4-mini-2026-03-17``) costs what the name without date does.
    """
    if (provider, model) in _PRICES:
        return _PRICES[provider, model]
    for (vendor, name), price in _PRICES.items():
        date = model.removeprefix(f"{name}-")
        if vendor == provider and date != model and date.replace("-", "").isdigit():
            return price
    return None
