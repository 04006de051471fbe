"""Names and words that hold control characters, planted in each kind of file, are printed
harmlessly by each command that shows them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from llmattn.identity import Identity
from llmattn.rows import Scope
from llmattn.training.checkpoint import export_checkpoint, load_checkpoint, save_checkpoint
from support_cli import FAILED, run_cli
from support_engine import example_checkpoint, write_corpus

EVIL = "\x1b]0;owned\x07\x9b2J\u202e[bold]"
WRITTEN_OUT = r"\x1b]0;owned\x07\u009b2J\u202e[bold]"


def assert_harmless(text: str) -> None:
    assert not [char for char in "\x1b\x07\x9b\u202e" if char in text], repr(text)


def changed(folder: Path, **changes: Any) -> Path:
    """A checkpoint with some of its parts changed, at the depth of one."""
    path = folder / "checkpoint.pt"
    save_checkpoint(path, example_checkpoint())
    data = torch.load(path, weights_only=True)
    for part, values in changes.items():
        data[part].update(values)
    torch.save(data, path)
    return path


def test_channels_of_a_checkpoint(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    changed(tmp_path, model_config={"channels": [EVIL, "two"]})
    done = run_cli(tmp_path, "show", "checkpoint.pt", "--corpus", "corpus.txt")
    assert done.returncode == 0, done.stderr
    assert r"\x1b]0;owned" in done.stdout
    assert_harmless(done.stdout + done.stderr)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_config": {EVIL: 1}},
        {"model_config": {"attention": EVIL}},
        {"train_config": {"precision": EVIL}},
        {"tokenizer": {"preset": EVIL}},
    ],
)
def test_values_that_an_error_names(tmp_path: Path, changes: dict[str, Any]) -> None:
    changed(tmp_path, **changes)
    done = run_cli(tmp_path, "sample", "--checkpoint", "checkpoint.pt", "--prompt", "a")
    assert done.returncode in FAILED
    assert r"\x1b" in done.stderr
    assert_harmless(done.stderr)


def test_words_that_a_checkpoint_does_not_know(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint.pt", example_checkpoint())
    done = run_cli(
        tmp_path, "sample", "--checkpoint", "checkpoint.pt", "--prompt", f"a \x9b {EVIL}"
    )
    assert done.returncode == 0, done.stderr
    assert_harmless(done.stderr)


def test_settings_of_an_export(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    export_checkpoint(folder, load_checkpoint(changed(tmp_path)))
    config = json.loads((folder / "config.json").read_text())
    config["model_config"]["attention"] = EVIL
    (folder / "config.json").write_text(json.dumps(config))
    done = run_cli(tmp_path, "eval", "model", "corpus.txt")
    assert done.returncode in FAILED
    assert_harmless(done.stderr)


def test_names_and_words_of_imported_scores(tmp_path: Path) -> None:
    identity = Identity(EVIL, 1, Scope.PAIR, (EVIL,), {"model": EVIL, EVIL: EVIL})
    usage = {"requests": 1, "prompt_tokens": 1, "completion_tokens": 1, "cost": 0.5}
    about = {"namespace": identity.namespace, "identity": identity.to_dict(), "usage": usage}
    row: dict[str, Any] = {"query": "cat", "keys": [EVIL, "dog"], "scores": [[0.5, 0.25]]}
    lines = [{"format": "llmattn-scores", "version": 1}, about, row]
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert run_cli(tmp_path, "cache", "import", "scores.jsonl").returncode == 0
    row["scores"] = [[0.75, 0.25]]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    shown = [
        run_cli(tmp_path, "cache", *command)
        for command in (
            ("import", "scores.jsonl"),
            ("ls",),
            ("stats",),
            ("show", "cat"),
            ("show", "cat", "--json"),
            ("show", EVIL),
            ("show", "cat", "-n", "nothing"),
            ("purge", identity.namespace[:8], "--yes"),
        )
    ]
    for done in shown:
        assert_harmless(done.stdout + done.stderr)
    assert WRITTEN_OUT in shown[2].stdout.replace("\n", "")


@pytest.mark.parametrize("line", [f'"{EVIL}" = 1', f'attention = "{EVIL}"', 'lr = "\\u001b[1m"'])
def test_configuration(tmp_path: Path, line: str) -> None:
    write_corpus(tmp_path)
    text = line.replace("\x1b", "\\u001b").replace("\x07", "\\u0007")
    (tmp_path / "x.toml").write_text(text)
    done = run_cli(tmp_path, "train", "--config", "x.toml", "--corpus", "corpus.txt")
    assert done.returncode in (2, *FAILED)
    assert_harmless(done.stderr)
    printed = run_cli(tmp_path, "train", "--config", "x.toml", "--print-config")
    assert_harmless(printed.stdout + printed.stderr)


@pytest.mark.parametrize(
    "command",
    [
        ("sample", "--checkpoint", f"{EVIL}.pt", "--prompt", "a"),
        ("eval", f"{EVIL}.pt", f"{EVIL}.txt"),
        ("cache", "import", f"{EVIL}.jsonl"),
        ("train", "--config", f"{EVIL}.toml"),
        ("train", "--corpus", f"{EVIL}.txt"),
        ("score", "--probe", "--provider", EVIL),
        ("compare", EVIL, "--arms", EVIL),
        ("show", f"{EVIL}.pt"),
        ("sample", f"--{EVIL}"),
        (EVIL,),
    ],
)
def test_names_on_the_command_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run_cli(tmp_path, *command)
    assert done.returncode in (2, *FAILED)
    assert r"\x1b" in done.stderr
    assert_harmless(done.stdout + done.stderr)
