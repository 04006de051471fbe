"""A page of docs/ executed to the letter in an environment: sybil finds its blocks of code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from support_environment import OUTER, built_up
from support_transcripts import commands_of, same
from support_wheels import ROOT
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser

_TO_AN_INDEX = ("PIP_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


class Reader:
    """Somebody who does what a page says, block after block. ``bin``: the environment's programs;
    ``wheels``: where pip finds ours.
    """

    def __init__(self, bin: Path, wheels: Path, folder: Path) -> None:
        self.folder = folder
        self.where = folder
        reach = {name: text for name, text in OUTER.items() if name.startswith(_TO_AN_INDEX)}
        self.environ = {
            **built_up(folder),
            **reach,
            "NO_PROXY": "127.0.0.1,localhost",
            "COLUMNS": "80",  # as wide as what the pages show
            "PATH": f"{bin}{os.pathsep}{OUTER['PATH']}",
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PIP_FIND_LINKS": f"{wheels} {OUTER.get('PIP_FIND_LINKS', '')}".strip(),
            "GIT_CEILING_DIRECTORIES": str(folder),  # what is below is no part of a repository
        }

    def follow(self, page: str) -> int:
        """Run the blocks of ``docs/page``; how many there were. AssertionError at the first that
        fails.
        """
        parsers = [
            CodeBlockParser("bash", self._run),
            CodeBlockParser("console", self._show),
            CodeBlockParser("diff", self._apply),
        ]
        examples = list(Document.parse(str(ROOT / "docs" / page), *parsers).examples())
        for example in examples:
            example.evaluate()
        return len(examples)

    def _run(self, example: Example) -> None:
        place = self.folder / "where"
        after = f'pwd > {place}; echo "$PATH" >> {place}'
        self._do(example, "bash", "-e", "-c", f"{example.parsed}\n{after}")
        where, self.environ["PATH"] = place.read_text().splitlines()
        self.where = Path(where)

    def _show(self, example: Example) -> None:
        for command, shown in commands_of(str(example.parsed)):
            out, err = self._do(example, "bash", "-e", "-c", command)
            place = f"{example.path}, line {example.line}: {command}\n"
            assert same(shown, err + out) or same(shown, out + err), place + out + err

    def _apply(self, example: Example) -> None:
        self._do(example, "git", "apply", "-", stdin=str(example.parsed))

    def _do(self, example: Example, *command: str, stdin: str = "") -> tuple[str, str]:
        done = subprocess.run(
            command,
            cwd=self.where,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=1800,
        )
        said = f"{example.path}, line {example.line}:\n{done.stdout[-6000:]}{done.stderr[-3000:]}"
        assert done.returncode == 0, said
        return done.stdout, done.stderr
