"""``llmattn.toml``: the user's own, and that of a project, which says little unless it is trusted.

A folder that was downloaded may hold one. So of itself a project's file settles only how a model is
trained: never who is asked, what is read, written or run, or what it may cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import platformdirs
from attrs import frozen

from llmattn.errors import ConfigError
from llmattn.own_files import nearest, read_own
from llmattn.paths import user_path
from llmattn.untrusted import toml_of

__all__ = [
    "NAME",
    "VARIABLES",
    "SettingsFile",
    "not_a_projects",
    "project_file",
    "settings_files",
    "user_file",
    "user_folder",
]

NAME = "llmattn.toml"

VARIABLES = {
    "provider": "LLM_PROVIDER",
    "model": "LLM_MODEL",
    "max_cost": "LLMATTN_MAX_COST",
    "max_requests": "LLMATTN_MAX_REQUESTS",
    "cache_dir": "LLMATTN_CACHE_DIR",
    "disable_plugins": "LLMATTN_DISABLE_PLUGINS",
    "strict_plugins": "LLMATTN_STRICT_PLUGINS",
    "plugin_timeout": "LLMATTN_PLUGIN_TIMEOUT",
}
"""What stands at the top of a file, and the variable of the environment that goes before it."""

_SETTINGS, _TRUSTED = "settings", "trusted"


@frozen
class SettingsFile:
    """What one file says. ``trusted``: it is the user's own word, and may say everything."""

    path: Path
    trusted: bool
    variables: Mapping[str, str]
    """By the variable's name, what stands at the top."""
    settings: Mapping[str, Mapping[str, str]]
    """The tables ``[settings.NAME]`` of providers and caches."""
    commands: Mapping[str, Mapping[str, Any]]
    """The tables of commands, by name; keys with ``_``."""
    folders: tuple[Path, ...] = ()
    """Whose files the user trusts."""

    def where(self, key: str) -> str:
        """A setting with its place, in words."""
        return f"{key} in {self.path}"


def user_folder() -> Path:
    """The folder of the user's own file and keys, which need not be there."""
    return platformdirs.user_config_path("llmattn", appauthor=False)


def user_file() -> Path:
    """The user's own file, which need not be there."""
    return user_folder() / NAME


def project_file() -> Path | None:
    """The nearest file from the working directory upward; None if that is the user's own."""
    found = nearest(NAME)
    return None if found is None or found == user_file() else found


def settings_files() -> list[SettingsFile]:
    """The files that count, the project's before the user's.

    Raises ConfigError for one that cannot be read, holds something unknown, or is a project's and
    says what a project's may not.
    """
    found: list[SettingsFile] = []
    own = user_file()
    if own.is_file() and (text := read_own(own)) is not None:
        found.append(_parsed(own, text, trusted=True))
    project = project_file()
    if project is not None and (text := read_own(project)) is not None:
        folders = [folder.resolve() for file in found for folder in file.folders]
        trusted = project.parent.resolve() in folders
        found.insert(0, _parsed(project, text, trusted=trusted))
    return found


def not_a_projects(path: Path, key: str) -> ConfigError:
    """The error for what a project's file may not say."""
    return ConfigError(
        f"{path}: {key!r} decides who is asked, what is read, written or run, or what it may cost, "
        "and the file of a folder that may have been downloaded does not decide that. Put it into "
        f"your own file, {user_file()}; or, if you know all that is in this folder, write there: "
        f'{_TRUSTED} = ["{path.parent}"]'
    )


def _parsed(path: Path, text: str, *, trusted: bool) -> SettingsFile:
    try:
        data = toml_of(text)
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    plain = {key.replace("-", "_"): each for key, each in data.items()}
    tables = {key: each for key, each in plain.items() if isinstance(each, dict)}
    settings = tables.pop(_SETTINGS, {})
    top = {key: each for key, each in plain.items() if not isinstance(each, dict)}
    if not trusted and (settings or top):
        raise not_a_projects(path, next(iter(top), _SETTINGS))
    folders = tuple(_folders(path, top.pop(_TRUSTED, [])))
    for key, each in top.items():
        if key not in VARIABLES:
            names = ", ".join([*VARIABLES, _TRUSTED])
            raise ConfigError(
                f"{path}: there is no setting {key!r}; at the top of the file may stand: {names}; "
                "options of a command stand in a table, such as [train]."
            )
        top[key] = _text(path, key, each)
    return SettingsFile(
        path,
        trusted,
        {VARIABLES[key]: each for key, each in top.items()},
        {owner: _texts(path, owner, table) for owner, table in settings.items()},
        {
            name: {key.replace("-", "_"): each for key, each in table.items()}
            for name, table in tables.items()
        },
        folders,
    )


def _folders(path: Path, value: object) -> Iterator[Path]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"{path}: {_TRUSTED} is a list of folders.")
    for each in value:
        yield path.parent / user_path(each)


def _texts(path: Path, owner: str, table: object) -> dict[str, str]:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: the settings of a plugin are a table: [{_SETTINGS}.{owner}]")
    return {
        key.replace("-", "_"): _text(path, f"{_SETTINGS}.{owner}.{key}", each)
        for key, each in table.items()
    }


def _text(path: Path, key: str, value: object) -> str:
    """A value as the environment would hold it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ",".join(value)
    if not isinstance(value, (str, int, float)) or not str(value).strip():
        raise ConfigError(f"{path}: {key} is no text or number.")
    return str(value)
