"""What the environment, the nearest ``.env``, each ``llmattn.toml`` and the stored keys say, in the
order in which they count, and where each value comes from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from llmattn.dotenv_file import find_dotenv, read_dotenv
from llmattn.settings_file import VARIABLES, SettingsFile, settings_files
from llmattn.stored_keys import key_names, stored_key

__all__ = [
    "Environment",
    "Stated",
    "environment",
    "is_set",
    "origin_of",
    "said_by",
    "stored_key_of",
]

_AT_TOP = {variable: key for key, variable in VARIABLES.items()}
"""What a variable is called at the top of a file."""


class Environment(dict[str, str]):
    """Variables by name. ``file`` is the ``.env`` that holds those of ``from_file``; ``files`` say
    what neither holds, the first before the others.
    """

    def __init__(
        self,
        values: Mapping[str, str],
        from_file: Iterable[str] = (),
        file: Path | None = None,
        files: Sequence[SettingsFile] = (),
    ) -> None:
        said = {name: text for each in reversed(files) for name, text in each.variables.items()}
        super().__init__({**said, **values})
        self.from_file = frozenset(from_file)
        self.file = file
        self.files = tuple(files)
        self.from_files = frozenset(said.keys() - values.keys())


@frozen
class Stated:
    """A setting's value as somebody wrote it, and where: an option, a variable, a file."""

    text: str
    origin: str
    folder: Path | None = None
    """Where a relative path starts from, if not from the working directory."""


def environment() -> Environment:
    """The process's environment over the nearest ``.env`` (searched from the working directory
    upward), that over the project's and the user's ``llmattn.toml``, without empty values.
    ``os.environ`` is left as it is.

    A file that another user may have written is not read, with a line on stderr. Raises
    ConfigError for one that cannot be read, or says what it may not.
    """
    path = find_dotenv()
    from_file = read_dotenv(path) if path else {}
    merged = {name: value for name, value in {**from_file, **os.environ}.items() if value.strip()}
    own = merged.keys() & from_file.keys() - os.environ.keys()
    return Environment(merged, own, path, settings_files())


def origin_of(environ: Mapping[str, str], name: str) -> str:
    """Where a variable's value comes from, in words: ``NAME``, or ``NAME in /path/.env``."""
    if isinstance(environ, Environment):
        if name in environ.from_file:
            return f"{name} in {environ.file}"
        for file in environ.files if name in environ.from_files else ():
            if name in file.variables:
                return file.where(_AT_TOP[name])
    return name


def is_set(environ: Mapping[str, str], name: str) -> bool:
    """Whether a variable has a value, or a key is stored under its name."""
    return bool(environ.get(name)) or (isinstance(environ, Environment) and name in key_names())


def stored_key_of(environ: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """The key that llmattn keeps for a variable that nothing sets, and where it is."""
    return stored_key(name) if isinstance(environ, Environment) else None


def said_by(environ: Mapping[str, str], owner: str, name: str, variable: str) -> Stated | None:
    """What ``environ`` says of the setting ``name`` of a plugin, which ``variable`` fills, if that
    is not empty: the environment goes before a file, and in a file the plugin's own table first.
    """
    if not isinstance(environ, Environment):
        text = environ.get(variable)
        return Stated(text.strip(), variable) if text else None
    if environ.get(variable) and variable not in environ.from_files:
        # A path in a .env means the same wherever below it a command is run.
        there = environ.file if variable in environ.from_file else None
        text, origin = environ[variable].strip(), origin_of(environ, variable)
        return Stated(text, origin, there.parent if there else None)
    for file in environ.files:
        if text := file.settings.get(owner, {}).get(name):
            return Stated(text.strip(), file.where(f"{owner}.{name}"), file.path.parent)
        if text := file.variables.get(variable):
            return Stated(text.strip(), file.where(_AT_TOP[variable]), file.path.parent)
    return None
