"""What a server says that it does not take is left out, or asked for less of, and remembered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from llmattn.errors import ProviderRejected
from llmattn.rows import Row, prefix_rows
from llmattn.testing.api import Answer
from llmattn.testing.providers import PIECES
from llmattn.testing.server import ScoreServer
from support_causes import chat, message
from support_providers import NAMES, ROWS, ask, expected, make
from support_scoring import assert_scored, custom_source, some_rows

every_plugin = pytest.mark.parametrize("name", NAMES)


def limit_of(body: dict[str, Any]) -> int:
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    return next(int(body[name]) for name in names if name in body)


def refusal(words: str, status: int = 400, **more: Any) -> Answer:
    return message({"error": {"message": words, **more}}, status)


def asked(server: ScoreServer) -> list[dict[str, Any]]:
    return [request["body"] for request in server.log.requests]


@every_plugin
@pytest.mark.parametrize("status", [400, 500])
def test_without_a_system_role_its_text_begins_the_users(name: str, status: int) -> None:
    with ScoreServer(refuse=("system",), refuse_status=status) as server:
        provider = make(name, server.url)
        ask(provider)
        got = ask(provider)
        field = "input" if name == "openai" else "messages"
        roles = [[said["role"] for said in body[field]] for body in asked(server)]
    assert roles == [["system", "user"], ["user"], ["user"]]
    assert (got.scores[0] == expected(ROWS[0])).all()


@every_plugin
@pytest.mark.parametrize(
    "words",
    [
        "max_tokens is too large: {asked}. This model supports at most 2,100 completion tokens.",
        "max_tokens must be less than or equal to 2100",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 2100]",
    ],
)
def test_a_token_limit_that_is_too_high_is_lowered_to_the_one_stated(name: str, words: str) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer | None:
        limit = limit_of(body)
        return refusal(words.replace("{asked}", str(limit))) if limit > 2100 else None

    with ScoreServer(script=script) as server:
        provider = make(name, server.url, reasoning_tokens=6000)
        ask(provider)
        got = ask(provider)
        limits = [limit_of(body) for body in asked(server)]
    assert limits[0] > 6000
    assert limits[1:] == [2100, 2100]
    assert (got.scores[0] == expected(ROWS[0])).all()


def test_a_token_limit_of_which_nothing_is_stated_is_halved() -> None:
    def script(number: int, body: dict[str, Any]) -> Answer | None:
        return refusal("max_tokens is too large") if limit_of(body) > 2000 else None

    with ScoreServer(script=script) as server:
        ask(make("custom", server.url, reasoning_tokens=6000))
        limits = [limit_of(body) for body in asked(server)]
    assert limits[-1] <= 2000
    assert len(limits) <= 4


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is {context} tokens. However, you requested {asked} "
        "tokens ({input} in the messages, {reply} in the completion).",
        "'max_tokens' is too large: {reply}. This model's maximum context length is {context} "
        "tokens and your request has {input} input tokens.",
        "the request exceeds the available context size, try increasing it",
        "request ({asked} tokens) exceeds the available context size ({context} tokens)",
        "prompt is too long: {input} tokens > {context} maximum",
    ],
)
@pytest.mark.parametrize("reasoning", [0, 4096])
@pytest.mark.parametrize("context", [1024, 4096])
def test_smaller_requests_are_asked_where_the_context_is_too_small(
    words: str, reasoning: int, context: int, tmp_path: Path
) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer | None:
        text = "".join(said["content"] for said in body["messages"])
        size, reply = len(text) // 4, limit_of(body)
        if size + reply <= context:
            return None
        numbers = {"context": context, "asked": size + reply, "input": size, "reply": reply}
        return refusal(words.format(**numbers), code="context_length_exceeded")

    rows = some_rows(200, 16)
    with (
        ScoreServer(script=script) as server,
        custom_source(server, tmp_path, reasoning_tokens=reasoning, requests_at_once=1) as source,
    ):
        assert source.fill(rows).left == 0
        assert_scored(source, rows)
        refused = [entry for entry in server.log.requests if script(0, entry["body"])]
        assert len(refused) <= 4
        before = len(server.log.requests)
        others = [Row(f"other{n}", row.keys) for n, row in enumerate(rows)]
        source.fill(others)  # the smaller size is remembered
        later = server.log.requests[before:]
        assert not [entry for entry in later if script(0, entry["body"])]


def test_a_text_that_is_longer_than_the_context_is_left_and_the_shorter_are_scored(
    tmp_path: Path,
) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer | None:
        long = len(body["messages"][-1]["content"]) > 80
        return refusal("context length exceeded") if long else None

    rows = prefix_rows(PIECES)
    with (
        ScoreServer(script=script) as server,
        custom_source(server, tmp_path, scope="prefix") as source,
    ):
        report = source.fill(rows)
        assert 0 < report.left < report.pairs
        assert "context length exceeded" in source.summary(report)
        prompt = source.provider.prompt  # type: ignore[attr-defined]
        long = [row for row in rows if len(prompt([row]).user) > 80]
        assert source.missing(rows) == long != []


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("reasoning_effort: Input should be 'medium' or 'high'", "medium"),
        ("This model does not support thinking.", None),
        ("Unsupported value: reasoning effort must be one of [medium]", "medium"),
    ],
)
def test_a_level_of_thinking_that_is_not_taken_is_changed_or_left_out(
    words: str, left: str | None
) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer | None:
        return refusal(words) if body.get("reasoning_effort") == "low" else None

    with ScoreServer(script=script) as server:
        ask(make("cerebras", server.url))
        efforts = [body.get("reasoning_effort") for body in asked(server)]
    assert efforts == ["low", left]


def test_a_server_that_refuses_every_part_in_turn_cannot_send_us_in_circles() -> None:
    everything = "temperature reasoning system role max_tokens response_format: unsupported"
    with (
        ScoreServer(script=lambda number, body: refusal(everything)) as server,
        pytest.raises(ProviderRejected),
    ):
        ask(make("custom", server.url, reasoning_effort="low"))
    assert server.log.received <= 5


def test_a_server_that_refuses_a_plainer_form_is_asked_in_the_next(tmp_path: Path) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer | None:
        form = (body.get("response_format") or {"type": "text"})["type"]
        return {"json_schema": chat("No."), "json_object": refusal("Bad Request")}.get(form)

    rows = some_rows(20, 8)
    with ScoreServer(script=script) as server, custom_source(server, tmp_path) as source:
        assert source.fill(rows).left == 0
        assert len(server.log.requests) == 3


def test_a_thinking_model_gets_room_once_its_reply_was_cut(tmp_path: Path) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer | None:
        thoughts = chat("", "length", reasoning_content="Let me see")
        return thoughts if limit_of(body) < 3000 else None

    rows = some_rows(40, 8)
    with (
        ScoreServer(script=script) as server,
        custom_source(server, tmp_path, rows_per_request=10) as source,
    ):
        before = source.provider.estimate(rows).completion_tokens  # type: ignore[attr-defined]
        assert source.fill(rows).left == 0
        assert len(server.log.requests) == 1 + 4
        after = source.provider.estimate(rows).completion_tokens  # type: ignore[attr-defined]
    assert after == before + 4096


def test_what_a_thinking_model_is_allowed_is_planned_by_half_and_set_aside_whole() -> None:
    thinking, plain = (
        make("cerebras", "http://127.0.0.1:9/v1", reasoning_effort=effort)
        for effort in ("low", "none")
    )
    planned = thinking.expect(ROWS).completion_tokens - plain.expect(ROWS).completion_tokens
    assert planned == thinking.settings.reasoning_tokens // 2 == 2048
    assert thinking.estimate(ROWS).completion_tokens > 4096


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_the_responses_api_is_for_the_provider_custom(status: int) -> None:
    with (
        ScoreServer(script=lambda number, body: message({"detail": "no"}, status)) as server,
        pytest.raises(ProviderRejected, match=r"--provider custom.*CUSTOM_BASE_URL"),
    ):
        ask(make("openai", server.url))
    assert server.log.received == 1


@every_plugin
def test_a_base_urls_query_goes_with_every_request_and_its_key_is_shown_nowhere(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    query = "api-version=2024-10-21&api-key=planted%2Bquery%2Bkey"
    with ScoreServer(models=("other",)) as server:
        provider = make(name, f"{server.url}?{query}")
        with (
            caplog.at_level("DEBUG"),
            pytest.raises(ProviderRejected, match="It has: other") as caught,
        ):
            ask(provider)
        assert [path.partition("?")[2] for path in server.log.paths] == [query, query]
    identity = str(provider.identity().to_dict())
    assert "api-version=2024-10-21" in identity
    assert "planted" not in identity + str(caught.value) + repr(provider.settings)
    assert "planted" not in caplog.text


def test_a_base_urls_query_goes_with_batches_too() -> None:
    async def submit(provider: Any) -> None:
        try:
            await provider.submit_batch([list(ROWS)], "mark")
        finally:
            await provider.aclose()

    with ScoreServer() as server:
        asyncio.run(submit(make("openai", f"{server.url}?api-version=1")))
        assert {path.partition("?")[2] for path in server.log.paths} == {"api-version=1"}
