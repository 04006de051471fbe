"""The three LLM plugins against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from llmattn.errors import BadReply, ProviderRejected, ProviderUnavailable
from llmattn.providers.protocol import BatchProvider, Estimator
from llmattn.rows import Row
from llmattn.testing.faults import FaultPlan
from llmattn.testing.providers import TEXT, check_faults, check_provider
from llmattn.testing.server import ScoreServer
from support_cli import run_process
from support_providers import KEY, NAMES, ROWS, ask, expected, make

every_plugin = pytest.mark.parametrize("name", NAMES)


@every_plugin
def test_a_plugin_passes_the_kit(name: str) -> None:
    with ScoreServer() as server:
        check_provider(lambda: make(name, server.url), secrets=[KEY], text=TEXT, rows=100)


@every_plugin
def test_every_fault_ends_in_scores_or_an_error_of_ours(name: str) -> None:
    check_faults(lambda url: make(name, url, timeout=0.3), secrets=[KEY])


@every_plugin
@pytest.mark.parametrize("reply", ["digits", "integers"])
def test_scores_are_the_servers_in_the_order_asked(name: str, reply: str) -> None:
    with ScoreServer() as server:
        got = ask(make(name, server.url, reply=reply))
    for row, scores in zip(ROWS, got.scores, strict=True):
        np.testing.assert_allclose(scores, expected(row), rtol=1e-6)


@every_plugin
def test_criteria_are_channels_asked_in_one_request(name: str) -> None:
    with ScoreServer() as server:
        provider = make(name, server.url, criteria="syntax,meaning,topic")
        got = ask(provider)
        assert len(server.log.requests) == 1
    channels = ("syntax", "meaning", "topic")
    assert provider.channels == channels
    np.testing.assert_allclose(got.scores[0], expected(ROWS[0], channels), rtol=1e-6)


@every_plugin
def test_a_reply_tells_its_usage_and_the_model_and_what_is_left(name: str) -> None:
    with ScoreServer(rate_headers=True) as server:
        got = ask(make(name, server.url))
    assert got.usage.requests == 1
    assert got.usage.prompt_tokens > 0
    assert got.usage.completion_tokens > 0
    assert got.model == "test-model"
    assert got.rate is not None
    assert got.rate.remaining_tokens == 150_000
    assert got.rate.reset_tokens == 90.5


@every_plugin
def test_the_estimate_is_an_upper_bound_of_what_is_billed(name: str) -> None:
    with ScoreServer() as server:
        provider = make(name, server.url)
        rows = [Row(f"q{i}", [f"k{j}" for j in range(20)]) for i in range(20)]
        got = ask(provider, rows)
        assert isinstance(provider, Estimator)
        bound = provider.estimate(rows)
    assert bound.prompt_tokens >= got.usage.prompt_tokens
    assert bound.completion_tokens >= got.usage.completion_tokens


@every_plugin
def test_the_key_goes_to_the_server_as_bearer(name: str) -> None:
    with ScoreServer(api_key=KEY) as server:
        assert len(ask(make(name, server.url)).scores) == 2


@every_plugin
def test_the_request_is_made_of_the_seeds_variables(name: str) -> None:
    with ScoreServer() as server:
        ask(make(name, server.url))
        request = server.log.requests[0]
    assert request["path"] == ("/v1/responses" if name == "openai" else "/v1/chat/completions")
    assert request["body"]["model"] == "test-model"
    assert request["body"]["temperature"] == 0.0


@every_plugin
def test_a_seed_variable_for_the_model_changes_the_namespace(name: str) -> None:
    one = make(name, "http://127.0.0.1:1/v1")
    other = make(name, "http://127.0.0.1:1/v1", {"LLM_MODEL": "gpt-5.4-mini"})
    assert one.identity().namespace != other.identity().namespace


@every_plugin
@pytest.mark.parametrize(
    ("option", "value", "changes"),
    [
        ("api_key", "another-key", False),
        ("timeout", "7", False),
        ("requests_at_once", "3", False),
        ("pairs_per_request", "77", False),
        ("reasoning_tokens", "99", False),
        ("temperature", "0.5", True),
        ("reply", "integers", True),
        ("criteria", "syntax", True),
        ("base_url", "http://127.0.0.1:2/v1", True),
    ],
)
def test_what_can_change_a_score_changes_the_namespace(
    name: str, option: str, value: str, changes: bool
) -> None:
    url = "http://127.0.0.1:1/v1"
    plain = make(name, url).identity().namespace
    assert (make(name, url, {}, **{option: value}).identity().namespace != plain) is changes


@every_plugin
def test_the_identity_holds_the_prompt_to_read(name: str) -> None:
    details = dict(make(name, "http://127.0.0.1:1/v1").identity().details)
    assert "from 0 (nothing to do with it) to 9" in str(details["prompt"])


@every_plugin
@pytest.mark.parametrize("fault", ["truncated", "refusal", "length", "missing_row", "empty"])
def test_what_a_bad_reply_was_billed_is_not_lost(name: str, fault: str) -> None:
    with (
        ScoreServer(faults=FaultPlan({fault: 1.0})) as server,
        pytest.raises(BadReply) as caught,
    ):
        ask(make(name, server.url))
    assert caught.value.usage is not None
    assert caught.value.usage.prompt_tokens > 0


@every_plugin
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("refusal", "refused: .I'm sorry"),
        ("content_filter", "content filter"),
        ("length", "limit of .* tokens.*reasoning_tokens="),
        ("content_type", "text/html"),
    ],
)
def test_a_bad_reply_says_what_kind_it_is(name: str, fault: str, words: str) -> None:
    with (
        ScoreServer(faults=FaultPlan({fault: 1.0})) as server,
        pytest.raises(BadReply, match=words),
    ):
        ask(make(name, server.url))


@every_plugin
@pytest.mark.parametrize(
    ("fault", "billed"), [("stall", True), ("reset", True), ("loading", False)]
)
def test_a_lost_answer_may_have_been_billed(name: str, fault: str, billed: bool) -> None:
    with (
        ScoreServer(faults=FaultPlan({fault: 1.0})) as server,
        pytest.raises(ProviderUnavailable) as caught,
    ):
        ask(make(name, server.url, timeout=0.3))
    assert caught.value.billed is billed
    assert caught.value.reached


@every_plugin
def test_one_provider_serves_several_event_loops(name: str, tmp_path: Path) -> None:
    # In a process of its own: nobody can close the first loop's connections in order.
    code = (
        "import asyncio, sys; from support_providers import ROWS, make; "
        "provider = make(*sys.argv[1:]); "
        "[asyncio.run(provider.score(ROWS)) for _ in range(2)]"
    )
    with ScoreServer() as server:
        here = str(Path(__file__).parents[1])
        done = run_process(tmp_path, name, server.url, program=("-c", code), PYTHONPATH=here)
        assert done.returncode == 0, done.stderr
        assert len(server.log.requests) == 2


@every_plugin
def test_many_requests_run_at_once(name: str) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*(provider.score(ROWS) for _ in range(20)))
        await provider.aclose()

    with ScoreServer(latency=0.6) as server:
        provider = make(name, server.url)
        asyncio.run(all_at_once())
        assert server.log.most_in_flight == 20


def test_the_base_url_of_openai_is_the_sdks_variable() -> None:
    with ScoreServer() as server:
        provider = make("openai", server.url)
        assert provider.settings.base_url == server.url


def test_custom_needs_no_key_and_does_not_send_openais() -> None:
    environment = {"OPENAI_API_KEY": KEY, "CUSTOM_API_KEY": ""}
    with (
        ScoreServer(api_key=KEY) as server,
        pytest.raises(ProviderRejected, match="CUSTOM_API_KEY"),
    ):
        ask(make("custom", server.url, environment))
    with ScoreServer() as server:
        assert ask(make("custom", server.url, environment)).scores


def test_only_openai_works_in_batches() -> None:
    url = "http://127.0.0.1:1/v1"
    found = {name for name in NAMES if isinstance(make(name, url), BatchProvider)}
    assert found == {"openai"}


def test_registering_the_plugins_imports_neither_openai_nor_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from llmattn.plugins import load_plugins; "
        "names = load_plugins().providers.names(); "
        "assert {'openai', 'cerebras', 'custom'} <= set(names), names; "
        "print({'openai', 'torch', 'httpx2', 'pydantic_ai'} & set(sys.modules))"
    )
    done = run_process(tmp_path, program=("-c", code))
    assert done.stdout.strip() == "set()", done.stderr
