"""What comes from outside is printed so that it cannot act on a terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from llmattn.cli.output import echo, echo_json, echo_sampled
from llmattn.console import make_console
from llmattn.notices import notify
from llmattn.printable import printable
from rich.table import Table

HARMFUL = "\x1b]0;owned\x07\x9b31m\x7f\u202eback\u2066\u200b\ud800\u2028\r\b"
WRITTEN_OUT = r"\x1b]0;owned\x07\u009b31m\u007f\u202eback\u2066\u200b\ud800\u2028\x0d\x08"


class Screen(io.StringIO):
    """A terminal, as far as a program can ask."""

    def isatty(self) -> bool:
        return True


def test_control_characters_are_written_out() -> None:
    assert printable(HARMFUL) == WRITTEN_OUT


@pytest.mark.parametrize(
    "text", ["naïve café", "日本語 ไทย", "a\tb\nc", "[bold]x[/]", "🙂 ∎ ⏎", ""]
)
def test_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_line_ends_are_written_out_where_they_are_not_wanted() -> None:
    assert printable("a\nb", keep="") == r"a\x0ab"


def test_notices_are_harmless(told: Callable[[], str]) -> None:
    notify(HARMFUL)
    assert told() == WRITTEN_OUT + "\n"


def test_lines_and_json_on_stdout_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    echo(HARMFUL)
    echo_json({HARMFUL: HARMFUL})
    said = capsys.readouterr().out
    assert said.isascii()
    assert said.replace("\n", "").isprintable()


def test_tables_are_harmless_and_show_markup_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    monkeypatch.setenv("COLUMNS", "200")
    table = Table("head\x1b[2J", title="title\x9b", box=None)
    table.add_row("[red]cell[/red]\x1b]0;x\x07 :warning:")
    console = make_console()
    console.print(table)
    console.print("[bold]line[/nothing]\u202e")
    shown = screen.getvalue()
    for text in (r"head\x1b[2J", r"[red]cell[/red]\x1b]0;x\x07 :warning:", r"[/nothing]\u202e"):
        assert text in shown
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert "\x9b" not in shown


def test_sampled_text_is_harmless_on_a_terminal_and_as_it_is_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "a\x1b]0;x\x07\u200d\n"
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    echo_sampled(text)
    assert screen.getvalue() == "a\\x1b]0;x\\x07\u200d\n"
    with (tmp_path / "out.txt").open("w+", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdout", file)
        echo_sampled(text)
        file.seek(0)
        assert file.read() == text
