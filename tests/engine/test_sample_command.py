"""``llmattn sample`` as a person runs it."""

from __future__ import annotations

import os
import pty
import select
from pathlib import Path

import pytest
from support_cli import FAILED, run_cli, start_process
from support_engine import SMALL, write_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint of a short run on the provider ``random``."""
    folder = tmp_path_factory.mktemp("sample")
    write_corpus(folder)
    options = ("--steps", "20", "--provider", "random", "--block-size", "8", *SMALL)
    done = run_cli(folder, "train", "--corpus", "corpus.txt", *options)
    assert done.returncode == 0, done.stderr
    (folder / "corpus.txt").unlink()  # sampling must not need it, and must not train again
    return folder


def test_prompt_is_continued(folder: Path) -> None:
    done = run_cli(folder, "sample", "--prompt", "The cat", "--seed", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the cat")
    assert len(done.stdout.splitlines()) == 1


def test_num_prints_so_many_lines(folder: Path) -> None:
    done = run_cli(folder, "sample", "--prompt", "the", "--num", "4", "--seed", "1")
    assert len(done.stdout.splitlines()) == 4


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint that has learned to go on over line ends."""
    folder = tmp_path_factory.mktemp("stream")
    write_corpus(folder)
    options = ("--steps", "20", "--attention", "position", "--block-size", "8", "--stream", *SMALL)
    done = run_cli(folder, "train", "--corpus", "corpus.txt", *options)
    assert done.returncode == 0, done.stderr
    return folder


SEVERAL = ("--seed", "1", "--max-new", "300", "--lines")


def test_a_model_of_a_stream_writes_as_many_lines_as_wanted(stream: Path) -> None:
    done = run_cli(stream, "sample", "--prompt", "The cat", *SEVERAL, "4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the cat")
    assert len(done.stdout.splitlines()) == 4
    one = run_cli(stream, "sample", "--prompt", "The cat", *SEVERAL, "1")
    assert one.stdout.splitlines() == done.stdout.splitlines()[:1]


def test_max_new_ends_a_sample_before_its_lines(stream: Path) -> None:
    done = run_cli(
        stream, "sample", "--prompt", "the", "--max-new", "4", "--lines", "9", "--seed", "1"
    )
    assert len(done.stdout.split()) <= 5


def test_samples_of_several_lines_stand_apart(stream: Path) -> None:
    done = run_cli(stream, "sample", "--prompt", "the", "--num", "3", *SEVERAL, "2")
    samples = done.stdout.split("---\n")
    assert [len(sample.splitlines()) for sample in samples] == [2, 2, 2]
    piped = run_cli(stream, "sample", *SEVERAL, "2", stdin="the cat\nthe dog\n")
    first, second = piped.stdout.split("---\n")
    assert first.startswith("the cat")
    assert second.startswith("the dog")


def test_unknown_word_is_told_on_stderr_and_sampled_all_the_same(folder: Path) -> None:
    done = run_cli(folder, "sample", "--prompt", "the zebra sees", "--seed", "1")
    assert done.returncode == 0
    assert "read as <unk>: zebra" in done.stderr
    assert done.stdout.startswith("the zebra sees")


def test_piped_lines_are_continued_one_by_one(folder: Path) -> None:
    done = run_cli(folder, "sample", "--seed", "1", stdin="the cat\nthe dog\n")
    first, second = done.stdout.splitlines()
    assert first.startswith("the cat")
    assert second.startswith("the dog")
    assert ">" not in done.stdout


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_piped_bytes_that_are_no_text_get_one_clear_line(folder: Path, errors: str) -> None:
    (folder / "no text").write_bytes(b"the \xff\n")
    encoding = f"utf-8:{errors}"
    with (folder / "no text").open() as piped:
        process = start_process(folder, "sample", stdin=piped, PYTHONIOENCODING=encoding)
    _, told = process.communicate(timeout=120)
    assert process.returncode in FAILED
    assert "stdin is no text in UTF-8" in told
    assert "a fault in llmattn" not in told


@pytest.mark.parametrize("end", ["\x04", "\x03", "quit\r"], ids=["Ctrl-D", "Ctrl-C", "quit"])
def test_terminal_gets_a_prompt_and_is_left(folder: Path, end: str) -> None:
    leader, follower = pty.openpty()
    process = start_process(
        folder,
        *("sample", "--seed", "1"),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        TERM="xterm",
        XDG_STATE_HOME=str(folder / "state"),
    )
    os.close(follower)
    seen = ""
    typed = "the dog\r"
    for _ in range(120):
        ready, _, _ = select.select([leader], [], [], 0.5)
        if ready:
            try:
                seen += os.read(leader, 4096).decode()
            except OSError:  # the other side has closed: the process is gone
                break
            if "\x1b[6n" in seen:  # the prompt asks where the cursor is
                os.write(leader, b"\x1b[1;1R")
                seen = seen.replace("\x1b[6n", "")
        elif ">" in seen:  # it waits for something to be typed
            os.write(leader, typed.encode())
            typed = end
    os.close(leader)
    assert process.wait(timeout=120) == 0
    assert "the dog" in seen
    history = folder / "state" / "llmattn" / "sample_history"
    assert "the dog" in history.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--checkpoint", "none.pt"), "There is no checkpoint at none.pt"),
        (("--block-size", "9"), "at most 8 tokens"),
        (("--temperature", "-1"), "--temperature must be 0 or more"),
        (("--prompt", "the \udcff"), "--prompt is no text in UTF-8 from its character 5 on"),
        (("--lines", "2"), "train with --stream, or choose --num 2"),
        (("--top-p", "0"), "--top-p must be above 0"),
        (("--device", "tpu"), "There is no device 'tpu'"),
        (("--ask", "-o", "random.seed=5"), "seed was 0, is 5"),
    ],
)
def test_wrong_input_gets_one_clear_line_and_a_failure(
    folder: Path, options: tuple[str, ...], message: str
) -> None:
    done = run_cli(folder, "sample", "--prompt", "the", *options)
    assert done.returncode in FAILED
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
