"""What models at Cerebras cost, as published by Cerebras in June 2026."""

from __future__ import annotations

from llmattn.plugin import Price

__all__ = ["PRICES"]

PRICES = {"gpt-oss-120b": Price(0.35, 0.75)}
"""List prices. Cerebras changes them: --price-in and --price-out win."""
