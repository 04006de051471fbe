"""``llmattn plan`` and ``score`` for scores in context, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llmattn.testing.server import ScoreServer
from support_cli import FAILED, run_cli
from support_context import TEXT

ASKED = ("--stream", "--block-size", "12", "--scope", "prefix", "--provider", "custom")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[ScoreServer]:
    with ScoreServer() as running:
        (folder / ".env").write_text(
            f"CUSTOM_BASE_URL={running.url}\nCUSTOM_API_KEY=key\nLLM_MODEL=test-model\n"
        )
        yield running


def planned(folder: Path, *options: str) -> dict[str, Any]:
    done = run_cli(folder, "plan", "text.txt", *ASKED, "--json", *options)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    return dict(found)


def test_the_plan_tells_what_scoring_then_sends(folder: Path, server: ScoreServer) -> None:
    plan = planned(folder)
    assert not server.log.requests
    done = run_cli(folder, "score", "text.txt", *ASKED)
    assert done.returncode == 0, done.stderr
    total = plan["curve"][-1]
    assert len(server.log.requests) == total["usage"]["requests"]
    assert server.log.summary()["distinct_pairs"] == plan["pairs"]
    assert server.log.summary()["most_times_one_pair"] == 1


def test_what_is_cached_is_neither_planned_nor_sent_again(
    folder: Path, server: ScoreServer
) -> None:
    run_cli(folder, "score", "text.txt", *ASKED)
    server.reset()
    plan = planned(folder)
    assert plan["cached"] == plan["pairs"]
    done = run_cli(folder, "score", "text.txt", *ASKED)
    assert "0 scored now" in done.stdout
    assert not server.log.requests


def test_a_text_costs_a_row_for_each_of_its_tokens_but_the_first_of_a_window(
    folder: Path, server: ScoreServer
) -> None:
    plan = planned(folder)
    assert plan["curve"][-1]["coverage"] == 1
    assert plan["rows"] <= plan["tokens"]
    assert plan["rows"] > 0.8 * plan["tokens"]


def test_training_goes_on_from_what_was_scored(folder: Path, server: ScoreServer) -> None:
    run_cli(folder, "score", "text.txt", *ASKED)
    server.reset()
    small = ("--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--batch-size", "4")
    done = run_cli(folder, "train", "--corpus", "text.txt", *ASKED, *small, "--steps", "2")
    assert done.returncode == 0, done.stderr
    assert "relevance: 100.0% of the attention" in done.stdout
    assert not server.log.requests
    sample = ("sample", "--prompt", "the boat", "--seed", "1", "--max-new", "5", *ASKED[3:5])
    offline = run_cli(folder, *sample)
    assert offline.returncode == 0, offline.stderr
    assert not server.log.requests
    asked = run_cli(folder, *sample, "--ask")
    assert asked.returncode == 0, asked.stderr
    assert server.log.requests


def test_a_batch_of_texts_is_handed_over_and_collected(folder: Path) -> None:
    with ScoreServer() as server:
        (folder / ".env").write_text(
            f"OPENAI_BASE_URL={server.url}\nOPENAI_API_KEY=key\nLLM_MODEL=test-model\n"
        )
        asked = ("text.txt", *ASKED[:-1], "openai", "--batch")
        assert "handed" in run_cli(folder, "score", *asked).stdout
        for _ in range(4):
            done = run_cli(folder, "score", *asked)
        assert "Everything is scored." in done.stdout, done.stdout + done.stderr


def test_a_probe_of_scores_in_context_is_refused(folder: Path) -> None:
    prefix = ("--provider", "random", "-o", "random.scope=prefix")
    done = run_cli(folder, "score", "--probe", *prefix)
    assert done.returncode in FAILED
    assert "--probe asks for pairs of words" in done.stderr


@pytest.mark.parametrize("command", ["plan", "score", "train"])
def test_a_choice_of_pairs_is_refused_where_there_are_none(folder: Path, command: str) -> None:
    prefix = ("--provider", "random", "-o", "random.scope=prefix", "--coverage", "0.5")
    text = ("--corpus", "text.txt") if command == "train" else ("text.txt",)
    done = run_cli(folder, command, *text, *prefix)
    assert done.returncode in FAILED
    assert "--coverage and --min-pair-count are for scores of pairs of words" in done.stderr
