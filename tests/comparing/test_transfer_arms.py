"""Arms that start from word vectors, or imitate; and steps chosen as rates are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from llmattn.comparing.arms import parse_arms
from llmattn.errors import ConfigError
from llmattn.testing.server import ScoreServer
from llmattn.training.checkpoint import load_checkpoint
from support_cli import Done, run_cli
from support_engine import write_corpus

SIZE = ("--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--batch-size", "8", "--jobs", "1")
SCORES = ("--provider", "random", "-o", "random.scope=prefix", "-o", "random.channels=2")
ARMS = (
    "learned+b,learned+b/vectors,learned+b/vectors-permuted,learned+b/vectors-random,"
    "transfer,transfer/shuffled,transfer-position,transfer/vectors"
)


def compare(folder: Path, arms: str, *options: object, url: str) -> Done:
    write_corpus(folder)
    return run_cli(
        folder,
        *("compare", "corpus.txt", *SIZE, *SCORES, "--arms", arms, "--word-vectors", "custom"),
        *("--seeds", "1", "--lr", "1e-2", "--eval-every", "2", "--out", "made", *options),
        CUSTOM_BASE_URL=url,
        LLM_MODEL="test-model",
    )


def arms_of(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "made" / "result.json").read_text())
    return {arm["name"]: arm for arm in found["arms"]}


def test_arms_of_transfer_are_compared_and_made_once(tmp_path: Path) -> None:
    with ScoreServer() as server:
        options = ("--try-steps", "2,4", "--keep-checkpoints")
        done = compare(tmp_path, ARMS, *options, url=server.url)
        assert done.returncode == 0, done.stderr
        sent = server.log.received
        again = compare(tmp_path, ARMS, *options, url=server.url)
        assert again.returncode == 0, again.stderr
        assert "16 runs kept from before" in again.stderr
        assert server.log.received == sent
    found = arms_of(tmp_path)
    for arm in found.values():
        assert [(tried["lr"], tried["steps"]) for tried in arm["tried"]] == [(0.01, 2), (0.01, 4)]
        best = min(arm["tried"], key=lambda tried: float(tried["validation_loss"]))
        assert arm["steps"] == best["steps"]
    losses = {name: arm["test_loss"]["mean"] for name, arm in found.items()}
    assert len({*losses.values()}) == len(losses)  # no two arms are the same
    run = found["transfer/vectors"]["runs"]["0"]
    kept = load_checkpoint(tmp_path / "made" / "checkpoints" / f"{run['key']}.pt")
    assert kept.scored == ()
    assert {*kept.taken} == {"word_vectors", "imitated"}


def test_controls_are_those_of_the_arm_that_they_are_like(tmp_path: Path) -> None:
    with ScoreServer() as server:
        done = compare(tmp_path, ARMS, "--steps", "2", url=server.url)
        assert done.returncode == 0, done.stderr
    found = arms_of(tmp_path)
    own = {"learned+b/vectors-permuted", "learned+b/vectors-random"}
    assert own <= {*found["learned+b/vectors"]["gain_over"]}
    assert {"transfer/shuffled", "transfer-position"} <= {*found["transfer"]["gain_over"]}
    assert not own & {*found["transfer/vectors"]["gain_over"]}


def test_what_is_imitated_was_trained_on_its_own_windows() -> None:
    (arm,) = parse_arms(["transfer/shuffled/per-layer"], {})
    assert arm.shuffled
    assert not arm.imitated.shuffled
    assert arm.imitated.shape == {"attention": "external", "per_layer": True}


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"imitates": "hybrid", "like": "transfer"}, "imitates must be"),
        ({"imitates": "external", "like": "position"}, "imitates must be"),
        ({"vectors": "mine", "like": "learned+b"}, "vectors must be one of"),
        ({"steps": "many", "like": "learned+b"}, "steps"),
    ],
)
def test_a_table_that_means_nothing_is_told(table: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_arms(["own"], {"own": table})


@pytest.mark.parametrize(
    ("arms", "options", "told"),
    [
        ("external", ("--steps", "2"), "--word-vectors is for arms that end in /vectors"),
        ("learned+b/vectors", ("--imitate-weight", "0.1"), "is for arms that imitate"),
        ("learned+b/vectors", ("--try-steps", "2,2"), "different numbers of steps"),
        ("learned+b/vectors", ("--try-steps", "2,4", "--steps", "3"), "stands instead of"),
        ("transfer-position/shuffled", (), "has no meaning"),
    ],
)
def test_options_that_nothing_reads_are_refused(
    tmp_path: Path, arms: str, options: tuple[str, ...], told: str
) -> None:
    done = compare(tmp_path, arms, *options, url="http://127.0.0.1:9/v1")
    assert done.returncode != 0
    assert told in " ".join(done.stderr.split())


def test_an_arm_with_vectors_says_that_it_wants_a_provider(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, "compare", "corpus.txt", "--arms", "learned+b/vectors", *SIZE)
    assert done.returncode != 0
    assert "--word-vectors" in done.stderr
