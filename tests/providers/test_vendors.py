"""Vendors with a protocol of their own, against servers on loopback that speak it."""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from llmattn.errors import (
    BadReply,
    ConfigError,
    LlmattnError,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
    TooLarge,
)
from llmattn.plugins import load_plugins
from llmattn.providers.prices import price_of
from llmattn.testing.providers import TEXT, check_faults, check_provider
from llmattn.testing.server import ScoreServer
from support_cli import run_cli
from support_providers import ROWS, ask, expected, make
from support_trust import Seen, Stranger
from support_vendors import KEY, VENDORS, Answer, Vendor, make_vendor

pytest.importorskip("pydantic_ai", reason="it needs Python 3.11")

every_vendor = pytest.mark.parametrize("vendor", VENDORS.values(), ids=list(VENDORS))
two_vendors = pytest.mark.parametrize(
    "vendor", [VENDORS["anthropic"], VENDORS["gemini"]], ids=["anthropic", "gemini"]
)


@two_vendors
def test_the_command_scores_through_the_vendors_protocol(vendor: Vendor, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("the cat eats fish .\nthe dog eats meat .\n" * 4)
    with Stranger(vendor.scoring()) as server:
        asked = ("score", "corpus.txt", "--provider", vendor.name)
        done = run_cli(tmp_path, *asked, **vendor.variables(server.origin))
        again = run_cli(tmp_path, *asked, **vendor.variables(server.origin))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"asking {server.origin}, from ") == 1
    assert "asking" not in again.stderr  # everything is cached
    assert KEY not in done.stdout + done.stderr


@two_vendors
def test_scores_and_tokens_are_the_servers_and_nothing_else_is_sent_or_logged(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Stranger() as stranger, Stranger(vendor.scoring()) as server:
        for name, value in {
            "ANTHROPIC_AUTH_TOKEN": "planted-token",
            "ANTHROPIC_CUSTOM_HEADERS": "X-Mine: planted-1\nAuthorization: Bearer planted-2",
            "ANTHROPIC_LOG": "debug",
            "GOOGLE_API_KEY": "planted-google",
            "GOOGLE_GENAI_USE_VERTEXAI": "true",
            "GOOGLE_GENAI_CLIENT_MODE": "record",
            "ANTHROPIC_BASE_URL": stranger.url,
            "GOOGLE_GEMINI_BASE_URL": stranger.url,
        }.items():
            monkeypatch.setenv(name, value)
        with caplog.at_level(logging.DEBUG):
            got = ask(make_vendor(vendor, server.origin))
        assert stranger.seen == []
    for row, scores in zip(ROWS, got.scores, strict=True):
        np.testing.assert_allclose(scores, expected(row), rtol=1e-6)
    assert got.usage.requests == 1
    assert got.usage.prompt_tokens > 100
    assert 0 < got.usage.completion_tokens < 50
    (request,) = server.seen
    assert "planted-" not in request.text.replace(KEY, "")
    assert re.search(rf"(?im)^{vendor.key_header}: (Bearer )?{KEY}$", request.headers)
    assert request.text.count(KEY) == 1
    logged = {record.name.partition(".")[0] for record in caplog.records}
    assert logged <= {"llmattn", "llmattn_openai", "llmattn_vendors", "asyncio", "httpx2"}
    assert KEY not in caplog.text


@every_vendor
def test_what_can_change_a_score_changes_the_namespace(vendor: Vendor) -> None:
    url = "http://127.0.0.1:1"
    plain = make_vendor(vendor, url).identity()
    assert plain.provider == vendor.name
    for option, value in {"api_key": "another-key", "timeout": 7, "requests_at_once": 3}.items():
        other = make_vendor(vendor, url, **{option: value}).identity()
        assert other.namespace == plain.namespace, option
    changes = {"model": "another", "reasoning_effort": "low", "base_url": "http://127.0.0.1:2"}
    for option, value in changes.items():
        other = make_vendor(vendor, url, **{option: value}).identity()
        assert other.namespace != plain.namespace, option


def test_prices_and_contexts_are_those_that_the_library_knows() -> None:
    plugins = load_plugins()
    for vendor in VENDORS.values():
        price = price_of(plugins.provider(vendor.name), vendor.model)
        assert price is not None
        assert 0 < price.prompt < price.completion
        assert price_of(plugins.provider(vendor.name), "a-model-that-nobody-knows") is None
        asked = {"pairs_per_request": 10**7}
        pairs = make_vendor(vendor, "http://127.0.0.1:1", **asked).limits.pairs_per_request
        assert 10_000 < pairs < 10**6
    assert price_of(plugins.provider("mistral"), "mistral-small-latest") is not None


def test_a_library_that_is_missing_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "anthropic", None)
    with pytest.raises(ConfigError, match=r"pip install 'llmattn-vendors\[anthropic\]'"):
        make_vendor(VENDORS["anthropic"], "http://127.0.0.1:1")


REFUSALS: list[tuple[int, str, type[LlmattnError], str]] = [
    (401, "invalid x-api-key", ProviderRejected, "Check the key in "),
    (403, "The security token in the request is invalid", ProviderRejected, "Check the key in"),
    (400, "API key not valid. Please pass a valid API key.", ProviderRejected, "Check the key"),
    (402, "Your credit balance is too low", ProviderRejected, "no credit"),
    (404, "model: claude-9 was not found", ProviderRejected, "Name another model"),
    (429, "Quota exceeded for requests per minute", RateLimited, "--rpm"),
    (500, "Internal server error", ProviderUnavailable, "Internal"),
    (503, "The model is overloaded. Please try again later.", ProviderUnavailable, "overload"),
    (529, "Overloaded", ProviderUnavailable, "Overloaded"),
    (400, "prompt is too long: 250000 tokens > 200000 maximum", TooLarge, "pairs_per_request"),
    (
        400,
        "The input token count (12000) exceeds the maximum number of tokens allowed (9999).",
        TooLarge,
        "pairs_per_request",
    ),
    (400, "Output blocked by content filtering policy", BadReply, "content filter"),
    (418, "what nobody knows", ProviderRejected, "what nobody knows"),
]


@pytest.mark.long
@every_vendor
def test_a_vendors_refusal_is_an_error_of_ours(vendor: Vendor) -> None:
    for status, words, kind, said in REFUSALS:
        with Stranger(vendor.failing(status, words)) as server, pytest.raises(kind) as caught:
            ask(make_vendor(vendor, server.origin))
        assert said in str(caught.value), words
        assert KEY not in str(caught.value)
    failing = vendor.failing(429, "Resource exhausted", retry_after="14")
    with Stranger(failing) as server, pytest.raises(RateLimited) as limited:
        ask(make_vendor(vendor, server.origin))
    assert limited.value.retry_after == 14
    assert len(server.seen) == 1  # the library tries nothing again
    with pytest.raises(ProviderUnavailable, match="cannot be reached") as unreached:
        ask(make_vendor(vendor, "http://127.0.0.1:1"))
    assert not unreached.value.reached


@pytest.mark.long
@every_vendor
def test_a_redirect_is_told_and_not_followed(vendor: Vendor) -> None:
    with Stranger() as stranger:
        to = {"Location": f"{stranger.origin}/elsewhere"}
        for status in (301, 307, 308):
            with (
                Stranger(lambda _, status=status: (status, to, b"")) as server,  # type: ignore[misc]
                pytest.raises(ProviderRejected, match="Redirects are not followed"),
            ):
                ask(make_vendor(vendor, server.origin))
            assert len(server.seen) == 1
        assert stranger.seen == []


@pytest.mark.long
@every_vendor
def test_an_answer_that_is_none_is_told_by_what_it_is(vendor: Vendor) -> None:
    for body, said in {
        b"": "without a body",
        b"<html>Welcome</html>": "web page",
        b"event: message_start\ndata: {}\n\n": "stream of events",
        b"[1, 2": "something else than a JSON object",
        b"{}": "no reply|reply is empty",
        b'{"content": 7, "candidates": "no", "output": []}': "no reply|reply is empty",
        b'{"content": [{"type": "text", "text": {"a": 1}}], "usage": "none"}': "reply",
        b'{"type": "error", "error": {"type": "overloaded_error", "message": "later"}}': "later",
    }.items():
        answer: Answer = (200, {}, body)
        with (
            Stranger(lambda _, answer=answer: answer) as server,  # type: ignore[misc]
            pytest.raises(LlmattnError, match=said),
        ):
            ask(make_vendor(vendor, server.origin))
        assert len(server.seen) <= 5


@pytest.mark.long
@every_vendor
def test_what_a_model_says_in_place_of_scores_is_told_with_its_tokens(vendor: Vendor) -> None:
    for fault, said in {"refusal": "refused", "length": "limit of", "empty": "empty"}.items():
        with (
            Stranger(vendor.scoring(fault)) as server,
            pytest.raises(BadReply, match=said) as caught,
        ):
            ask(make_vendor(vendor, server.origin))
        assert caught.value.usage is not None
        assert caught.value.usage.prompt_tokens > 100


@pytest.mark.long
@every_vendor
def test_a_schema_is_asked_for_and_stepped_down_from_where_it_is_refused(vendor: Vendor) -> None:
    scoring, refusing = (
        vendor.scoring(),
        vendor.failing(400, "Structured output is not supported by this model."),
    )

    def plain(request: Seen) -> Answer:
        words = ("output_config", "responseJsonSchema", "outputConfig")
        refused = any(word in request.body for word in words)
        return (refusing if refused else scoring)(request)

    with Stranger(plain) as server:
        got = ask(make_vendor(vendor, server.origin))
    np.testing.assert_allclose(got.scores[0], expected(ROWS[0]), rtol=1e-6)
    assert got.usage.requests == len(server.seen) > 1


@pytest.mark.long
def test_a_vendor_passes_the_kit() -> None:
    vendor = VENDORS["anthropic"]
    with ScoreServer(models=(), shape=vendor.shape) as server:
        check_provider(
            lambda: make_vendor(vendor, server.origin), secrets=[KEY], text=TEXT, rows=30
        )


@pytest.mark.long
@two_vendors
def test_every_fault_ends_in_scores_or_an_error_of_ours(vendor: Vendor) -> None:
    check_faults(
        lambda url: make_vendor(vendor, url.removesuffix("/v1"), timeout=1),
        shape=vendor.shape,
        secrets=[KEY],
    )


@pytest.mark.long
@pytest.mark.parametrize("project", ["", "mine"])
def test_vertex_is_asked_with_a_key_or_a_projects_token(project: str) -> None:
    path = "publishers/google/models/gemini-2.5-flash:generateContent"
    place = f"projects/{project}/locations/global/" if project else ""
    gemini = VENDORS["gemini"]

    def scoring(request: Seen) -> Answer:
        assert request.path == f"/v1beta1/{place}{path}"
        return gemini.scoring()(Seen("POST", gemini.shape.path, request.headers, request.body))

    environ = {"VERTEX_API_KEY": KEY, "LLM_MODEL": gemini.model}
    with Stranger(scoring) as server:
        asked = {"base_url": server.origin, **({"project": project} if project else {})}
        got = ask(make("vertex", "", environ, **asked))
    np.testing.assert_allclose(got.scores[0], expected(ROWS[0]), rtol=1e-6)
    header = f"Authorization: Bearer {KEY}" if project else f"x-goog-api-key: {KEY}"
    assert header.lower() in server.seen[0].headers.lower()
    assert server.seen[0].text.count(KEY) == 1


def test_mistral_is_asked_with_a_schema_and_its_key() -> None:
    with ScoreServer(api_key=KEY) as server:
        got = ask(make("mistral", server.url, {"MISTRAL_API_KEY": KEY}))
        (request,) = server.log.requests
    np.testing.assert_allclose(got.scores[0], expected(ROWS[0]), rtol=1e-6)
    assert request["body"]["response_format"]["type"] == "json_schema"
    assert "reasoning_effort" not in json.dumps(request["body"])
