"""``llmattn`` as a person runs it, in the built-up environment that conftest.py makes: in this
process where that is enough, else in one of its own.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import IO, Any
from unittest import mock

import pytest
from llmattn.cli.main import main

LLMATTN = ("-m", "llmattn")
FAILED = (1, 3, 4, 5, 6)
"""Exit codes of errors; tests/settle/test_exit_codes.py tells which is for what."""

Done = subprocess.CompletedProcess[str]
Stream = int | IO[Any]


def environment(folder: Path, **environ: str) -> dict[str, str]:
    """The environment of a command in ``folder``: the test's own, and its cache in ``folder``."""
    return {**os.environ, "LLMATTN_CACHE_DIR": str(folder / "scores"), **environ}


def run_cli(folder: Path, *arguments: object, stdin: str = "", **environ: str) -> Done:
    """``llmattn ARGUMENTS`` in ``folder``, in this process: what it needs is loaded already."""
    out, err = io.StringIO(), io.StringIO()
    command = [str(argument) for argument in arguments]
    with (
        pytest.MonkeyPatch.context() as patch,
        mock.patch.dict(os.environ, environment(folder, **environ)),  # what it sets ends with it
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        patch.chdir(folder)
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as left:
            main(command)
    code = left.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def run_process(
    folder: Path,
    *arguments: object,
    program: Sequence[str] = LLMATTN,
    stdin: str = "",
    **environ: str,
) -> Done:
    """The same as a process; ``program``: another than llmattn, as Python's own options name it."""
    return subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        cwd=folder,
        env=environment(folder, **environ),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=240,
    )


def start_process(
    folder: Path,
    *arguments: object,
    program: Sequence[str] = LLMATTN,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.PIPE,
    stderr: Stream = subprocess.PIPE,
    start_new_session: bool = False,
    **environ: str,
) -> subprocess.Popen[str]:
    """The same, left running: the caller ends it and reads what it has said."""
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=folder,
        env=environment(folder, **environ),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=start_new_session,
        text=True,
    )


def run_on_terminal(folder: Path, *arguments: object, answer: str, **environ: str) -> Done:
    """The same as :func:`run_cli`, with a person at a terminal who types ``answer``; ``stderr`` is
    what stood on it.
    """
    person, terminal = os.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # the terminal was closed
            while part := os.read(person, 4096):
                shown.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    os.write(person, f"{answer}\n".encode())
    out = io.StringIO()
    command = [str(argument) for argument in arguments]
    with (
        os.fdopen(os.dup(terminal)) as keys,
        os.fdopen(terminal, "w") as screen,
        pytest.MonkeyPatch.context() as patch,
        mock.patch.dict(os.environ, environment(folder, **environ)),
        redirect_stdout(out),
        redirect_stderr(screen),
    ):
        patch.chdir(folder)
        patch.setattr(sys, "stdin", keys)
        with pytest.raises(SystemExit) as left:
            main(command)
    reader.join()
    os.close(person)
    code = left.value.code
    assert isinstance(code, int)
    text = b"".join(shown).decode().replace("\r\n", "\n")
    return subprocess.CompletedProcess(command, code, out.getvalue(), text)
