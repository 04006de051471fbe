"""Commands out of settings classes: a parameter of such a class becomes its options.

What an option is called, means and allows is said in its class, see ``llmattn.options``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import attrs
import typer
from attrs import field, frozen

from llmattn.cli.apart import check_apart
from llmattn.cli.config_file import print_config, reader
from llmattn.cli.given import Given
from llmattn.errors import ConfigError
from llmattn.options import PANELS, RUN, Option, options_of, settled

__all__ = ["AlsoArgument", "AlsoOption", "Uses", "Written", "command"]

F = TypeVar("F", bound=Callable[..., None])


@frozen
class Uses:
    """What a command has of a settings class, where that is not all as it stands: ``only`` these
    options, or all ``without`` these; other ``defaults``, and other words of ``help``.
    """

    only: Collection[str] = ()
    without: Collection[str] = ()
    defaults: Mapping[str, Any] = field(factory=dict)
    help: Mapping[str, str] = field(factory=dict)

    def has(self, name: str) -> bool:
        """Whether the command has the option ``name``."""
        return name in self.only if self.only else name not in self.without


@frozen
class AlsoArgument:
    """Marks an option whose value may be typed without its name, as well."""

    metavar: str


@frozen
class AlsoOption:
    """Marks an argument that may be typed as the option ``--NAME``, as well."""

    name: str


@frozen
class Written:
    """Marks an option that names a file which the command writes."""


@frozen
class _Part:
    """A settings class of a command, and what the command has of it."""

    cls: type[attrs.AttrsInstance]
    uses: Uses

    def options(self) -> Iterator[tuple[attrs.Attribute[Any], Option]]:
        """Fields and options of the class, and of those that it holds; without those left out."""
        for each, said in options_of(self.cls):
            if self.uses.has(said.name):
                other = self.uses.help.get(said.name)
                yield each, attrs.evolve(said, help=other) if other else said
        for _, inner in self.inner():
            yield from inner.options()

    def inner(self) -> Iterator[tuple[str, _Part]]:
        """The settings classes that it holds, by the names of the fields."""
        for each in attrs.fields(attrs.resolve_types(self.cls)):
            if isinstance(each.type, type) and attrs.has(each.type):
                yield each.name, _Part(each.type, self.uses)

    def fill(self, values: Mapping[str, Any]) -> Any:
        """An object of the values of options. Raises ConfigError."""
        own = {name: value for name, value in values.items() if self.uses.has(name)}
        return settled(self.cls, own)

    def parameters(
        self, panels: Mapping[str, str | None]
    ) -> Iterator[tuple[str, inspect.Parameter]]:
        """Each option as typer takes it, and the heading that tells its place."""
        for each, said in self.options():
            default = _shown(self.uses.defaults.get(said.name, each.default))
            kind = _kind(each.type, said)
            flags = [] if default is True else [said.flag, said.short, said.alias]
            about = typer.Option(
                default,
                *filter(None, flags),
                help=said.help,
                metavar=said.metavar,
                rich_help_panel=panels.get(said.panel, said.panel) or None,
            )
            whole = kind | None if default is None else kind
            yield said.panel, _parameter(said.name, whole, about)


def command(
    *,
    config: str | None = None,
    tables: Collection[str] = (),
    panels: Mapping[str, str | None] | None = None,
) -> Callable[[F], F]:
    """A decorator that makes a function one that typer takes as a command.

    Each parameter of a settings class becomes the options of the class, perhaps ``Annotated`` with
    :class:`Uses`; one of the class :class:`Given` tells what the user set; others are typer's own.
    ``config``: the command has ``--config``, with this help, and ``--print-config``; ``tables``:
    the file may hold these. ``panels``: other headings.
    """

    def decorate(function: F) -> F:
        made: F = _Command(function, config, tables, panels or {}).as_function()
        return made

    return decorate


class _Command:
    def __init__(
        self,
        function: Callable[..., None],
        config: str | None,
        tables: Collection[str],
        panels: Mapping[str, str | None],
    ) -> None:
        self._function = function
        self._parts: dict[str, _Part] = {}
        self._given: str | None = None
        self._also: dict[str, str] = {}
        self._needed: list[str] = []
        self._plain: list[str] = []
        self._written: set[str] = set()
        found: list[tuple[str | None, inspect.Parameter]] = [
            (None, _parameter("ctx", typer.Context))
        ]
        for name, each in inspect.signature(function, eval_str=True).parameters.items():
            hint = each.annotation
            base, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
            if base is Given:
                self._given = name
            elif isinstance(base, type) and attrs.has(base):
                uses = next((extra for extra in extras if isinstance(extra, Uses)), Uses())
                self._parts[name] = _Part(base, uses)
                found += self._parts[name].parameters(panels)
            else:
                self._plain.append(name)
                if any(isinstance(extra, Written) for extra in extras):
                    self._written.add(name)
                panels_of = [getattr(extra, "rich_help_panel", None) for extra in extras]
                panel = next(filter(None, panels_of), None)
                default = each.default
                for also in extras:
                    if isinstance(also, AlsoArgument):
                        self._also[name] = f"{name}{_TWIN}"
                        found.insert(1, (None, _argument(name, base, also)))
                    elif isinstance(also, AlsoOption):
                        self._also[name] = f"{name}{_TWIN}"
                        found.append((None, _hidden_option(name, also)))
                        if default is inspect.Parameter.empty:
                            self._needed.append(name)
                            default = None
                            hint = getitem(Annotated, (base | None, *extras))
                found.append((panel, _parameter(name, hint, default)))
        if config:
            first = next(n for n, (panel, _) in enumerate(found) if panel == RUN)
            found[first:first] = [(RUN, each) for each in _config_options(config, tables)]
        ranks = {panel: rank for rank, panel in enumerate(PANELS)}
        found.sort(key=lambda each: ranks.get(each[0] or "", -1))
        self._parameters = [parameter for _, parameter in found]

    def as_function(self) -> Any:
        def run(**values: Any) -> None:
            ctx: typer.Context = values.pop("ctx")
            ctx.params.update(values)  # as typer has converted them
            self._run(ctx)

        run.__name__ = self._function.__name__
        run.__doc__ = self._function.__doc__
        run.__module__ = self._function.__module__
        run.__signature__ = inspect.Signature(self._parameters)  # type: ignore[attr-defined]
        run.options = self.options  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in self._parameters}
        return run

    def options(self) -> dict[str, Option]:
        """What is said of each option, by its name: typer has no place for all of it."""
        return {said.name: said for part in self._parts.values() for _, said in part.options()}

    def _run(self, ctx: typer.Context) -> None:
        given, values = Given(ctx), ctx.params
        for name, twin in self._also.items():
            _take_twin(ctx, name, twin)
        for name in self._needed:
            if values[name] is None:
                raise typer.BadParameter(f"Name the {name}: {_usage(ctx)}", ctx=ctx)
        for part in self._parts.values():
            for _, said in part.options():
                if said.instead_of:
                    given.settle(said)
        objects = {name: part.fill(values) for name, part in self._parts.items()}
        if values.get("print_config"):
            print_config(ctx)
            return
        self._check_apart(values)
        if self._given:
            objects[self._given] = given
        self._function(**{name: values[name] for name in self._plain}, **objects)

    def _check_apart(self, values: Mapping[str, Any]) -> None:
        """Raise ConfigError if the command would write what another of its options names."""
        written = {*self._written, *(s.name for s in self.options().values() if s.written)}
        # The folder of the cache may hold other files, too.
        paths = {k: v for k, v in values.items() if isinstance(v, Path) and k != "cache_dir"}
        said = {f"--{name.replace('_', '-')}": path for name, path in paths.items()}
        outputs = (f"--{name.replace('_', '-')}" for name in written & paths.keys())
        check_apart({name: said[name] for name in outputs}, said)


def _take_twin(ctx: typer.Context, name: str, twin: str) -> None:
    """A value that was typed in the other way, with the option's name or without, is its value."""
    value = ctx.params.pop(twin)
    if value is None:
        return
    source = ctx.get_parameter_source(name)
    if source and source.name == "COMMANDLINE" and ctx.params[name] != value:
        both = (value, ctx.params[name])
        is_argument = any(
            p.name == twin and p.param_type_name == "argument" for p in ctx.command.params
        )
        typed, named = both if is_argument else both[::-1]
        raise ConfigError(f"{typed} and --{name} {named}: name one of them.")
    ctx.params[name] = value
    typed_as = ctx.get_parameter_source(twin)
    assert typed_as is not None
    ctx.set_parameter_source(name, typed_as)


def _usage(ctx: typer.Context) -> str:
    """The command with its arguments, as they are typed."""
    arguments = [p for p in ctx.command.params if p.param_type_name == "argument"]
    names = [p.metavar or (p.name or "").upper() for p in arguments]
    return " ".join([ctx.command_path, *names])


def _parameter(
    name: str, annotation: Any, default: Any = inspect.Parameter.empty
) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


_TWIN = "_argument"
"""How the name of a parameter ends that is another way to type one."""


def _argument(name: str, kind: Any, also: AlsoArgument) -> inspect.Parameter:
    about = typer.Argument(None, metavar=f"[{also.metavar}]", help=f"The same as --{name}.")
    return _parameter(
        f"{name}{_TWIN}", kind if type(None) in get_args(kind) else kind | None, about
    )


def _hidden_option(name: str, also: AlsoOption) -> inspect.Parameter:
    about = typer.Option(None, f"--{also.name}", hidden=True)
    return _parameter(f"{name}{_TWIN}", Path | None, about)


def _config_options(help: str, tables: Collection[str]) -> list[inspect.Parameter]:
    read = reader(tables)
    path = typer.Option(None, help=help, callback=read, is_eager=True, rich_help_panel=RUN)
    shown = typer.Option(
        False,
        "--print-config",
        help="Print all options as such a file, and stop.",
        rich_help_panel=RUN,
    )
    return [_parameter("config", Path | None, path), _parameter("print_config", bool, shown)]


def _kind(kind: Any, said: Option) -> Any:
    """The type that typer reads an option of; what several values are made of is text."""
    kinds = [each for each in get_args(kind) if each is not type(None)]
    if said.repeated:
        return list[str]
    if get_origin(kind) not in (tuple, None) and type(None) in get_args(kind):
        kind = kinds[0]
    return kind if isinstance(kind, type) and get_origin(kind) is None else str


def _shown(default: Any) -> Any:
    """A default as the command line has it."""
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or None
    return None if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]
