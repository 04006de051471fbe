"""A command takes what a person is likely to type, and answers at once where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from llmattn.cli.main import app
from support_cli import run_cli, run_process
from support_engine import SMALL, write_corpus
from typer.main import get_command

CODE = (
    "import sys\n"
    "from llmattn.cli.main import main\n"
    "try:\n    main(sys.argv[1:])\n"
    "except SystemExit as left:\n    print(left.code, 'torch' in sys.modules)\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text and a checkpoint."""
    folder = tmp_path_factory.mktemp("typed")
    write_corpus(folder)
    done = run_cli(folder, "train", "corpus.txt", "--attention", "position", "--steps", "1", *SMALL)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (
            ("plan", "corpus.txt", "-p", "random"),
            ("plan", "--corpus", "corpus.txt", "-p", "random"),
        ),
        (
            ("eval", "checkpoint.pt", "corpus.txt"),
            ("eval", "--checkpoint", "checkpoint.pt", "--corpus", "corpus.txt"),
        ),
        (("show", "checkpoint.pt"), ("show", "--checkpoint", "checkpoint.pt")),
        (
            ("sample", "the", "--seed", "1"),
            ("sample", "--prompt", "the", "--seed", "1"),
        ),
        (
            ("export", "checkpoint.pt", "--safetensors", "one"),
            ("export", "--checkpoint", "checkpoint.pt", "--safetensors", "one"),
        ),
    ],
    ids=lambda typed: typed[0],
)
def test_an_option_and_an_argument_say_the_same(
    folder: Path, short: tuple[str, ...], long: tuple[str, ...]
) -> None:
    first, second = run_cli(folder, *short), run_cli(folder, *long)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout


def test_a_text_that_no_command_was_given_is_asked_for_by_its_name(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "plan")
    assert done.returncode == 2
    assert "Name the corpus: llmattn plan CORPUS" in done.stderr


def test_two_texts_are_one_too_many(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "plan", "a.txt", "--corpus", "b.txt")
    assert done.stderr == "error: a.txt and --corpus b.txt: name one of them.\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("train", "no.txt"), "There is no corpus at no.txt"),
        (("plan", "no.txt"), "There is no corpus at no.txt"),
        (("score", "no.txt"), "There is no corpus at no.txt"),
        (("compare", "no.txt"), "There is no corpus at no.txt"),
        (("eval", "no.pt", "no.txt"), "There is no checkpoint at no.pt"),
        (("sample", "the"), "There is no checkpoint at checkpoint.pt"),
        (("show", "no.pt"), "There is no checkpoint at no.pt"),
        (("export", "no.pt", "--safetensors", "x"), "There is no checkpoint at no.pt"),
        (("plan", "."), "is a directory"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_a_wrong_path_is_told_before_torch_is_loaded(
    tmp_path: Path, arguments: tuple[str, ...], error: str
) -> None:
    done = run_process(tmp_path, *arguments, program=("-c", CODE))
    assert error in done.stderr
    assert done.stdout == "1 False\n"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"Once upon a time.\n", "is a text, and no checkpoint"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is a PNG image, and no checkpoint"),
        (b"\x1f\x8b\x08\x00rest", "is compressed with gzip, and no checkpoint"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(
    tmp_path: Path, content: bytes, what: str
) -> None:
    (tmp_path / "x").write_bytes(content)
    assert what in run_cli(tmp_path, "sample", "the", "--checkpoint", "x").stderr


def test_the_version_is_told_at_every_door(tmp_path: Path) -> None:
    told = {
        run_process(tmp_path, "--version", program=("-m", door)).stdout
        for door in ("llmattn", "llmattn.train")
    }
    assert len(told) == 1
    assert told.pop().startswith("llmattn-core ")


def _commands(command: object) -> list[object]:
    inner = getattr(command, "commands", None)
    if not inner:
        return [command]
    return [each for found in inner.values() for each in _commands(found)]


def test_help_calls_no_flag_by_its_type_and_breaks_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in ("train", "show", "cache"):
        assert "<bool>" not in run_cli(tmp_path, command, "--help").stdout
    for found in _commands(get_command(app)):
        for part in str(getattr(found, "help", "")).split("\n\n"):
            assert "\n" not in part
