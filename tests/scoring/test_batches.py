"""`llmattn score --batch`: handed over by one process, collected by another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from llmattn.testing.faults import FaultPlan
from llmattn.testing.server import ScoreServer
from support_cli import FAILED, Done, run_cli, run_process

CORPUS = "the cat eats fish .\nthe dog eats meat .\nthe cat sees the dog .\n" * 10


def score(
    tmp_path: Path,
    server: ScoreServer,
    *arguments: str,
    provider: str = "openai",
    cache_dir: str | None = "cache",
    run: Callable[..., Done] = run_cli,
) -> Done:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    return run(
        tmp_path,
        *("score", "corpus.txt", "-p", provider),
        *(("--cache-dir", cache_dir) if cache_dir else ()),
        *arguments,
        OPENAI_BASE_URL=server.url,
        OPENAI_API_KEY="sk-planted-batch",
    )


def test_a_later_process_collects_and_nothing_is_left_to_ask(tmp_path: Path) -> None:
    with ScoreServer(batch_polls=2) as server:
        first = score(tmp_path, server, "--batch", run=run_process)
        assert "handed over" in first.stdout, first.stderr
        assert list((tmp_path / "cache" / "batches").rglob("*.json"))
        texts = [
            path.read_text()
            for path in (tmp_path / "cache" / "batches").rglob("*")
            if path.is_file()
        ]
        assert "sk-planted-batch" not in "".join(texts)
        second = score(tmp_path, server, "--batch", run=run_process)
        assert "request done" in second.stdout, second.stderr
        for _ in range(3):
            last = score(tmp_path, server, "--batch")
        assert "Everything is scored." in last.stdout, last.stderr
        assert not list((tmp_path / "cache" / "batches").rglob("*.json"))
        before = server.log.summary()["distinct_pairs"]
        assert ", 0 scored now" in score(tmp_path, server).stdout
        assert server.log.summary()["most_times_one_pair"] == 1
        assert server.log.summary()["distinct_pairs"] == before


@pytest.mark.parametrize("end", ["expired", "failed", "cancelled"])
def test_what_a_batch_did_not_answer_is_asked_again(tmp_path: Path, end: str) -> None:
    small = ("--batch", "-o", "pairs_per_request=8")
    with ScoreServer(batch_end=end) as server:
        score(tmp_path, server, *small)
        for _ in range(2):
            ended = score(tmp_path, server, *small)
        server.change(batch_end="completed")
        for _ in range(4):
            last = score(tmp_path, server, *small)
        assert "Everything is scored." in last.stdout, (ended.stderr, last.stdout, last.stderr)
        assert ", 0 scored now" in score(tmp_path, server).stdout


def test_bad_answers_in_a_batch_are_asked_again(tmp_path: Path) -> None:
    small = ("--batch", "-o", "pairs_per_request=8")
    with ScoreServer(faults=FaultPlan({"truncated": 0.5}, seed=4)) as server:
        told = [score(tmp_path, server, *small).stderr for _ in range(3)]
        assert "holds no complete JSON object" in "".join(told)
        server.change(faults=FaultPlan())
        for _ in range(3):
            last = score(tmp_path, server, *small)
        assert "Everything is scored." in last.stdout, last.stderr


def test_a_provider_without_batches_says_so(tmp_path: Path) -> None:
    with ScoreServer() as server:
        done = score(tmp_path, server, "--batch", provider="cooccurrence")
    assert done.returncode in FAILED
    assert "has no batches" in done.stderr


def test_a_limit_ends_a_batch_as_it_ends_a_live_run(tmp_path: Path) -> None:
    with ScoreServer() as server:
        done = score(tmp_path, server, "--batch", "--max-requests", "1")
    assert done.returncode == 0, done.stderr
    assert "requests: the others might pass" in done.stdout


def test_batches_are_remembered_where_the_cache_is_said_to_be(tmp_path: Path) -> None:
    with ScoreServer() as server:
        done = score(tmp_path, server, "--batch", "-o", "lmdb.dir=elsewhere", cache_dir=None)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "elsewhere" / "batches").rglob("*.json"))
