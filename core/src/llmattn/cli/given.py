"""Which options a user gave to a command, and where."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import Any

import typer
from attrs import frozen

from llmattn.cli.config_file import tables_read
from llmattn.errors import ConfigError
from llmattn.options import Option, all_options
from llmattn.scoring.secret_settings import without_secrets
from llmattn.secrets import redact

__all__ = ["Given"]


@frozen(eq=False)
class Given:
    """What was typed, what a configuration file says, and what was left alone."""

    ctx: typer.Context

    def names(self, *, files: bool = True) -> set[str]:
        """The options that the user set: in the command, and with ``files`` also in a file."""
        unset = {"DEFAULT"} if files else {"DEFAULT", "DEFAULT_MAP"}
        sources = {name: self.ctx.get_parameter_source(name) for name in self.ctx.params}
        return {name for name, source in sources.items() if source and source.name not in unset}

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Of the options ``names`` those that the user set, as the command line has them."""
        return {name: self.ctx.params[name] for name in self.names().intersection(names)}

    def tables(self, name: str) -> dict[str, Any]:
        """The tables ``[NAME.…]`` of the configuration file; none without one."""
        return tables_read(self.ctx, name)

    def refuse(
        self,
        of: type,
        why_unread: Callable[[Option], str],
        *,
        chooser: str = "",
        files: bool = True,
    ) -> None:
        """Raise ConfigError for an option that the user set and nothing reads: none is ignored.

        ``of``: the settings class whose options are looked at. ``why_unread``: why nothing reads
        one, and what to do; empty if something does. ``chooser``: the option that decides it;
        where that was typed, a configuration file was written for more than the command leaves of
        it, so only typed options count, as they do without ``files``.
        """
        typed = self.names(files=False)
        counted = typed if chooser in typed or not files else self.names()
        default = {parameter.name: parameter.default for parameter in self.ctx.command.params}
        for said in all_options(of):
            # A printed configuration names every option, also those that were left alone.
            alone: tuple[Any, ...] = (default.get(said.name), None, [])
            is_set = said.name in typed or self.ctx.params.get(said.name) not in alone
            if said.name in counted and is_set and (why := why_unread(said)):
                raise ConfigError(f"{said.flag} {why}")

    def settle(self, said: Option) -> None:
        """Of an option and the one that it stands instead of keep one: what is typed counts for
        more than a file. Raises ConfigError for both in one place.
        """
        both = {said.name, said.instead_of}
        given = both & self.names(files=False) or both & self.names()
        if given == both:
            other = f"--{said.instead_of.replace('_', '-')}"
            raise ConfigError(f"{said.flag} stands instead of {other}: leave one of them out.")
        unset = said.instead_of if given == {said.name} else said.name
        self.ctx.params[unset] = None

    def words(self, names: Iterable[str], *, files: bool = True) -> list[str]:
        """The options ``names`` that the user set, as words to type again, without those of
        plugins that hold a key or a password.
        """
        said = self.names(files=files).intersection(names)
        words: list[str] = []
        for parameter in self.ctx.command.params:
            value = self.ctx.params.get(parameter.name or "")
            if parameter.name not in said or value is None:
                continue
            option = max(parameter.opts, key=len)
            if isinstance(value, bool):
                words.append(option if value else parameter.secondary_opts[0])
                continue
            values = value if isinstance(value, list) else [value]
            if parameter.name == "option":
                values = without_secrets(values, self.ctx.params.get("provider") or ())
            for each in values:
                words += [option, str(each)]
        return words

    def command(self, *, without: Iterable[str] = ()) -> str:
        """The command as a person would type it again, without secrets."""
        params = self.ctx.command.params
        arguments = [p.name for p in params if p.param_type_name == "argument" and p.name]
        options = {p.name for p in params if p.name}.difference(arguments, without)
        # What may be typed in two ways stands among the options by then.
        typed = [str(self.ctx.params[name]) for name in arguments if name in self.ctx.params]
        words = ["llmattn", self.ctx.command.name or "", *typed, *self.words(options, files=False)]
        return redact(shlex.join(words))
