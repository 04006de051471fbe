"""The ``llmattn`` command: its subcommands, and how errors reach a person."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import typer

from llmattn import __version__
from llmattn.cli import cache, compare, evaluate, export, plan, plugins, sample, score, show, train
from llmattn.errors import LlmattnError
from llmattn.notices import forget_told, notify
from llmattn.secrets import RedactingFilter

__all__ = ["app", "main", "run_command"]

app = typer.Typer(
    name="llmattn",
    help="Train and sample small GPTs whose attention scores come from outside.",
    epilog="Every command takes --debug: log requests (keys hidden) and show tracebacks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"llmattn-core {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


app.command("plan")(plan.plan)
app.command("score")(score.score)
app.command("train")(train.train)
app.command("sample")(sample.sample)
app.command("compare")(compare.compare)
app.command("show")(show.show)
app.command("eval")(evaluate.evaluate)
app.command("export")(export.export)
app.command("plugins")(plugins.plugins)
app.add_typer(cache.app, name="cache")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrongly called, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A letter that the terminal's encoding lacks is no reason to stop.
            stream.reconfigure(errors="backslashreplace")
    debug = _take_debug(arguments)
    forget_told()
    try:
        app(args=arguments, prog_name="llmattn")
    except LlmattnError as error:
        _fail(f"error: {error}", error, debug)
    except KeyboardInterrupt:
        notify("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # a fault of ours: say so in one line
        kind = type(error).__name__
        _fail(f"error: a fault in llmattn: {kind}: {error} (--debug shows where)", error, debug)
    sys.exit(0)


def run_command(name: str) -> NoReturn:
    """Run one subcommand with the process's arguments, for ``python -m llmattn.NAME``."""
    main([name, *sys.argv[1:]])


def _take_debug(arguments: list[str]) -> bool:
    """Remove ``--debug`` wherever it stands, and switch it on."""
    debug = "--debug" in arguments
    while "--debug" in arguments:
        arguments.remove("--debug")
    if debug:
        handler = logging.StreamHandler()
        handler.addFilter(RedactingFilter())
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        root = logging.getLogger()
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
    return debug


def _fail(message: str, error: Exception, debug: bool) -> NoReturn:
    if debug:
        trace = "".join(traceback.format_exception(error))
        notify(trace)
    notify(message)
    sys.exit(1)
