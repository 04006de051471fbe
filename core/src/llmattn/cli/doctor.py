"""``llmattn doctor``: what of this set-up works, and what to do about the rest."""

from __future__ import annotations

from typing import Optional

import attrs
import typer
from rich.text import Text

from llmattn.cli.cache_options import CacheDir, CacheName
from llmattn.cli.common import Json
from llmattn.cli.output import echo_json
from llmattn.console import make_console
from llmattn.doctor import Finding, examine
from llmattn.printable import printable
from llmattn.secrets import redact
from llmattn.wording import counted

__all__ = ["doctor"]

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "bold red")}


def doctor(
    provider: Optional[str] = typer.Option(  # noqa: UP045
        None, "--provider", "-p", help="Look at this one. Default: the one that would be asked."
    ),
    reach: bool = typer.Option(
        False,
        "--reach",
        help="Also ask its server for its models, which costs nothing. Without this nothing is "
        "sent to anybody.",
    ),
    cache: CacheName = "lmdb",
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Look at Python, torch, plugins, settings, keys, address and cache; say what to mend.

    Exits with 0 if all works, else with the code of the first problem.
    """
    found = []
    console = make_console()
    for each in examine(provider=provider, cache=cache, cache_dir=cache_dir, reach=reach):
        each = attrs.evolve(each, says=redact(each.says), remedy=redact(each.remedy))
        found.append(each)
        if not as_json:
            console.print(_line(each), soft_wrap=True)
    problems = [each for each in found if each.state == "problem"]
    if as_json:
        plain = [attrs.asdict(each) for each in found]
        echo_json({"ok": not problems, "findings": plain}, indent=2)
    else:
        number = len(problems)
        told = counted(number, "problem") if number else "No problem was found."
        console.print(f"\n{told}")
    if problems:
        raise typer.Exit(problems[0].exit_code)


def _line(finding: Finding) -> Text:
    mark, style = _MARKS[finding.state]
    text = Text()
    text.append(f"{mark:<8}", style)
    text.append(f"{finding.about:<9}{printable(finding.says)}")
    if finding.remedy:
        text.append(f"\n{'':8}{'':9}-> {printable(finding.remedy)}", "bold")
    return text
