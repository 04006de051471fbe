"""What requests have cost."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Usage"]


@frozen
class Usage:
    """Requests sent, tokens billed, and their price in US dollars where it is known."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )
