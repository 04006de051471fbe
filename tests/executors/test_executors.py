"""Who carries work out: how it is named, what it is sent, and how it ends in processes here."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
from attrs import evolve
from llmattn.comparing.config import CompareConfig, Experiment
from llmattn.comparing.making import Task
from llmattn.comparing.runner import Runner
from llmattn.comparing.settle import settle
from llmattn.errors import ConfigError, WorkerLost
from llmattn.executors.local import LocalExecutor
from llmattn.executors.settings import LocalSettings
from llmattn.model.config import ModelConfig
from llmattn.plugins import load_plugins
from llmattn.scoring.elsewhere import Asking, asking_of
from llmattn.scoring.options import ScoreChoice
from llmattn.training.config import TrainConfig
from support_cli import run_cli
from support_cluster import Following
from support_engine import write_corpus

KEY = "sk-never-sent-anywhere"


def config_of(folder: Path) -> CompareConfig:
    """Of an arm with scores in context, whose file is beside the cache."""
    choice = ScoreChoice(
        options={"random.scope": "prefix"}, cache_dir=folder / "scores", executor="dask"
    )
    return settle(
        write_corpus(folder),
        Experiment(
            out=folder / "comparison", arms=("external:random/averaged",), lr=3e-2, threads=1
        ),
        TrainConfig(steps=4, eval_every=2, batch_size=8, min_count=1, test_fraction=0.1),
        ModelConfig.from_options(n_layer=1, n_head=2, n_embd=16),
        choice,
        {},
    )


def test_a_run_is_sent_with_all_that_it_reads(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    runner = Runner(config_of(here))
    runner.prepare()
    (arm,) = runner.config.arms
    task = Task(arm, runner.config.courses(arm)[0], 1)
    made = runner.train(arm, task.course, task.seed)
    sent = pickle.dumps((runner.making(arm, elsewhere=True), task.plain))
    shutil.rmtree(here)  # text, cache and packed scores
    work, item = pickle.loads(sent)
    again = work.begin()(item).run
    assert evolve(again, seconds=0.0, place={}) == evolve(made, seconds=0.0, place={})


def test_nothing_of_a_provider_is_sent_with_a_run(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    secret = {"random.scope": "prefix", "custom.api_key": KEY}
    config = evolve(
        config,
        arms=tuple(evolve(arm, options=secret) for arm in config.arms),
        scores=evolve(config.scores, word_vectors="custom", options=secret),
    )
    runner = Runner(evolve(config, arms=tuple(evolve(a, options={}) for a in config.arms)))
    runner.config = config
    (arm,) = config.arms
    task = Task(arm, config.courses(arm)[0], 0)
    assert KEY.encode() in pickle.dumps(config)
    assert KEY.encode() not in pickle.dumps((runner.making(arm, elsewhere=True), task.plain))


def test_a_key_is_never_among_what_another_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOM_API_KEY", KEY)
    monkeypatch.setenv("CUSTOM_BASE_URL", "http://127.0.0.1:1/v1")
    asking = _asking({})
    assert asking.options == {"base_url": "http://127.0.0.1:1/v1", "model": "m"}
    assert KEY.encode() not in pickle.dumps(asking)
    monkeypatch.setenv("CUSTOM_BASE_URL", f"http://me:{KEY}@127.0.0.1:1/v1")
    assert KEY.encode() not in pickle.dumps(_asking({"api_key": KEY}))


def test_a_machine_whose_scores_would_be_others_says_what_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asking = _asking({"base_url": "http://127.0.0.1:1/v1"})
    monkeypatch.setenv("CUSTOM_CRITERIA", "syntax")
    there = evolve(asking, options={**asking.options, "criteria": "topic"})
    with pytest.raises(ConfigError, match=r"channels is .* here, and .* there"):
        there.begin()


def _asking(options: dict[str, str]) -> Asking:
    from llmattn.scoring.find_provider import build_provider
    from llmattn.settings import environment

    registered = load_plugins().provider("custom")
    built = build_provider(registered, options=options, model="m", environ=environment())
    return asking_of(registered, options, "m", built.provider.identity())


def test_processes_of_this_machine_are_used_again_and_one_that_dies_is_told(tmp_path: Path) -> None:
    executor = LocalExecutor(LocalSettings())
    work = Following(tmp_path / "pids")
    try:
        for number in range(2):
            assert executor.submit(work, "next").result(timeout=300) == number
        with pytest.raises(ConfigError, match="cannot be done"):
            executor.submit(work, "fail").result(timeout=300)
        assert len(set(work.began())) == 1
        with pytest.raises(WorkerLost, match="exit code -9"):
            executor.submit(work, "die").result(timeout=300)
        assert executor.submit(work, "next").result(timeout=300) == 4
        assert len(set(work.began())) == 2
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--executor", "nobody"), "No executor is called 'nobody'. Installed: dask, local."),
        (("--executor", "dask"), "dask needs its address"),
        (
            ("--executor", "dask", "-o", "dask.address=tcp://127.0.0.1:9", "-o", "dask.timeout=1"),
            "dask: no scheduler could be reached at tcp://127.0.0.1:9",
        ),
        (("--executor", "dask", "-o", "dask.address=nonsense://x"), "no scheduler could be"),
        (("-o", "dask.address=tcp://127.0.0.1:9"), "is for 'dask', which is not in use"),
    ],
)
def test_an_executor_that_cannot_work_is_told_in_a_line_before_anything_is_made(
    tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, "compare", "corpus.txt", "--arms", "external:random", *options)
    assert done.returncode == 3, done.stderr
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("error:")]
    assert told in line
    assert not list(tmp_path.glob("comparison/runs/*"))


def test_settings_of_an_executor_are_no_scores_that_an_arm_must_read(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    far = ("--executor", "dask", "-o", "dask.address=tcp://127.0.0.1:9", "-o", "dask.timeout=1")
    done = run_cli(tmp_path, "compare", "corpus.txt", "--arms", "position", *far)
    assert "no scheduler could be reached" in done.stderr
