"""Money and requests: reserved before, settled after."""

from __future__ import annotations

import anyio
import pytest
from llmattn.errors import BudgetExceeded
from llmattn.providers.prices import Price
from llmattn.scoring.budget import Budget
from llmattn.usage import Usage

PRICE = Price(prompt=1.0, completion=10.0)


def test_price_is_dollars_a_million_tokens() -> None:
    assert PRICE.of(Usage(1, 500_000, 100_000)) == pytest.approx(1.5)


def test_a_request_that_could_pass_the_limit_is_not_sent() -> None:
    async def run() -> None:
        budget = Budget(PRICE, max_cost=1.0)
        reserved = await budget.reserve(Usage(1, 900_000, 0))
        budget.settle(reserved, Usage(1, 900_000, 0))
        with pytest.raises(BudgetExceeded, match=r"\$0\.9000 of the \$1\.0000"):
            await budget.reserve(Usage(1, 200_000, 0))

    anyio.run(run)


def test_what_a_request_did_not_use_is_there_for_the_next() -> None:
    async def run() -> None:
        budget = Budget(PRICE, max_cost=1.0)
        first = await budget.reserve(Usage(1, 800_000, 0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(budget.reserve, Usage(1, 700_000, 0))
            await anyio.sleep(0.01)  # the second request waits for the first to settle
            budget.settle(first, Usage(1, 100_000, 0))
        assert budget.spent.cost == pytest.approx(0.1)

    anyio.run(run)


@pytest.mark.parametrize("at_once", [1, 7, 50])
def test_spending_never_passes_the_limit_however_many_ask_at_once(at_once: int) -> None:
    async def run() -> None:
        budget = Budget(PRICE, max_cost=0.5)
        sent = []

        async def ask() -> None:
            for _ in range(20):
                try:
                    reserved = await budget.reserve(Usage(1, 30_000, 0))
                except BudgetExceeded:
                    return
                await anyio.sleep(0)
                sent.append(budget.settle(reserved, Usage(1, 20_000, 0)))

        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(ask)
        assert sum(usage.cost for usage in sent) <= 0.5
        # One more request could not have been reserved.
        assert at_once < 7 or sum(usage.cost for usage in sent) > 0.5 - 0.03 - 1e-9

    anyio.run(run)


def test_requests_are_counted_even_when_they_cost_nothing() -> None:
    async def run() -> None:
        budget = Budget(Price(0, 0), max_cost=0.0, max_requests=2)
        for _ in range(2):
            budget.settle(await budget.reserve(Usage(1, 100, 100)), Usage(1, 100, 100))
        with pytest.raises(BudgetExceeded, match=r"All requests allowed \(2\)"):
            await budget.reserve(Usage(1, 100, 100))

    anyio.run(run)
