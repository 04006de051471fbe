"""OpenAI's Batch API against a server that goes through its life cycle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from llmattn.errors import BadReply, ProviderError, ProviderRejected, ProviderUnavailable
from llmattn.providers.protocol import Reply
from llmattn.rows import Row
from llmattn.testing.faults import FaultPlan
from llmattn.testing.server import ScoreServer
from support_providers import expected, make

T = TypeVar("T")
REQUESTS = [[Row(f"query{i}", ("the", "cat")), Row("ran", (f"dog{i}",))] for i in range(6)]


def run(server: ScoreServer, use: Callable[[Any], Awaitable[T]]) -> T:
    """Use a new provider, as another process would."""

    async def inside() -> T:
        provider = make("openai", server.url)
        try:
            return await use(provider)
        finally:
            await provider.aclose()

    return asyncio.run(inside())


def submit(server: ScoreServer) -> str:
    batch_id: str = run(server, lambda provider: provider.submit_batch(REQUESTS))
    return batch_id


def until_ended(server: ScoreServer, batch_id: str) -> str:
    while True:
        state: str = run(server, lambda provider: provider.batch_status(batch_id)).state
        if state != "running":
            return state


def collect(
    server: ScoreServer, batch_id: str, requests: list[list[Row]] = REQUESTS
) -> list[Reply | ProviderError]:
    return run(server, lambda provider: provider.collect_batch(batch_id, requests))


def test_another_process_collects_what_was_submitted() -> None:
    with ScoreServer() as server:
        batch_id = submit(server)
        first = run(server, lambda provider: provider.batch_status(batch_id))
        assert (first.state, first.total) == ("running", 6)
        assert until_ended(server, batch_id) == "done"
        answers = collect(server, batch_id)
    for rows, answer in zip(REQUESTS, answers, strict=True):
        assert isinstance(answer, Reply)
        assert answer.usage.prompt_tokens > 0
        for row, scores in zip(rows, answer.scores, strict=True):
            np.testing.assert_allclose(scores, expected(row), rtol=1e-6)


def test_a_batch_that_failed_in_part_gives_errors_in_their_places() -> None:
    plan = FaultPlan({"server_error": 0.3, "truncated": 0.3}, seed=1)
    with ScoreServer() as server:
        batch_id = submit(server)
        server.reset()
        server.change(faults=plan)
        assert until_ended(server, batch_id) == "done"
        answers = collect(server, batch_id)
    failed = [plan.draw(i) is not None for i in range(6)]
    assert any(failed)
    assert not all(failed)
    assert [isinstance(answer, BadReply) for answer in answers] == failed


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_a_batch_that_ended_early_gives_what_was_done(end: str) -> None:
    with ScoreServer(batch_end=end) as server:
        batch_id = submit(server)
        assert until_ended(server, batch_id) == end
        answers = collect(server, batch_id)
    assert [isinstance(answer, Reply) for answer in answers] == [True] * 3 + [False] * 3


def test_a_batch_that_failed_says_why() -> None:
    with ScoreServer(batch_end="failed") as server:
        batch_id = submit(server)
        until_ended(server, batch_id)
        status = run(server, lambda provider: provider.batch_status(batch_id))
        answers = collect(server, batch_id)
    assert status.state == "failed"
    assert "Bad input file" in status.message
    assert all(isinstance(answer, ProviderUnavailable) for answer in answers)


def test_answers_to_other_requests_are_not_taken() -> None:
    with ScoreServer() as server:
        batch_id = submit(server)
        until_ended(server, batch_id)
        answers = collect(server, batch_id, [*REQUESTS[1:], REQUESTS[0]])
    assert not [answer for answer in answers if isinstance(answer, Reply)]


def test_an_unknown_batch_is_an_error() -> None:
    with ScoreServer() as server, pytest.raises(ProviderRejected, match="No such Batch"):
        run(server, lambda provider: provider.batch_status("batch_of_another"))


def test_a_server_that_is_gone_is_an_error_of_ours() -> None:
    with ScoreServer() as server:
        pass
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        run(server, lambda provider: provider.batch_status("batch_0"))


def test_a_batch_has_the_form_that_the_model_was_found_to_take() -> None:
    async def try_and_submit(provider: Any) -> str:
        await provider.score(REQUESTS[0])
        batch_id: str = await provider.submit_batch(REQUESTS)
        return batch_id

    with ScoreServer(refuse=("temperature",)) as server:
        batch_id = run(server, try_and_submit)
        until_ended(server, batch_id)
        answers = collect(server, batch_id)
    assert all(isinstance(answer, Reply) for answer in answers)


def test_a_batch_is_cut_where_its_file_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = make("openai", "http://127.0.0.1:1/v1")
    assert provider.fits_batch(REQUESTS) == len(REQUESTS)
    monkeypatch.setattr("llmattn_openai.batch.MOST_BYTES", 8000)
    assert 0 < provider.fits_batch(REQUESTS) < len(REQUESTS)
    monkeypatch.setattr("llmattn_openai.batch.MOST_REQUESTS", 1)
    assert provider.fits_batch(REQUESTS) == 1
