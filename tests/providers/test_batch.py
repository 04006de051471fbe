"""OpenAI's Batch API against a server that goes through its life cycle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from llmattn.errors import BadReply, Forgotten, ProviderError, ProviderRejected, ProviderUnavailable
from llmattn.providers.protocol import Reply
from llmattn.rows import Row
from llmattn.testing.faults import FaultPlan
from llmattn.testing.server import ScoreServer
from support_providers import expected, make

T = TypeVar("T")
MARK = "0123456789abcdef"
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


def submit(server: ScoreServer, mark: str = MARK) -> str:
    batch_id: str = run(server, lambda provider: provider.submit_batch(REQUESTS, mark))
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


def test_a_batch_that_the_server_does_not_know_is_forgotten() -> None:
    with ScoreServer() as server, pytest.raises(Forgotten, match="batch_of_another"):
        run(server, lambda provider: provider.batch_status("batch_of_another"))


def test_at_a_wrong_address_no_batch_is_forgotten() -> None:
    async def ask(url: str) -> None:
        provider: Any = make("openai", url)
        try:
            await provider.batch_status("batch_0")
        finally:
            await provider.aclose()

    with ScoreServer() as server, pytest.raises(ProviderRejected, match="Is the base URL right"):
        asyncio.run(ask(f"{server.origin}/elsewhere"))


@pytest.mark.parametrize("kind", ["output_file_id", "error_file_id"])
def test_answers_in_a_file_that_is_gone_are_forgotten(kind: str) -> None:
    with ScoreServer(batch_end="expired") as server:
        batch_id = submit(server)
        until_ended(server, batch_id)
        del server.batches.files[server.batches.batches[batch_id][kind]]
        answers = collect(server, batch_id)
    first, second = answers[:3], answers[3:]
    gone, there = (first, second) if kind == "output_file_id" else (second, first)
    assert all(isinstance(answer, Forgotten) for answer in gone)
    assert not any(isinstance(answer, Forgotten) for answer in there)


def test_a_batch_is_found_by_its_mark_on_whatever_page_it_is() -> None:
    with ScoreServer(batch_page=2) as server:
        batch_id = submit(server)
        for number in range(5):
            submit(server, f"other{number}")
        assert run(server, lambda provider: provider.find_batch(MARK)) == batch_id
        assert run(server, lambda provider: provider.find_batch("other3")) == "batch_4"


def test_where_no_batch_is_found_none_can_come_of_the_file_that_was_sent() -> None:
    with ScoreServer(batch_page=2) as server:
        for number in range(3):
            submit(server, f"other{number}")
        batch_id = submit(server)
        del server.batches.batches[batch_id]  # the request to begin it is still on its way
        (sent,) = (name for name, called in server.batches.names.items() if MARK in called)
        assert run(server, lambda provider: provider.find_batch(MARK)) is None
        assert sent not in server.batches.files
        assert len(server.batches.files) == 3


@pytest.mark.parametrize("form", ["../../up{}", "a/b?c#{}", "%2e%2e%2f{}", "x{} y", "\u00e9{}"])
def test_whatever_a_servers_id_is_it_is_one_part_of_a_path(form: str) -> None:
    with ScoreServer(batch_id=form) as server:
        batch_id = submit(server)
        assert batch_id == form.format(0)
        assert until_ended(server, batch_id) == "done"
        answers = collect(server, batch_id)
    assert all(isinstance(answer, Reply) for answer in answers)


@pytest.mark.parametrize("form", ["..", ".", "", "\x1b[2J{}", "b" * 1000, "\ud800{}"])
def test_an_id_that_no_path_can_hold_is_no_id(form: str) -> None:
    with ScoreServer(batch_id=form) as server, pytest.raises(BadReply, match="gave no id"):
        submit(server)


def test_a_server_that_is_gone_is_an_error_of_ours() -> None:
    with ScoreServer() as server:
        pass
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        run(server, lambda provider: provider.batch_status("batch_0"))


def test_a_batch_has_the_form_that_the_model_was_found_to_take() -> None:
    async def try_and_submit(provider: Any) -> str:
        await provider.score(REQUESTS[0])
        batch_id: str = await provider.submit_batch(REQUESTS, MARK)
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
