"""Money and requests: reserved before a request is sent, settled by what it was billed."""

from __future__ import annotations

import anyio

from llmattn.errors import BudgetExceeded
from llmattn.providers.prices import Price
from llmattn.usage import Usage

__all__ = ["Budget"]


class Budget:
    """Keeps spent plus reserved within the limits at every moment.

    ``max_cost``: US dollars, needs a ``price``; ``max_requests`` counts every request sent,
    retries too. None means no limit. Used from one event loop.
    """

    def __init__(
        self,
        price: Price | None = None,
        *,
        max_cost: float | None = None,
        max_requests: int | None = None,
    ) -> None:
        self.price = price
        self.max_cost = max_cost
        self.max_requests = max_requests
        self.advice = ""
        """What else to say when a limit is reached."""
        self.spent = Usage()
        self._reserved_cost = 0.0
        self._reserved_requests = 0
        self._settled: anyio.Event | None = None

    async def reserve(self, estimate: Usage) -> float:
        """Set aside what one request may cost at the most; US dollars.

        Waits while requests under way may still give back enough. Raises BudgetExceeded
        once it is sure that this request does not fit.
        """
        cost = self.price.of(estimate) if self.price else 0.0
        while not self._fits(cost):
            if self._reserved_requests == 0:
                raise BudgetExceeded(f"{self._message(cost)} {self.advice}".rstrip())
            self._settled = self._settled or anyio.Event()
            await self._settled.wait()
        self._reserved_cost += cost
        self._reserved_requests += 1
        return cost

    def reserve_one_more(self) -> None:
        """Set aside another request for an answer that takes several; raises BudgetExceeded."""
        if not self._fits(0.0):
            raise BudgetExceeded(
                f"No more than the {self.max_requests} requests allowed are sent, and the provider "
                "takes more of them to find out what it is to be asked: raise --max-requests."
            )
        self._reserved_requests += 1

    def release(self, reserved: float, requests: int = 1) -> None:
        """Give back a reservation, of so many ``requests``."""
        self._reserved_cost = max(0.0, self._reserved_cost - reserved)
        self._reserved_requests -= requests
        settled, self._settled = self._settled, None
        if settled:
            settled.set()

    def settle(self, reserved: float, usage: Usage, requests: int = 1) -> Usage:
        """Exchange a reservation, of so many ``requests``, for what was billed; gives ``usage``
        with its cost.
        """
        cost = usage.cost or (self.price.of(usage) if self.price else 0.0)
        requests = max(1, usage.requests)  # a form of it may have been refused first
        billed = Usage(requests, usage.prompt_tokens, usage.completion_tokens, cost)
        self.spent += billed
        self.release(reserved, requests)
        return billed

    def _fits(self, cost: float) -> bool:
        requests = self.spent.requests + self._reserved_requests + 1
        if self.max_requests is not None and requests > self.max_requests:
            return False
        total = self.spent.cost + self._reserved_cost + cost
        return self.max_cost is None or total <= self.max_cost + 1e-12

    def _message(self, cost: float) -> str:
        if self.max_requests == 0:
            return "The limit allows no request at all."
        if self.max_requests is not None and self.spent.requests >= self.max_requests:
            return f"All requests allowed ({self.max_requests:,}) have been sent."
        return (
            f"The next request may cost ${cost:.4f}; ${self.spent.cost:.4f} of the "
            f"${self.max_cost:.4f} allowed is spent."
        )
