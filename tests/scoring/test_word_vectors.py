"""Word vectors: asked for, paid and kept as scores are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llmattn.errors import BudgetExceeded, ConfigError, LlmattnError, ProviderRejected
from llmattn.identity import Identity
from llmattn.providers.protocol import VectorReply
from llmattn.providers.vectors import VectorScores, read_vectors, vector_rows
from llmattn.rows import Scope
from llmattn.scoring.options import ScoreChoice, ScoringOptions
from llmattn.scoring.vectors import VectorSource
from llmattn.testing.api import Answer, word_vector
from llmattn.testing.faults import FaultPlan
from llmattn.testing.server import ScoreServer
from numpy.typing import NDArray
from support_cli import run_cli
from support_engine import write_corpus

WORDS = [f" word{number}" for number in range(600)]
KEY = "sk-test-2b7e151628aed2a6abf7158809cf4f3c"
NOBODY = "http://127.0.0.1:9/v1"


@contextmanager
def source(
    url: str, folder: Path, provider: str = "custom", options: Any = None, **settings: object
) -> Iterator[VectorSource]:
    given = {"base_url": url, "model": "test-model", "timeout": "20", **settings}
    if provider == "openai":
        given = {"api_key": KEY, "dimensions": 8, **given}
    choice = ScoreChoice(
        word_vectors=provider,
        options={f"{provider}.{name}": str(value) for name, value in given.items()},
        cache_dir=folder,
        scoring=options or ScoringOptions(quiet=True),
    )
    with VectorSource(choice) as opened:
        yield opened


def wanted(words: list[str], dimensions: int = 8) -> NDArray[np.float64]:
    return np.array([word_vector(word.strip(), dimensions) for word in words])


@pytest.mark.parametrize("provider", ["custom", "openai"])
def test_vectors_survive_faults_and_are_paid_once(tmp_path: Path, provider: str) -> None:
    with ScoreServer(faults=FaultPlan.evenly(0.5)) as server:
        with source(server.url, tmp_path, provider) as asked:
            found = asked.vectors(WORDS)
        np.testing.assert_allclose(found, wanted(WORDS), atol=1e-3)
        sent = server.log.received
        with source(server.url, tmp_path, provider) as again:
            assert again.work(WORDS).lacking == 0
            np.testing.assert_array_equal(again.vectors(WORDS), found)
        assert server.log.received == sent


def test_who_may_not_ask_reads_what_is_kept(tmp_path: Path) -> None:
    silent = ScoringOptions(ask=False, quiet=True)
    with ScoreServer() as server, source(server.url, tmp_path, server_name="here") as asked:
        found = asked.vectors(WORDS)
    with source(NOBODY, tmp_path, options=silent, server_name="here") as kept:
        np.testing.assert_array_equal(kept.vectors(WORDS), found)
    with (
        source(NOBODY, tmp_path / "new", options=silent) as empty,
        pytest.raises(ConfigError, match="nobody was asked"),
    ):
        empty.vectors(WORDS)


def test_a_limit_ends_the_run_and_what_came_is_kept(tmp_path: Path) -> None:
    limit = ScoringOptions(max_requests=2, quiet=True)
    with ScoreServer() as server:
        with source(server.url, tmp_path, "openai", options=limit) as asked:
            found = asked.vectors(WORDS)
        assert 0 < np.isnan(found[:, 0]).sum() < len(WORDS)
        assert len(server.log.requests) == 2
        with source(server.url, tmp_path, "openai") as again:
            assert not np.isnan(again.vectors(WORDS)).any()
        assert max(server.log.answered.values()) == 1


def test_no_request_is_sent_beyond_the_default_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMATTN_MAX_COST", "0")
    with ScoreServer() as server:
        with source(server.url, tmp_path, "openai") as asked, pytest.raises(BudgetExceeded):
            asked.vectors(WORDS)
        assert not server.log.requests


def test_another_model_has_vectors_of_its_own(tmp_path: Path) -> None:
    models = ("text-embedding-3-small", "test-model")
    with ScoreServer() as server:
        for model in models:
            with source(server.url, tmp_path, "openai", embedding_model=model) as asked:
                asked.vectors(WORDS[:3])
        assert tuple(each["body"]["model"] for each in server.log.requests) == models


def test_openais_own_vectors_take_one_request_from_the_first(tmp_path: Path) -> None:
    known = "text-embedding-3-small"
    with (
        ScoreServer(dimensions=1536) as server,
        source(server.url, tmp_path, "openai", embedding_model=known, dimensions=0) as asked,
    ):
        assert asked.vectors(WORDS[:3]).shape == (3, 1536)
        (only,) = server.log.requests
        assert "dimensions" not in only["body"]


def test_shorter_vectors_are_asked_for(tmp_path: Path) -> None:
    with ScoreServer() as server, source(server.url, tmp_path, "openai", dimensions=5) as asked:
        assert asked.vectors(WORDS[:3]).shape == (3, 5)
        assert {each["body"]["dimensions"] for each in server.log.requests} == {5}


def test_a_wrong_key_is_told_and_stays_a_secret(tmp_path: Path) -> None:
    with (
        ScoreServer(api_key="another") as server,
        source(server.url, tmp_path, "openai") as asked,
        pytest.raises(ProviderRejected, match="OPENAI_API_KEY") as told,
    ):
        asked.vectors(WORDS)
    assert KEY not in str(told.value)


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": "none"},
        {"data": [{"embedding": [1.0, 2.0]}] * 7},
        {"data": [{"embedding": ["high"]}]},
        {"data": [{"embedding": []}]},
        {"data": [{"embedding": [1e400]}]},
        {"data": [{"embedding": [True]}]},
        {"data": [{"embedding": [0.5], "index": 9}]},
        {"choices": [{"message": {"content": "I am a chat model."}}]},
        [],
        {},
    ],
)
def test_what_is_no_vector_is_refused_with_a_word_about_the_model(
    tmp_path: Path, body: Any
) -> None:
    with (
        ScoreServer(script=lambda number, asked: Answer(200, body)) as server,
        source(server.url, tmp_path) as asked,
        pytest.raises(LlmattnError) as told,
    ):
        asked.vectors(WORDS[:1])
    assert "custom" in str(told.value)
    assert len(server.log.requests) < 12


def test_a_model_that_changes_the_length_of_its_vectors_is_found_out(tmp_path: Path) -> None:
    with ScoreServer() as server:
        with source(server.url, tmp_path) as asked:
            asked.vectors(WORDS[:3])
        server.change(dimensions=9)
        with source(server.url, tmp_path) as again, pytest.raises(LlmattnError, match="9 numbers"):
            again.vectors(WORDS[3:5])


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 1e5])
def test_a_vector_of_any_size_comes_back_as_it_was(scale: float) -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 300)).astype(np.float32) * scale
    scores = VectorScores(_Fixed(vectors), "fixed", 300)
    reply = _awaited(scores.score(vector_rows(WORDS[:20])))
    kept = [each.astype(np.float16).astype(np.float32) for each in reply.scores]
    np.testing.assert_allclose(read_vectors(kept), vectors, atol=3e-3 * scale)
    assert all(0 <= each.min() <= each.max() <= 1 for each in kept)


def test_the_plan_counts_words_and_dollars_and_sends_nothing(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    with ScoreServer() as server:
        done = run_cli(
            tmp_path,
            *("plan", "corpus.txt", "--provider", "random", "--word-vectors", "openai", "--json"),
            OPENAI_API_KEY=KEY,
            OPENAI_BASE_URL=server.url,
        )
        assert server.log.received == 0
    plan = json.loads(done.stdout)[-1]
    assert (plan["words"], plan["cached"]) == (13, 0)
    assert plan["cost"] == pytest.approx(plan["usage"]["prompt_tokens"] * 0.02e-6)


def test_a_provider_without_vectors_is_named(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, "plan", "corpus.txt", "-p", "random", "--word-vectors", "random")
    assert done.returncode != 0
    assert "no word vectors" in done.stderr


def _awaited(work: Any) -> Any:
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


class _Fixed:
    """Gives what it was given."""

    words_per_request, requests_at_once, timeout, dimensions = 64, 1, 1.0, 0

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors

    def identity(self) -> Identity:
        return Identity("fixed", 1, Scope.PAIR, ("vectors",))

    async def vectors(self, words: Any) -> VectorReply:
        return VectorReply(self._vectors)

    async def aclose(self) -> None:
        pass
