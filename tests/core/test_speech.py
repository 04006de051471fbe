"""Who hears the library: a command's user on stderr, a program only if it listens."""

from __future__ import annotations

import io
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from llmattn.cli.speech import speaking
from llmattn.notices import notify, notify_once, silence, warn
from llmattn.rows import Row
from llmattn.scoring.opening import open_source
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.progress import following, shown_by
from llmattn.scoring.report import FillReport
from llmattn.secrets import Secret
from llmattn.usage import Usage
from support_cli import run_process


def program(folder: Path, code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_process(folder, program=("-c", code), **environ)


CALL = """
import llmattn
A = llmattn.get_attention_matrix(["the", "cat", "eats"], text=[["the", "cat", "eats"]])
assert A.shape == (3, 3)
"""


def test_a_program_that_asks_for_a_matrix_says_nothing_by_itself(tmp_path: Path) -> None:
    # Two things to tell: the folder is a link, and no provider is set up.
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    done = program(tmp_path, CALL, LLMATTN_CACHE_DIR=str(tmp_path / "link"), LLM_MODEL="none")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_program_that_listens_hears_it_from_the_logger(tmp_path: Path) -> None:
    listening = "import logging; logging.basicConfig(level=logging.INFO)\n"
    done = program(tmp_path, listening + CALL, LLM_MODEL="none")
    assert "WARNING:llmattn.notices:No provider is named" in done.stderr


def test_a_command_writes_notices_of_every_level_to_stderr_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with speaking():
        notify("100% of %s {it}")
        warn("careful")
    assert capsys.readouterr() == ("", "100% of %s {it}\ncareful\n")


def test_after_a_command_nothing_is_told_any_more(capsys: pytest.CaptureFixture[str]) -> None:
    with speaking():
        pass
    notify("hello")
    assert capsys.readouterr().err == ""


def test_a_notice_goes_to_the_stderr_of_the_moment() -> None:
    moment = io.StringIO()
    with speaking(), redirect_stderr(moment):
        notify("hello")
    assert moment.getvalue() == "hello\n"


def test_a_new_command_tells_anew_what_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with speaking():
            notify_once("hello")
            notify_once("hello")
    assert capsys.readouterr().err == "hello\n" * 2


def test_with_debug_a_notice_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("a b\n" * 20)
    done = run_process(tmp_path, "score", "c.txt", "--debug", LLM_MODEL="none")
    assert done.stderr.count("No provider is named") == 1


def test_what_is_logged_holds_no_key_and_nothing_that_acts_on_a_terminal(
    told: Callable[[], str],
) -> None:
    key = Secret("sk-a-very-secret-key")
    notify(f"refused: {key.reveal()}\x1b[2J")
    assert told() == "refused: [hidden]\\x1b[2J\n"


def test_silence_is_of_its_block_alone_and_keeps_what_is_told_once(
    told: Callable[[], str],
) -> None:
    with silence():
        notify("hello")
        notify_once("never told before")
    notify_once("never told before")
    assert told() == "never told before\n"


def test_a_program_may_show_the_scoring_in_its_own_way(tmp_path: Path) -> None:
    seen: list[int] = []

    @contextmanager
    def display(name: str, priced: bool) -> Iterator[Callable[[FillReport], None]]:
        assert (name, priced) == ("random", False)
        yield lambda report: seen.append(report.scored)

    choice = ScoreChoice(cache="memory")
    with shown_by(display), open_source("random", choice) as source:
        source.fill([Row("a", ("b", "c"))])
    assert seen[-1] == 2


def shown_on_a_terminal(**environ: str) -> str:
    """What a run of scoring writes to a terminal of 80 columns."""
    person, terminal = os.openpty()
    many = FillReport(pairs=1_234_567, requests_planned=1_206, scored=900_000, rows_scored=1_080)
    many.usage = Usage(900, 14_000_000, 3_000_000, 14.814)
    with os.fdopen(terminal, "w") as screen, pytest.MonkeyPatch.context() as patch:
        patch.delenv("NO_COLOR", raising=False)
        for name, value in {"COLUMNS": "80", "TERM": "xterm-256color", **environ}.items():
            patch.setenv(name, value)
        with (
            redirect_stderr(screen),
            speaking(),
            following("transformers", quiet=False, priced=True) as follow,
        ):
            assert follow is not None
            follow(many)
        screen.flush()
        return os.read(person, 1 << 16).decode()


def test_a_terminal_of_80_columns_shows_all_of_a_run_of_scoring() -> None:
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown_on_a_terminal())
    assert "1,080 rows, 900 of 1,206 requests, 17,000,000 tokens, $14.8140" in text
    assert re.search(r"scoring with transformers .* 73% 0:00:0\d left ", text)
    assert max(map(len, text.splitlines())) <= 80


def test_no_color_is_heeded_by_the_bar() -> None:
    assert "\x1b[3" in shown_on_a_terminal()
    assert not re.search(r"\x1b\[[0-9;]*m", shown_on_a_terminal(NO_COLOR="1"))


def test_without_a_terminal_a_line_tells_rows_and_the_time_left(
    told: Callable[[], str],
) -> None:
    passed = iter((0.0, 0.0, 20.0, 20.0, 20.0))
    clock = SimpleNamespace(monotonic=lambda: next(passed))
    with (
        mock.patch("llmattn.scoring.progress.time", clock),
        following("p", quiet=False, priced=True) as show,
    ):
        assert show is not None
        show(FillReport(pairs=300, scored=100, rows_scored=10, requests_planned=6))
    assert told() == (
        "scoring with p: 100 of 300 pairs, 10 rows, 0 of 6 requests, $0.0000, about 40 s left\n"
    )


@pytest.mark.parametrize("name", ["get_attention_matrix", "load_corpus"])
def test_importing_the_library_sets_up_no_logging(tmp_path: Path, name: str) -> None:
    code = (
        f"import llmattn, logging\nllmattn.{name}\n"
        "print([type(h).__name__ for h in logging.getLogger('llmattn').handlers],"
        " logging.getLogger().handlers)"
    )
    assert program(tmp_path, code).stdout == "['NullHandler'] []\n"
