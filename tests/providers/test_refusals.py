"""What a server refuses, and what a user reads about it."""

from __future__ import annotations

import asyncio
import socket

import pytest
from llmattn.errors import (
    ConfigError,
    MissingSetting,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
)
from llmattn.testing.faults import FaultPlan
from llmattn.testing.server import ScoreServer
from support_providers import KEY, NAMES, ROWS, ask, expected, make

every_plugin = pytest.mark.parametrize("name", NAMES)
STRICTEST = {"openai": "json_schema", "cerebras": "json_schema", "custom": "exact_schema"}


def formats(server: ScoreServer) -> list[str]:
    """The format that each request asked for."""
    found = []
    for request in server.log.requests:
        body = request["body"]
        form = body.get("response_format") or body.get("text", {}).get("format") or {"type": "text"}
        found.append("exact_schema" if "prefixItems" in str(form) else form["type"])
    return found


@every_plugin
@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_refused_format_is_stepped_down_from_once(name: str, status: int) -> None:
    with ScoreServer(
        refuse=("exact_schema", "json_schema", "json_object"), refuse_status=status
    ) as server:
        provider = make(name, server.url)
        ask(provider)
        steps = len(server.log.requests)
        got = ask(provider)
        asked = formats(server)
    ladder = ["exact_schema", "json_schema", "json_object", "text"]
    assert asked[:steps] == ladder[ladder.index(STRICTEST[name]) :]
    assert asked[steps:] == ["text"]
    assert (got.scores[0] == expected(ROWS[0])).all()


@every_plugin
def test_many_refused_at_once_step_down_no_further_than_one(name: str) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*(provider.score(ROWS) for _ in range(10)))
        await provider.aclose()

    with ScoreServer(refuse=("exact_schema", "json_schema"), latency=0.05) as server:
        provider = make(name, server.url)
        asyncio.run(all_at_once())
        assert formats(server).count("json_object") == 10


@every_plugin
@pytest.mark.parametrize("part", ["temperature", "reasoning"])
def test_a_refused_parameter_is_left_out_from_then_on(name: str, part: str) -> None:
    with ScoreServer(refuse=(part,)) as server:
        provider = make(name, server.url, reasoning_effort="low")
        ask(provider)
        ask(provider)
        bodies = [str(request["body"]) for request in server.log.requests]
    assert [part in body.replace("reasoning_effort", "reasoning") for body in bodies] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("taken", "asked"), [(("minimal", "low", "high"), "minimal"), (("low", "medium"), "low")]
)
def test_the_least_reasoning_that_the_model_has_is_asked_for(
    taken: tuple[str, ...], asked: str
) -> None:
    with ScoreServer(efforts=taken) as server:
        ask(make("openai", server.url))
        efforts = [request["body"]["reasoning"]["effort"] for request in server.log.requests]
    assert efforts == ["none", asked]


def test_the_other_name_of_the_token_limit_is_tried() -> None:
    with ScoreServer(refuse=("max_tokens",)) as server:
        ask(make("custom", server.url))
        assert "max_completion_tokens" in server.log.requests[-1]["body"]


def test_refusing_both_names_of_the_token_limit_is_an_error() -> None:
    with (
        ScoreServer(refuse=("max_tokens", "max_completion_tokens")) as server,
        pytest.raises(ProviderRejected, match="max_"),
    ):
        ask(make("custom", server.url))


@every_plugin
def test_a_wrong_key_names_its_variable_and_not_the_key(name: str) -> None:
    with (
        ScoreServer(api_key="another") as server,
        pytest.raises(ProviderRejected, match=f"{name.upper()}_API_KEY") as caught,
    ):
        ask(make(name, server.url))
    assert KEY not in str(caught.value)


@every_plugin
@pytest.mark.parametrize("key", ["sk-planted\nkey", "sk-plantedключ", "sk planted key"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(name: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{name.upper()}_API_KEY") as caught:
        make(name, "http://127.0.0.1:1/v1", api_key=key)
    assert "planted" not in str(caught.value)


@every_plugin
def test_an_unknown_model_names_the_servers_models(name: str) -> None:
    with (
        ScoreServer(models=("alpha", "beta")) as server,
        pytest.raises(ProviderRejected, match=r"no model 'test-model'\. It has: alpha, beta"),
    ):
        ask(make(name, server.url))


@every_plugin
def test_a_wrong_path_says_that_the_base_url_may_be_wrong(name: str) -> None:
    with (
        ScoreServer() as server,
        pytest.raises(ProviderRejected, match="base URL"),
    ):
        ask(make(name, f"{server.origin}/elsewhere"))


@every_plugin
def test_an_account_without_credit_is_not_asked_again(name: str) -> None:
    with ScoreServer(quota=True) as server, pytest.raises(ProviderRejected, match="no credit"):
        ask(make(name, server.url))


@every_plugin
@pytest.mark.parametrize(
    ("fault", "wait"), [("rate_limit", 1.5), ("rate_limit_ms", 1.5), ("rate_limit_bare", None)]
)
def test_a_rate_limit_tells_how_long_to_wait(name: str, fault: str, wait: float | None) -> None:
    with (
        ScoreServer(faults=FaultPlan({fault: 1.0}), retry_after=1.5) as server,
        pytest.raises(RateLimited) as caught,
    ):
        ask(make(name, server.url))
    assert caught.value.retry_after == wait


@every_plugin
def test_the_sdk_does_not_try_again_by_itself(name: str) -> None:
    with ScoreServer(faults=FaultPlan({"loading": 1.0})) as server:
        with pytest.raises(ProviderUnavailable):
            ask(make(name, server.url))
        assert len(server.log.requests) == 1


@every_plugin
def test_an_unreachable_server_is_named_without_credentials(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ProviderUnavailable, match=f"http://127.0.0.1:{port}/v1 cannot") as caught:
        ask(make(name, f"http://me:hunter22@127.0.0.1:{port}/v1"))
    assert not caught.value.reached
    assert "hunter22" not in str(caught.value)


def test_a_server_without_a_model_named_says_how_to_name_one() -> None:
    with pytest.raises(MissingSetting, match=r"LLM_MODEL.*-o custom.model"):
        make("custom", "http://127.0.0.1:1/v1", {"LLM_MODEL": ""})
