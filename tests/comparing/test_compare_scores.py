"""Where the arms of ``llmattn compare`` have their scores from, and what they cost."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from llmattn.data.config import TextConfig
from llmattn.data.corpus import load_corpus
from llmattn.feeds.feed import NoScores
from llmattn.testing.server import ScoreServer
from llmattn.training.checkpoint import load_checkpoint
from llmattn.training.evaluate import split_loss
from support_cli import FAILED, Done, run_cli, run_process
from support_engine import write_corpus
from support_plugins import install

KEY = "sk-planted-key-1234567890"
TINY = (
    "--n-layer",
    "1",
    "--n-head",
    "2",
    "--n-embd",
    "16",
    "--batch-size",
    "8",
    "--min-count",
    "1",
)
QUICK = ("--jobs", "1", "--steps", "4", "--eval-every", "2", "--lr", "3e-3", "--seeds", "1", *TINY)


def compare(folder: Path, *options: str) -> Done:
    return run_cli(folder, "compare", "corpus.txt", *QUICK, *options)


def scores(folder: Path) -> dict[str, Any]:
    """The scores that each arm read."""
    text = (folder / "comparison" / "result.json").read_text()
    found: dict[str, Any] = json.loads(text)["about"]["scores"]
    return found


def custom(server: ScoreServer, **more: object) -> list[str]:
    """Options that make the provider ``custom`` ask ``server``."""
    options = {"base_url": server.url, "model": "test-model", "api_key": KEY, **more}
    return [word for name, value in options.items() for word in ("-o", f"custom.{name}={value}")]


def test_arms_share_what_was_asked_once(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    ends = ("", "/no-b", "/per-layer", "/no-b/per-layer")
    arms = ("--arms", "hybrid:custom," + ",".join(f"external:custom{end}" for end in ends))
    with ScoreServer() as server:
        done = compare(tmp_path, *arms, *custom(server))
        assert done.returncode == 0, done.stderr
        before = done.stderr.partition("scored now")[0]
        assert "custom: 1 request to send, about" in before
        asked = len(server.log.requests)
        run_cli(
            tmp_path, "score", "corpus.txt", "-p", "custom", "--block-size", "64", *custom(server)
        )
        assert len(server.log.requests) == asked > 0


def test_a_limit_holds_for_the_whole_comparison(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    # More sets of scores than a process holds at once, so that the paid one is read again.
    arms = ("--arms", "random,external:custom,external:cooccurrence", "--seeds", "2")
    limit = ("--max-requests", "2")
    with ScoreServer() as server:
        done = compare(tmp_path, *arms, *limit, *custom(server, pairs_per_request=20))
        assert done.returncode == 0, done.stderr
        assert len(server.log.requests) == 2
    assert 0 < scores(tmp_path)["external:custom"]["coverage"] < 1


def test_runs_with_more_of_the_scores_known_are_other_runs(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    with ScoreServer() as server:
        options = ("--arms", "external:custom", *custom(server, pairs_per_request=20))
        compare(tmp_path, *options, "--max-requests", "1")
        done = compare(tmp_path, *options, "--max-requests", "2")
        assert "kept from before" not in done.stderr
    assert len(list((tmp_path / "comparison" / "runs").iterdir())) == 2


def test_one_limit_for_two_paid_sources_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    (tmp_path / "arms.toml").write_text(
        '[arms.a]\nprovider = "custom"\n[arms.b]\nlike = "a"\noptions = {reply = "integers"}\n'
    )
    with ScoreServer() as server:
        both = ("--config", "arms.toml", "--max-requests", "9", *custom(server))
        done = compare(tmp_path, *both)
        assert done.returncode in FAILED
        assert "limit one source of scores, and the arms have 2" in done.stderr
        assert not server.log.requests


def test_scores_in_context_have_another_windows_scores_as_their_control(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = ("--stream", "--block-size", "16", "-o", "random.scope=prefix")
    both = ("--arms", "external:random,external:random/shuffled", *options)
    done = compare(tmp_path, *both)
    assert done.returncode == 0, done.stderr
    found = scores(tmp_path)
    own, other = found["external:random"], found["external:random/shuffled"]
    assert own == other  # the same scores, for other windows
    assert own["identities"][0]["scope"] == "prefix"
    losses = [
        json.loads(p.read_text())["val_loss"] for p in (tmp_path / "comparison/runs").iterdir()
    ]
    assert len(set(losses)) == 2


def test_scores_in_context_have_their_means_by_pair_of_words_as_their_control(
    tmp_path: Path,
) -> None:
    write_corpus(tmp_path)
    options = ("--stream", "--block-size", "16", "-o", "random.scope=prefix")
    alone = compare(tmp_path, "--arms", "external:random", *options)
    assert alone.returncode == 0, alone.stderr
    done = compare(tmp_path, "--arms", "external:random,external:random/averaged", *options)
    assert done.returncode == 0, done.stderr
    assert "1 run kept from before" in " ".join(done.stderr.split())
    own, means = json.loads((tmp_path / "comparison" / "result.json").read_text())["arms"]
    assert own["parameters"] == means["parameters"]
    assert own["test_loss"]["mean"] != means["test_loss"]["mean"]


CONTEXT = ("--provider", "custom", "--scope", "prefix")


@pytest.mark.parametrize(
    ("lines", "options", "part"),
    [
        (100, ("--stream", "--block-size", "128"), "validation"),
        (100, ("--stream", "--block-size", "1024"), "training"),
        (11, (), "validation"),
    ],
)
def test_a_part_of_one_window_is_refused_before_anything_is_asked(
    tmp_path: Path, lines: int, options: tuple[str, ...], part: str
) -> None:
    path = write_corpus(tmp_path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    with ScoreServer() as server:
        done = compare(tmp_path, *CONTEXT, *options, *custom(server))
        assert not server.log.requests
    assert done.returncode in FAILED, done.stderr
    assert "The arm 'external/shuffled'" in done.stderr
    said = " ".join(done.stderr.split())
    assert f"the {part} part of this text is one window alone" in said
    assert "give a smaller --block-size" in said


def test_averages_too_large_for_the_memory_are_refused_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    words = [f"word{number}" for number in range(3000)]
    lines = [" ".join(words[start : start + 10]) for start in range(0, len(words), 10)]
    (tmp_path / "corpus.txt").write_text("\n".join(lines) + "\n")
    options = ("-o", "random.scope=prefix", "-o", "random.channels=4000", "--stream")
    arms = ("--arms", "external:custom,external:random/averaged", "--block-size", "256")
    with ScoreServer(api_key="another") as server:
        done = compare(tmp_path, *arms, *options, *custom(server))
        assert not server.log.requests
    assert done.returncode in FAILED, done.stderr
    assert "GiB of memory" in done.stderr


@pytest.mark.parametrize("control", ["shuffled", "averaged"])
def test_controls_of_scores_of_pairs_are_refused_before_anything_is_asked(
    tmp_path: Path, control: str
) -> None:
    write_corpus(tmp_path)
    with ScoreServer() as server:
        arms = ("--arms", f"external:custom,external:custom/{control}")
        done = compare(tmp_path, *arms, *custom(server))
        assert not server.log.requests
    assert "belong to pairs of words" in done.stderr


@pytest.mark.parametrize("control", ["shuffled", "averaged"])
def test_kept_checkpoint_of_a_control_refuses_plain_scores(tmp_path: Path, control: str) -> None:
    write_corpus(tmp_path)
    options = ("--stream", "--block-size", "16", "-o", "random.scope=prefix", "--keep-checkpoints")
    done = compare(tmp_path, "--arms", f"external:random/{control}", *options)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "comparison" / "checkpoints").iterdir()
    kept = path.rename(tmp_path / "kept.pt").name
    assert run_cli(tmp_path, "export", kept, "--safetensors", "exported").returncode == 0
    for command in (
        ("sample", "--checkpoint", kept, "--prompt", "the cat"),
        ("sample", "--checkpoint", "exported", "--prompt", "the cat"),
        ("eval", kept, "corpus.txt"),
        ("show", kept),
        ("show", kept, "--text", "the cat sees the dog"),
        ("train", "--resume", "--out", kept, "--steps", "9"),
    ):
        refused = run_cli(tmp_path, *command)
        assert refused.returncode in FAILED
        assert f"trained on {control} scores, a control" in refused.stderr


def test_scores_in_context_stand_beside_their_own_controls_by_default(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    text = (tmp_path / "corpus.txt").read_text().splitlines()
    (tmp_path / "corpus.txt").write_text("\n".join(text[::3]) + "\n")
    with ScoreServer() as server:
        chat = ("--provider", "custom", "--scope", "prefix", "--criteria", "syntax,meaning")
        done = compare(tmp_path, "--stream", "--block-size", "8", *chat, *custom(server))
    assert done.returncode == 0, done.stderr
    arms = json.loads((tmp_path / "comparison" / "result.json").read_text())["arms"]
    of_scores = ["external", "external/shuffled", "external/averaged", "random"]
    assert [arm["name"] for arm in arms] == [*of_scores, "position", "learned+b"]
    found = scores(tmp_path)
    kinds = [found[name]["identities"][0] for name in of_scores]
    assert {kind["scope"] for kind in kinds} == {"prefix"}
    assert [len(kind["channels"]) for kind in kinds] == [2, 2, 2, 2]
    models = [arm["runs"]["0"]["settings"]["model"] for arm in arms[:4]]
    assert all({**model, "channels": []} == {**models[0], "channels": []} for model in models)
    assert len({arm["test_loss"]["mean"] for arm in arms[:4]}) == 4


PAIRS, IN_CONTEXT = "external:cooccurrence", "external:random"


def test_an_option_about_one_kind_of_scores_is_for_the_arms_that_have_it(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    both = ("--arms", f"{PAIRS},{IN_CONTEXT}", "-o", "random.scope=prefix")
    options = ("--coverage", "0.5", "--context-words", "3", "--score-transform", "log")
    done = compare(tmp_path, *both, *options, "--stream", "--block-size", "8")
    assert done.returncode == 0, done.stderr
    found = scores(tmp_path)
    assert found[PAIRS]["coverage"] < 1
    assert found[IN_CONTEXT]["coverage"] == 1


@pytest.mark.parametrize(
    ("arm", "option"),
    [
        (PAIRS, ("--context-words", "3")),
        (PAIRS, ("--score-transform", "log")),
        (IN_CONTEXT, ("--coverage", "0.5")),
        (IN_CONTEXT, ("--min-pair-count", "2")),
    ],
)
def test_an_option_about_a_kind_of_scores_that_no_arm_has_is_refused(
    tmp_path: Path, arm: str, option: tuple[str, str]
) -> None:
    write_corpus(tmp_path)
    scope = () if arm == PAIRS else ("-o", "random.scope=prefix")
    done = compare(tmp_path, "--arms", arm, *scope, *option)
    assert done.returncode in FAILED, done.stderr
    assert option[0] in done.stderr
    assert "leave them out" in done.stderr


HOLDING = """
from attrs import frozen
from llmattn.hookspecs import hookimpl
from llmattn.providers.random import RandomProvider
from llmattn.providers.settings import RandomSettings

held = []

class Provider(RandomProvider):
    def __init__(self, settings):
        super().__init__(settings)
        held.append(self)

    async def aclose(self):
        held.remove(self)

@hookimpl
def llmattn_register_providers(registry):
    registry.add("holding", "holding_plugin:Provider", RandomSettings, "for a test")
"""


def test_every_provider_that_is_built_gives_back_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "holding-plugin", "holding", HOLDING)
    monkeypatch.syspath_prepend(tmp_path)
    write_corpus(tmp_path)
    # One is built to see what the scores are like, one for the limit, and one to be asked.
    arms = ("--arms", "external:holding,random", "--max-requests", "999")
    done = compare(tmp_path, *arms)
    assert done.returncode == 0, done.stderr
    assert import_module("holding_plugin").held == []


def test_a_key_is_neither_shown_nor_written(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    with ScoreServer(api_key=KEY) as server:
        (tmp_path / "arms.toml").write_text(
            f'[arms.mine]\nprovider = "custom"\noptions = {{api_key = "{KEY}"}}\n'
        )
        given = ("--config", "arms.toml", *custom(server), "--keep-checkpoints", "--json")
        done = compare(tmp_path, *given, "--arms", "mine,external:custom")
        (tmp_path / "arms.toml").unlink()
        assert done.returncode == 0, done.stderr
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in done.stdout + done.stderr
    assert KEY.encode() not in written


def test_reported_loss_is_that_of_the_best_weights_on_the_test_part(tmp_path: Path) -> None:
    text = write_corpus(tmp_path)
    compare(tmp_path, "--arms", "position", "--keep-checkpoints")
    (kept,) = (tmp_path / "comparison" / "runs").iterdir()
    (path,) = (tmp_path / "comparison" / "checkpoints").iterdir()
    corpus = load_corpus(text, TextConfig(test_fraction=0.1))
    assert corpus.test is not None
    loss = split_loss(load_checkpoint(path).model(), NoScores(), corpus.test, pad_id=1)
    assert json.loads(kept.read_text())["test_loss"] == pytest.approx(loss, abs=1e-6)


def test_kept_checkpoints_can_be_sampled(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    arms = ("--arms", "external:cooccurrence,learned+b")
    compare(tmp_path, *arms)
    done = compare(tmp_path, *arms, "--keep-checkpoints")
    assert "kept from before" not in done.stderr
    found = sorted((tmp_path / "comparison" / "checkpoints").glob("*.pt"))
    runs = sorted((tmp_path / "comparison" / "runs").glob("*.json"))
    assert [path.stem for path in found] == [path.stem for path in runs]
    for path, kept in zip(found, runs, strict=True):
        best = json.loads(kept.read_text())
        assert load_checkpoint(path).best["loss"] == pytest.approx(best["val_loss"], abs=1e-6)
        sample = run_cli(tmp_path, "sample", "--checkpoint", str(path), "--prompt", "the cat")
        assert sample.returncode == 0, sample.stderr


TELLING = """
import os
from threading import Thread
from llmattn.hookspecs import hookimpl
from llmattn.notices import notify
from llmattn.providers.random import RandomProvider
from llmattn.providers.settings import RandomSettings

class Provider(RandomProvider):
    def __init__(self, settings):
        super().__init__(settings)
        Thread(target=notify, args=(f"built in {os.getpid()}",)).start()

@hookimpl
def llmattn_register_providers(registry):
    registry.add("telling", "telling_plugin:Provider", RandomSettings, "for a test")
"""


def test_what_a_worker_tells_is_told_by_the_command(tmp_path: Path) -> None:
    install(tmp_path, "telling-plugin", "telling", TELLING)
    write_corpus(tmp_path)
    given = ("compare", "corpus.txt", *QUICK, "--arms", "external:telling", "--jobs", "2")
    done = run_process(tmp_path, *given, "--seeds", "2", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = re.findall(r"^built in (\d+)$", done.stderr, re.MULTILINE)
    assert len(set(told)) > 1
