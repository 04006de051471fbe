"""A comparison, and the asking for scores, on a real cluster of processes on loopback."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llmattn
import numpy as np
import pytest
from llmattn.errors import ConfigError, WorkerLost
from llmattn.testing import ScoreServer
from llmattn_dask.executor import DaskExecutor
from llmattn_dask.settings import DaskSettings
from support_cli import run_cli
from support_cluster import Cluster, Following
from support_engine import write_corpus
from support_transformers import save_model

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SMALL: dict[str, Any] = {
    "n_layer": 1,
    "n_head": 2,
    "n_embd": 16,
    "batch_size": 8,
    "min_count": 1,
    "dropout": 0.1,
    "eval_every": 3,
    "steps": 6,
    "lr": 3e-2,
    "seeds": 1,
}
KEY = "a-key-that-only-workers-have"


@pytest.fixture(scope="module")
def server() -> Iterator[ScoreServer]:
    with ScoreServer(models=(), api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def executor(cluster: Cluster) -> Iterator[DaskExecutor]:
    """With two workers at least, which have the key."""
    alive(cluster, 2)
    executor = DaskExecutor(DaskSettings(address=cluster.address))
    yield executor
    executor.close()


def alive(cluster: Cluster, number: int) -> list[subprocess.Popen[str]]:
    """So many workers that live."""
    while len(living := [each for each in cluster.workers if each.poll() is None]) < number:
        cluster.start_worker(CUSTOM_API_KEY=KEY)
    return living


def until(true: Callable[[], Any]) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + 600
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def runs(folder: Path) -> dict[str, Any]:
    """Each run in full, without where and how fast it was made."""
    found = {path.name: json.loads(path.read_text()) for path in folder.glob("runs/*.json")}
    own = ("place", "seconds", "checksum")
    return {k: {n: v for n, v in run.items() if n not in own} for k, run in found.items()}


@contextmanager
def at_first_run(do: Callable[[], None]) -> Iterator[None]:
    """``do`` it when a comparison tells of the first run that it makes; others are under way."""
    told: list[str] = []

    class AtFirstRun(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not told and record.getMessage().startswith("["):
                told.append(record.getMessage())
                do()

    logger, handler = logging.getLogger("llmattn.notices"), AtFirstRun()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def interrupt() -> None:
    """What Ctrl-C does, also where a shell that started the tests has it ignored."""
    raise KeyboardInterrupt


def test_a_cluster_that_is_interrupted_and_loses_a_worker_has_the_local_result_to_the_bit(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMATTN_CACHE_DIR", str(tmp_path / "scores"))
    corpus = write_corpus(tmp_path)
    same: dict[str, Any] = {
        **SMALL,
        "arms": "external:cooccurrence,external:random,transfer:cooccurrence,position",
        "options": {"random.scope": "prefix"},
        "threads": 1,
    }
    llmattn.compare(corpus, out="here", **same)
    victim, *_ = alive(cluster, 3)
    far = {**same, "options": {**same["options"], "dask.address": cluster.address}}
    far |= {"out": "there", "executor": "dask"}
    with at_first_run(interrupt), pytest.raises(KeyboardInterrupt):
        llmattn.compare(corpus, **far)
    kept = {path: path.stat().st_mtime_ns for path in Path("there").glob("runs/*.json")}
    assert len(kept) == 1
    with at_first_run(lambda: os.kill(victim.pid, signal.SIGKILL)):
        llmattn.compare(corpus, **far)
    assert victim.wait() == -signal.SIGKILL
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(runs(tmp_path / "here")) == 4
    assert runs(tmp_path / "there") == runs(tmp_path / "here")


def test_an_item_is_carried_out_again_or_not_as_the_caller_says(
    executor: DaskExecutor, cluster: Cluster, tmp_path: Path
) -> None:
    for again in (True, False):
        alive(cluster, 2)
        work = Following(tmp_path / f"{again}")
        future = executor.submit(work, "wait", again=again)
        until(work.began)
        os.kill(work.began()[0], signal.SIGKILL)
        if again:
            assert future.result(timeout=300) == 1
        else:
            with pytest.raises(WorkerLost):
                future.result(timeout=300)
        assert len(work.began()) == 1 + again


def test_an_error_of_the_work_is_the_callers(executor: DaskExecutor, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be done"):
        executor.submit(Following(tmp_path / "pids"), "fail").result(timeout=300)


def test_what_nobody_waits_for_makes_room(executor: DaskExecutor, tmp_path: Path) -> None:
    work = Following(tmp_path / "pids")
    endless = [executor.submit(work, "endless") for _ in range(executor.places)]
    until(lambda: len(work.began()) == len(endless))
    for each in endless:
        each.cancel()
    assert executor.submit(work, "next").result(timeout=300) >= len(endless)


def test_workers_ask_with_their_own_key_and_no_more_than_was_permitted(
    cluster: Cluster, server: ScoreServer, tmp_path: Path
) -> None:
    alive(cluster, 1)
    write_corpus(tmp_path)
    far = ("--executor", "dask", "-o", f"dask.address={cluster.address}")
    asking = ("--provider", "custom", "--model", "m", "-o", f"custom.base_url={server.url}")
    limited = run_cli(tmp_path, "score", "corpus.txt", *far, *asking, "--max-requests", "1")
    assert limited.returncode == 0, limited.stderr
    assert len(server.log.requests) == 1
    done = run_cli(tmp_path, "score", "corpus.txt", *far, *asking)
    assert done.returncode == 0, done.stderr
    # Locally with the same key: nothing is left to ask.
    sent = len(server.log.requests)
    here = run_cli(tmp_path, "score", "corpus.txt", *asking, CUSTOM_API_KEY=KEY)
    assert here.returncode == 0, here.stderr
    assert "0 scored now" in here.stdout
    assert len(server.log.requests) == sent > 1


def test_workers_read_with_models_of_their_own(cluster: Cluster, tmp_path: Path) -> None:
    alive(cluster, 1)
    model = save_model(tmp_path / "model")
    same: dict[str, Any] = {"provider": "transformers", "model": str(model), "cache": "memory"}
    text = "The cat saw a dog, and the dog ran."
    (here,) = llmattn.score_text(text, **same).sources
    far: dict[str, Any] = {"executor": "dask", "options": {"dask.address": cluster.address}}
    (there,) = llmattn.score_text(text, **same, **far).sources
    assert there.names == here.names
    for one, other in zip(there.values, here.values, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_a_worker_with_another_version_is_named(cluster: Cluster, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    other = tmp_path / "site" / "llmattn_core-0.0.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: llmattn-core\nVersion: 0.0.9\n")
    worker = cluster.start_worker(PYTHONPATH=str(other.parent))
    try:
        command = ("compare", "corpus.txt", "--arms", "position", "--executor", "dask")
        done = run_cli(tmp_path, *command, DASK_SCHEDULER_ADDRESS=cluster.address)
    finally:
        worker.kill()
        worker.wait()
    assert done.returncode == 3
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("error:")]
    assert "has llmattn-core 0.0.9" in line
    assert not (tmp_path / "comparison" / "runs").exists()
