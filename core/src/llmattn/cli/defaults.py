"""The tables of ``llmattn.toml`` as the defaults of commands, as if the code had them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from llmattn.cli.config_file import NOT_IN_FILES, fits
from llmattn.errors import ConfigError
from llmattn.notices import notify_once
from llmattn.options import COURSE, MODEL, TEXT, Option
from llmattn.paths import user_path
from llmattn.settings_file import VARIABLES, SettingsFile, not_a_projects, settings_files, user_file

__all__ = ["defaults_of", "set_defaults"]

_HARMLESS = (TEXT, MODEL, COURSE)


def set_defaults(name: str, command: Any, commands: Collection[str]) -> None:
    """Give the options of ``command`` the values that files state. A line on stderr tells what
    comes from a project's file. Raises ConfigError for what is no option, or not a project's, and
    for a table of none of ``commands``.
    """
    told: dict[Path, list[str]] = {}
    for file in settings_files():
        for other in file.commands.keys() - set(commands):
            raise ConfigError(f"{file.path}: [{other}] is no command; see: llmattn --help")
    for parameter, value, file in defaults_of(name, command):
        parameter.default = value
        if file.path != user_file():
            told.setdefault(file.path, []).append(parameter.name.replace("_", "-"))
    for path, names in told.items():
        notify_once(f"{path} sets {', '.join(names)}")


def defaults_of(name: str, command: Any) -> Iterator[tuple[Any, Any, SettingsFile]]:
    """The options of ``command`` that files set, each with its value and the file. Raises as
    :func:`set_defaults`.
    """
    parameters = {each.name: each for each in command.params if each.param_type_name == "option"}
    options: Mapping[str, Option] = getattr(command.callback, "options", dict)()
    for file in reversed(settings_files()):  # what comes last counts
        for key, value in file.commands.get(name, {}).items():
            shown = f"{file.path}: [{name}] {key}"
            if key in VARIABLES:
                raise ConfigError(
                    f"{shown}: that is one setting for all commands; write it at the top of your "
                    "file, before the tables."
                )
            if key in NOT_IN_FILES or key not in parameters:
                known = ", ".join(sorted(set(parameters) - NOT_IN_FILES - set(VARIABLES)))
                raise ConfigError(f"{shown} is no option of `llmattn {name}`; they are: {known}.")
            parameter, said = parameters[key], options.get(key)
            if not file.trusted and not _is_harmless(parameter, said):
                raise not_a_projects(file.path, f"{name}.{key}")
            right = fits(parameter, value) and _is_of_kind(parameter, value)
            if not right or (said and said.is_one and not said.is_one(value)):
                wanted = f"; it must be {said.wanted}" if said and said.wanted else ""
                raise ConfigError(f"{shown} = {str(value)[:60]!r} is no value of it{wanted}.")
            yield parameter, _placed(parameter, value, file), file


def _is_harmless(parameter: Any, said: Option | None) -> bool:
    """Whether it only settles how a model is trained: a number, a switch, one of some words."""
    if said is None or said.panel not in _HARMLESS or said.written:
        return False
    return _kind(parameter) in (int, float, bool) or said.wanted.startswith("one of")


def _is_of_kind(parameter: Any, value: object) -> bool:
    wanted = {int: (int,), float: (int, float), str: (str,), Path: (str,)}.get(_kind(parameter))
    return wanted is None or isinstance(value, wanted)


def _placed(parameter: Any, value: Any, file: SettingsFile) -> Any:
    """A path of a file starts at its folder."""
    return file.path.parent / user_path(value) if _kind(parameter) is Path else value


def _kind(parameter: Any) -> Any:
    return parameter.type_descriptor.annotation
