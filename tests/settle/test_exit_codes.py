"""What a command exits with tells what was wrong; one table says which code is for what."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import llmattn.errors
import pytest
from llmattn.cli.main import app
from llmattn.errors import LlmattnError
from llmattn.testing.server import ScoreServer
from support_cli import Done, run_cli, run_process
from typer.main import get_command

ROOT = Path(__file__).resolve().parents[2]
CORPUS = "the cat eats fish .\nthe dog eats meat .\n" * 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    (tmp_path / "text.pt").write_text(CORPUS)
    return tmp_path


def custom(folder: Path, url: str, *more: str, **environ: str) -> Done:
    return run_cli(
        folder,
        *("score", "corpus.txt", "-p", "custom", *more),
        CUSTOM_BASE_URL=url,
        LLM_MODEL="test-model",
        **environ,
    )


def refused(folder: Path) -> Done:
    with ScoreServer(api_key="another") as server:
        return custom(folder, server.url)


def over_budget(folder: Path) -> Done:
    with ScoreServer() as server:
        options = ("--max-cost", "0.000001", "--price-in", "1000", "--price-out", "1000")
        return run_cli(
            folder,
            *("train", "--corpus", "corpus.txt", "-p", "custom", "--steps", "1", *options),
            CUSTOM_BASE_URL=server.url,
            LLM_MODEL="test-model",
        )


def damaged_cache(folder: Path) -> Done:
    (folder / "scores").mkdir()
    (folder / "scores" / "scores.mdb").write_bytes(b"noise" * 9000)
    return run_cli(folder, "cache", "ls")


@pytest.mark.parametrize(
    ("code", "run"),
    [
        (0, lambda folder: run_cli(folder, "plan", "corpus.txt", "-p", "random")),
        (1, lambda folder: run_cli(folder, "plan", "missing.txt", "-p", "random")),
        (1, lambda folder: run_cli(folder, "sample", "--checkpoint", "no.pt", "--prompt", "a")),
        (2, lambda folder: run_cli(folder, "plan", "corpus.txt", "--no-such-option")),
        (2, lambda folder: run_cli(folder, "no-such-command")),
        (3, lambda folder: run_cli(folder, "plan", "corpus.txt", "-p", "nobody")),
        (3, lambda folder: run_cli(folder, "train", "--corpus", "corpus.txt", "--steps", "-1")),
        (3, lambda folder: run_cli(folder, "score", "corpus.txt", "-p", "openai")),
        (4, refused),
        (4, lambda folder: custom(folder, "http://127.0.0.1:9/v1", "--max-wait", "0")),
        (5, over_budget),
        (6, lambda folder: run_cli(folder, "sample", "--checkpoint", "text.pt", "--prompt", "a")),
        (6, damaged_cache),
    ],
)
def test_each_kind_of_failure_has_its_code(
    folder: Path, code: int, run: Callable[[Path], Done]
) -> None:
    done = run(folder)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", sorted(get_command(app).commands))  # type: ignore[attr-defined]
def test_every_command_is_wrongly_called_with_2(folder: Path, name: str) -> None:
    assert run_cli(folder, name, "--no-such-option").returncode == 2


READERS = ("sample --prompt a --checkpoint FILE", "eval FILE corpus.txt", "show FILE")


@pytest.mark.parametrize(
    "words", [*READERS, "export FILE --safetensors out", "train --resume --out FILE"]
)
def test_every_command_tells_a_file_that_is_no_checkpoint_with_6(folder: Path, words: str) -> None:
    arguments = words.replace("FILE", "text.pt").split()
    done = run_cli(folder, *arguments)
    assert done.returncode == 6, done.stderr


NAMING = ("plan corpus.txt", "score corpus.txt", "train --corpus corpus.txt", "compare corpus.txt")


@pytest.mark.parametrize("words", NAMING)
def test_every_command_tells_an_unknown_provider_with_3(folder: Path, words: str) -> None:
    arms = ("--arms", "external") if "compare" in words else ()
    done = run_cli(folder, *words.split(), *arms, "-p", "nobody")
    assert done.returncode == 3, done.stderr


def test_one_that_a_signal_stops_has_128_and_its_number(folder: Path) -> None:
    program = (
        "import signal; from llmattn.cli import main; "
        "main.set_defaults = lambda *_: signal.raise_signal(signal.SIGTERM); "
        "main.main(['plugins'])"
    )
    done = run_process(folder, program=("-c", program))
    assert done.returncode == 128 + 15, done.stderr


def test_each_error_has_a_code_of_the_table_and_the_docs_have_the_same_table() -> None:
    in_code = dict(re.findall(r"^(\d|128\+n) +(\S.*)$", llmattn.errors.__doc__ or "", re.M))
    page = (ROOT / "docs" / "setup.md").read_text(encoding="utf-8")
    in_docs = dict(re.findall(r"^\| (\d|128\+n) \| (.+) \|$", page, re.M))
    assert in_docs == in_code
    assert set(in_code) == {*"0123456", "128+n"}
    kinds = [LlmattnError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        assert str(kind.exit_code) in in_code
