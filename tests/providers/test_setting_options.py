"""Options named after a setting: --scope, --channels, --method, for whoever has the setting."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from llmattn.training.checkpoint import load_checkpoint
from support_cli import FAILED, run_cli
from support_engine import SMALL, write_corpus
from support_transformers import save_model

TEXT = "The cat saw a cat"
TWO = ("--provider", "random", "--provider", "cooccurrence")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    write_corpus(folder)
    save_model(folder / "llama")
    return folder


def found(folder: Path, command: str, *options: str) -> Any:
    done = run_cli(folder, command, *options, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(folder: Path, *arguments: str) -> str:
    done = run_cli(folder, *arguments)
    assert done.returncode in FAILED
    return done.stderr


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        (("--channels", "heads"), ["L00H0", "L00H1", "L01H0", "L01H1"]),
        (("--channels", "1,0.1"), ["L01", "L00H1"]),
        (("--method", "copy"), ["copy"]),
        (("--method", "attention+copy", "--channels", "0"), ["L00", "copy"]),
    ],
)
def test_channels_and_method_of_a_local_model_are_options(
    folder: Path, options: Sequence[str], channels: list[str]
) -> None:
    local = ("--provider", "transformers", "--model", "llama")
    assert list(found(folder, "show", *local, "--text", TEXT, *options)["channels"]) == channels


@pytest.mark.parametrize("command", [("plan", "corpus.txt"), ("score", "corpus.txt")])
def test_they_reach_what_is_planned_and_scored(folder: Path, command: Sequence[str]) -> None:
    local = ("--provider", "transformers", "--model", "llama", "--method", "no-such")
    assert "must be one of attention, copy" in refusal(folder, *command, *local)


def test_show_scores_a_text_in_context_with_scope(folder: Path) -> None:
    random = ("show", "--provider", "random", "--text", TEXT)
    (pairs,) = found(folder, *random)["channels"].values()
    (texts,) = found(folder, *random, "--scope", "prefix")["channels"].values()
    assert pairs[-1][1] == pairs[-1][4]
    assert texts[-1][1] != texts[-1][4]


def test_of_several_providers_those_with_the_setting_take_it(folder: Path) -> None:
    plans = found(folder, "plan", "corpus.txt", *TWO, "--scope", "prefix")
    assert [plan["scope"] for plan in plans] == ["prefix", "pair"]


@pytest.mark.parametrize("option", [("--method", "copy"), ("--channels", "heads")])
@pytest.mark.parametrize(
    "command",
    [
        ("plan", "corpus.txt"),
        ("train", "--corpus", "corpus.txt"),
        ("compare", "corpus.txt", "--arms", "external"),
    ],
)
def test_a_setting_that_no_provider_has_is_an_error(
    folder: Path, command: Sequence[str], option: tuple[str, str]
) -> None:
    name = option[0].removeprefix("--")
    alone = refusal(folder, *command, "--provider", "cooccurrence", *option)
    assert f"cooccurrence has no option '{name}'; its options are: window" in alone
    if name == "method":
        both = refusal(folder, *command, *TWO, *option)
        assert "No provider in use has the option 'method'" in both
        assert "cooccurrence: window" in both


def test_a_run_of_several_providers_goes_on_with_an_option_for_one_of_them(folder: Path) -> None:
    settings = ("-o", "random.scope=prefix", "-o", "window=5")
    common = ("--corpus", "corpus.txt", "--block-size", "8", *SMALL, *TWO, *settings)
    begun = run_cli(folder, "train", *common, "--steps", "2", "--out", "two.pt")
    assert begun.returncode == 0, begun.stderr
    more = run_cli(folder, "train", *common, "--steps", "4", "--out", "two.pt", "--resume")
    assert more.returncode == 0, more.stderr


def test_a_run_on_channels_that_are_read_differently_goes_on_and_samples(folder: Path) -> None:
    local = ("--provider", "transformers", "--model", "llama", "--channels", "0")
    common = ("--corpus", "corpus.txt", "--block-size", "8", *SMALL, *local)
    method = ("--method", "attention+gradient")
    begun = run_cli(folder, "train", *common, *method, "--steps", "2", "--out", "mixed.pt")
    assert begun.returncode == 0, begun.stderr
    assert load_checkpoint(folder / "mixed.pt").scored[0].transform == "log,identity"
    read = (*local[2:], *method)
    more = run_cli(folder, "train", "--out", "mixed.pt", "--resume", "--steps", "3", *read)
    assert more.returncode == 0, more.stderr
    sample = ("sample", "--checkpoint", "mixed.pt", "--prompt", "the cat", "--max-new", "3")
    assert run_cli(folder, *sample, *read).returncode == 0
