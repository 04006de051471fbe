"""The door of the command line: it stops in one line while the rest is still being loaded, too."""

from __future__ import annotations

import sys
from typing import NoReturn

from llmattn.signals import as_interrupts, exit_code, handled_by, leave_at_once

__all__ = ["run"]


def run(*command: str) -> NoReturn:
    """``llmattn COMMAND`` with the process's arguments, and exit.

    For ``llmattn``, ``python -m llmattn`` and, with the name of a subcommand,
    ``python -m llmattn.NAME``.
    """
    with as_interrupts():
        try:
            from llmattn.cli.main import main

            main([*command, *sys.argv[1:]])
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            code: int | str | None = exit_code()
        except SystemExit as left:
            code = left.code
        with handled_by(leave_at_once):  # all is done: what comes now only hastens the end
            sys.exit(code)
