"""The door of the command line: it stops in one line while the rest is still being loaded, too."""

from __future__ import annotations

import os
import sys

# By itself, without the typed names that take their time.
from _signal import SIG_IGN, SIGINT, getsignal, signal  # type: ignore[import-not-found]


def _stop(number: int, frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


# Until there is a better one: what follows takes its time to load. A process that another one has
# made imports this as well, and is told otherwise when to stop.
if "multiprocessing" not in sys.modules and getsignal(SIGINT) is not SIG_IGN:
    signal(SIGINT, _stop)

from llmattn.signals import take_over  # noqa: E402

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
        _hush_libraries()

        from llmattn.cli.main import main

        given = sys.argv[1:]
        main(given if given == ["--version"] else [*command, *given])


def _hush_libraries() -> None:
    """Keep from a user what libraries warn the authors of programs of, in this process and in
    those that it starts; ``--debug``, -W and PYTHONWARNINGS let them speak.
    """
    if "--debug" not in sys.argv and not sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"
