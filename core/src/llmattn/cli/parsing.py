"""Reading command-line options: what the commands for training and sampling share."""

from __future__ import annotations

import os
from collections.abc import Sequence

import typer

from llmattn.errors import ConfigError

__all__ = ["check_utf8", "explicit_options", "parse_options", "use_threads"]


def explicit_options(ctx: typer.Context, *, files: bool = True) -> list[str]:
    """Names of the parameters that the user set: in the command, and with ``files`` also in a
    configuration file.
    """
    unset = {"DEFAULT"} if files else {"DEFAULT", "DEFAULT_MAP"}
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return [name for name, source in sources.items() if source and source.name not in unset]


def parse_options(
    texts: Sequence[str],
    *,
    criteria: str | None = None,
    scope: str | None = None,
    channels: str | None = None,
    method: str | None = None,
) -> dict[str, str]:
    """``NAME.KEY=VALUE`` texts as a mapping, with what the options say that are named after a
    setting: without an owner, for whichever provider has it.

    Raises ConfigError for any other form.
    """
    given = {"criteria": criteria, "scope": scope, "channels": channels, "method": method}
    options = {name: value for name, value in given.items() if value is not None}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip(" ."):
            raise ConfigError(f"-o {text}: write it as NAME.KEY=VALUE, as in cooccurrence.window=5")
        options[name.strip()] = value
    return options


def check_utf8(text: str, what: str) -> None:
    """Raise ConfigError for a text of other bytes than UTF-8, which Python carries as surrogates.

    ``what``: what the text is called in the message.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{what} is no text in UTF-8 from its character {error.start + 1} on: type it anew, or "
            "convert it (iconv -t utf-8)."
        ) from None


def use_threads(threads: int | None) -> None:
    """Let torch use so many threads; None leaves their number alone. Call it before torch is
    imported: idle threads then sleep instead of spinning.

    Spinning threads starve each other once anything else wants a processor: beside another
    busy process, two threads trained at 900 tokens a second spinning, at 8,000 sleeping.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads must be at least 1, not {threads}.")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
