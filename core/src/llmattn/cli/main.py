"""The ``llmattn`` command: its subcommands, and how errors reach a person."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import typer

from llmattn import __version__, signals
from llmattn.cli import (
    cache,
    check_plugin,
    compare,
    config,
    doctor,
    evaluate,
    export,
    keys,
    new_plugin,
    plan,
    plugins,
    report,
    sample,
    score,
    show,
    train,
)
from llmattn.cli.app import App, Group
from llmattn.cli.defaults import set_defaults
from llmattn.cli.output import echo
from llmattn.cli.speech import speaking
from llmattn.cli.user_paths import user_paths
from llmattn.errors import LlmattnError
from llmattn.notices import notify
from llmattn.printable import printable
from llmattn.secrets import RedactingFilter

__all__ = ["app", "main"]


_ABOUT_SETTINGS = ("doctor", "config", "keys")
"""Commands that go on where a file of settings is damaged, and say so."""


class _Commands(Group):
    """Those that a signal stops say so in one line, before typer makes of each the same code. What
    files set is in their options.
    """

    def resolve_command(self, *given: Any, **more: Any) -> Any:
        name, command, rest = super().resolve_command(*given, **more)
        if name and command is not None and name not in _ABOUT_SETTINGS:
            set_defaults(name, command, self.commands)
        return name, command, rest

    def make_context(self, *given: Any, **more: Any) -> Any:
        with _stopping_in_one_line():
            return super().make_context(*given, **more)

    def invoke(self, ctx: Any) -> Any:
        with _stopping_in_one_line():
            return super().invoke(ctx)


@contextmanager
def _stopping_in_one_line() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        notify("interrupted")
        raise typer.Exit(signals.exit_code()) from None


app = App(
    name="llmattn",
    cls=_Commands,
    help="Train and sample small GPTs whose attention scores come from outside.",
    epilog="Every command takes --debug: log requests (keys hidden) and show tracebacks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        echo(f"llmattn-core {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


app.command("plan")(user_paths(plan.plan))
app.command("score")(user_paths(score.score))
app.command("train")(user_paths(train.train))
app.command("sample")(user_paths(sample.sample))
app.command("compare")(user_paths(compare.compare))
app.command("show")(user_paths(show.show))
app.command("report")(user_paths(report.report))
app.command("eval")(user_paths(evaluate.evaluate))
app.command("export")(user_paths(export.export))
app.command("plugins")(user_paths(plugins.plugins))
app.command("new-plugin")(new_plugin.new_plugin)
app.command("check-plugin")(check_plugin.check_plugin)
app.add_typer(cache.app, name="cache")
app.command("doctor")(user_paths(doctor.doctor))
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")


_NO_MEMORY = (
    "The memory does not suffice for this: close other programs, or take a smaller text, "
    "--block-size or --batch-size."
)


class _HarmlessFormatter(logging.Formatter):
    """What servers say stands in the log too."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@speaking()
def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit, with the code that ``llmattn.errors`` tells."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A letter that the terminal's encoding lacks is no reason to stop.
            stream.reconfigure(errors="backslashreplace")
    debug = _take_debug(arguments)
    with signals.as_interrupts():
        try:
            code = _run(arguments, debug)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        signals.end(code)


def _run(arguments: Sequence[str], debug: bool) -> int:
    """Run the command line; gives the exit code, or raises SystemExit with it."""
    try:
        # Not standalone: typer would print what was typed as it is.
        code = app(args=arguments, prog_name="llmattn", standalone_mode=False)
    except LlmattnError as error:
        _fail(f"error: {error}", error, debug)
    except BrokenPipeError:
        # The reader of our output has gone; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        with suppress(OSError):
            sys.stdout.flush()
        if error.filename is None:
            # Most likely our output: what is left of it has no place either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"error: {_refused_by_the_system(error)}", error, debug)
    except typer.Abort:
        notify("aborted")
        return 1
    except MemoryError as error:
        _fail(f"error: {_NO_MEMORY}", error, debug)
    except Exception as error:
        if isinstance(usage := getattr(error, "exit_code", None), int):
            _show_usage(error)
            return usage
        if signals.received() and not debug:  # a library has made another error of the interrupt
            notify("interrupted")
            return signals.exit_code()
        if _is_out_of_memory(error):
            _fail(f"error: {_NO_MEMORY}", error, debug)
        # A fault of ours: say so in one line.
        kind = type(error).__name__
        _fail(f"error: a fault in llmattn: {kind}: {error} (--debug shows where)", error, debug)
    return code if isinstance(code, int) else 0


def _refused_by_the_system(error: OSError) -> str:
    """What a person can do about a file or device that does not take or give what it should."""
    reason = error.strerror or error
    if error.filename is not None:
        return f"{error.filename} cannot be used ({reason}); make room or name another."
    return f"The output cannot be written ({reason}); make room, or send it to another place."


def _take_debug(arguments: list[str]) -> bool:
    """Remove ``--debug`` wherever it stands, and switch it on."""
    debug = "--debug" in arguments
    while "--debug" in arguments:
        arguments.remove("--debug")
    if debug:
        handler = logging.StreamHandler()
        handler.addFilter(RedactingFilter())
        handler.setFormatter(_HarmlessFormatter("%(asctime)s %(name)s %(message)s"))
        root = logging.getLogger()
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
    return debug


def _show_usage(error: Any) -> None:
    """Tell how the command line was wrong: typer's error, whose class is not public."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return  # the help has been printed
    context = getattr(error, "ctx", None)
    if context is not None:
        notify(context.get_usage())
        notify(f"Try: {context.command_path} --help")
    notify(f"error: {error.format_message()}")


def _is_out_of_memory(error: Exception) -> bool:
    """Whether torch has no memory left, for which it has no exception of its own."""
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def _fail(message: str, error: Exception, debug: bool) -> NoReturn:
    if debug:
        trace = "".join(traceback.format_exception(error))
        notify(trace)
    notify(message)
    sys.exit(error.exit_code if isinstance(error, LlmattnError) else LlmattnError.exit_code)
