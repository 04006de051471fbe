"""What OpenAI's models cost, as published by OpenAI in June 2026."""

from __future__ import annotations

from llmattn.plugin import Price

__all__ = ["PRICES"]

PRICES = {
    "gpt-5.5": Price(5.00, 30.00),
    "gpt-5.4": Price(2.50, 15.00),
    "gpt-5.4-mini": Price(0.75, 4.50),
    "gpt-5.4-nano": Price(0.20, 1.25),
}
"""List prices, without discounts for cached prompts or batches. OpenAI changes them: --price-in and
--price-out win.
"""
