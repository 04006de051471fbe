"""A server that moved keeps what it has scored, once its user says that it is the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from llmattn.errors import ConfigError
from llmattn.testing.api import digit
from llmattn.testing.server import ScoreServer
from support_cli import run_cli
from support_scoring import assert_scored, custom_source, some_rows

ROWS = some_rows(20, 10)
MORE = some_rows(30, 10)
TEXT = "the cat sat\nthe dog ran\nthe cat ran\nthe dog sat\n" * 5


def _otherwise(query: str, keys: list[str], criterion: str) -> list[int]:
    return [(digit(query, key, criterion) + 3) % 10 for key in keys]


def test_under_the_old_address_as_name_nothing_is_asked_again(tmp_path: Path) -> None:
    with ScoreServer() as old, custom_source(old, tmp_path) as source:
        source.fill(ROWS)
    with ScoreServer() as new, custom_source(new, tmp_path, server_name=old.url) as source:
        assert source.fill(ROWS).cached == 200
        assert not new.log.requests


def test_a_handful_is_asked_again_at_a_new_address_once(tmp_path: Path) -> None:
    with ScoreServer() as old, custom_source(old, tmp_path, server_name="box") as source:
        source.fill(ROWS)
    with ScoreServer() as new:
        with custom_source(new, tmp_path, server_name="box") as source:
            source.fill(MORE)
            assert_scored(source, MORE)
        assert sum(n > 1 for n in new.log.answered.values()) == 0
        asked = {query for query, _ in new.log.answered}
        assert len(asked) == 10 + 4
        new.reset()
        with custom_source(new, tmp_path, server_name="box") as source:
            source.fill(some_rows(31, 10))
        assert {query for query, _ in new.log.answered} == {"query30"}


def test_another_model_is_refused_with_how_much_differs(tmp_path: Path) -> None:
    with ScoreServer() as old, custom_source(old, tmp_path, server_name="box") as source:
        source.fill(ROWS)
    with ScoreServer(answers=_otherwise) as new:
        with custom_source(new, tmp_path, server_name="box") as source:
            with pytest.raises(ConfigError, match=r"of 32 stored scores of 'box'.* \d+ came out"):
                source.fill(MORE)
            assert len(source.missing(MORE)) == 10
        assert len(new.log.requests) == 1


def test_who_says_so_goes_on_with_another_model(tmp_path: Path) -> None:
    with ScoreServer() as old, custom_source(old, tmp_path, server_name="box") as source:
        source.fill(ROWS)
    with (
        ScoreServer(answers=_otherwise) as new,
        custom_source(new, tmp_path, server_name="box", server_may_differ=True) as source,
    ):
        assert source.fill(MORE).scored == 100


def test_plan_tells_of_scores_at_another_address_and_how_to_have_them(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(TEXT)
    options = ("corpus.txt", "--provider", "custom", "--model", "test-model")
    with ScoreServer() as old:
        done = run_cli(tmp_path, "score", *options, CUSTOM_BASE_URL=old.url)
        assert done.returncode == 0, done.stderr
    moved = {"CUSTOM_BASE_URL": "http://127.0.0.1:9/v1"}
    done = run_cli(tmp_path, "plan", *options, **moved)
    assert f"-o custom.server_name={old.url}" in done.stderr
    done = run_cli(tmp_path, "plan", *options, "-o", f"custom.server_name={old.url}", **moved)
    assert re.search(r"requests to send +0\n", done.stdout), done.stdout
    assert "server_name" not in done.stderr


def test_a_model_trained_at_the_old_address_samples_from_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(TEXT)
    options = ("--provider", "custom", "--model", "test-model")
    shape = ("--steps", "1", "--n-embd", "16", "--block-size", "8", "--out", "m.pt")
    with ScoreServer() as old:
        train = ("train", "--corpus", "corpus.txt", *options, *shape)
        done = run_cli(tmp_path, *train, CUSTOM_BASE_URL=old.url)
        assert done.returncode == 0, done.stderr
    ask = ("sample", "--checkpoint", "m.pt", "--prompt", "the zebra", "--ask", "--model")
    with ScoreServer() as new:
        sample = (*ask, "test-model", "--max-new", "2")
        done = run_cli(tmp_path, *sample, CUSTOM_BASE_URL=new.url)
        assert f"-o custom.server_name={old.url}" in done.stderr, done.stderr
        assert not new.log.requests
        named = ("-o", f"custom.server_name={old.url}")
        done = run_cli(tmp_path, *sample, *named, CUSTOM_BASE_URL=new.url)
        assert done.returncode == 0, done.stderr
