"""The door of the command line: it stops in one line while the rest is still being loaded, too."""

from __future__ import annotations

import sys

from llmattn.signals import take_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["run"]


def run(*command: str) -> NoReturn:
    """``llmattn COMMAND`` with the process's arguments, and exit.

    For ``llmattn``, ``python -m llmattn`` and, with the name of a subcommand,
    ``python -m llmattn.NAME``.
    """
    with take_over():
        from llmattn.cli.main import main

        main([*command, *sys.argv[1:]])
