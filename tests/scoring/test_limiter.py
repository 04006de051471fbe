"""How many requests may be under way."""

from __future__ import annotations

import anyio
from llmattn.providers.protocol import RateHint
from llmattn.scoring.limiter import AdaptiveLimiter


def test_a_refusal_halves_and_a_round_of_answers_adds_one() -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(16)
        async with limiter.slot(0) as sent:
            limiter.refused(sent, None)
        assert limiter.limit == 8
        for _ in range(8):
            limiter.answered()
        assert 8.9 < limiter.limit <= 9

    anyio.run(run)


def test_requests_sent_before_a_refusal_do_not_halve_again() -> None:
    async def run() -> None:
        limiter = AdaptiveLimiter(16)
        async with limiter.slot(0) as first, limiter.slot(0) as second:
            await anyio.sleep(0.001)
            limiter.refused(first, None)
            limiter.refused(second, None)
        assert limiter.limit == 8

    anyio.run(run)


def test_never_more_under_way_than_the_limit() -> None:
    async def run() -> int:
        limiter = AdaptiveLimiter(3)
        most = 0

        async def one() -> None:
            nonlocal most
            async with limiter.slot(0):
                most = max(most, limiter.under_way)
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(one)
        return most

    assert anyio.run(run) == 3


def test_retry_after_holds_everything_back() -> None:
    async def run() -> float:
        limiter = AdaptiveLimiter(4)
        async with limiter.slot(0) as sent:
            limiter.refused(sent, 0.05)
        async with limiter.slot(0) as later:
            return later - sent

    assert anyio.run(run) >= 0.05


def test_a_server_that_says_nothing_is_left_is_given_time() -> None:
    async def run() -> float:
        limiter = AdaptiveLimiter(4)
        start = anyio.current_time()
        limiter.hint(RateHint(remaining_requests=0, reset_requests=0.05))
        limiter.hint(RateHint(remaining_tokens=5, reset_tokens=60.0))
        async with limiter.slot(0) as sent:
            return sent - start

    assert 0.05 <= anyio.run(run) < 30


def test_requests_a_minute_are_kept() -> None:
    async def run() -> float:
        limiter = AdaptiveLimiter(10, rpm=1200)  # 20 a second, and a burst of 20
        start = anyio.current_time()

        async def one() -> None:
            async with limiter.slot(0):
                pass

        async with anyio.create_task_group() as tasks:
            for _ in range(25):
                tasks.start_soon(one)
        return anyio.current_time() - start

    assert anyio.run(run) >= 0.24
