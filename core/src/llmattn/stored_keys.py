"""Keys that llmattn keeps: in the system's keyring where there is one, else in a file of mode 0600.

The file has the names of all; those in the keyring have no value there. Nothing here prints a key.
"""

from __future__ import annotations

import json
import os
import stat
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmattn.errors import ConfigError
from llmattn.notices import warn_once
from llmattn.own_files import read_own
from llmattn.secrets import Secret
from llmattn.settings_file import user_folder
from llmattn.unfinished import unfinished
from llmattn.untrusted import from_json
from llmattn.writing import put_in_place

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["forget_key", "keep_key", "key_names", "keyring_here", "keys_file", "stored_key"]

KEYRING, FILE = "keyring", "file"
_SERVICE = "llmattn"
_USABLE = 1
"""The least priority of a keyring that is one: lower ones keep nothing, or in the open."""


def keys_file() -> Path:
    """The file, which need not be there."""
    return user_folder() / "keys.json"


def key_names() -> dict[str, str]:
    """The names of the stored keys, and where each is: ``keyring`` or ``file``.

    Raises ConfigError for a file that cannot be read.
    """
    return {name: KEYRING if value is None else FILE for name, value in _read().items()}


def stored_key(name: str) -> tuple[str, str] | None:
    """A key, and where it comes from in words; None if none is stored under ``name``.

    Raises ConfigError for a file or keyring that cannot be read.
    """
    kept = _read()
    if name not in kept:
        return None
    value = kept[name]
    if value is not None:
        return value, f"{name} in {keys_file()}"
    ring = _keyring()
    try:
        value = ring.get_password(_SERVICE, name) if ring else None
    except Exception as error:  # each keyring has errors of its own
        raise _no_keyring(name, type(error).__name__) from None
    if not value:
        raise _no_keyring(name, "it has no such key" if ring else "there is none here")
    return value, f"{name} in the keyring"


def keep_key(name: str, key: Secret, *, file: bool = False) -> str:
    """Store a key in place of any other of this name; gives the place in words.

    ``file``: not in the keyring. Raises ConfigError where it cannot be stored.
    """
    ring = None if file else _keyring()
    with _locked():
        kept = _read()
        if ring is not None:
            try:
                ring.set_password(_SERVICE, name, key.reveal())
            except Exception as error:  # locked, or refused by the user
                raise ConfigError(
                    f"The keyring does not take the key {name} ({type(error).__name__}): unlock "
                    "it, or keep the key in a file with --file."
                ) from None
            _write({**kept, name: None})
            return "the keyring"
        if name in kept and kept[name] is None:
            _forget_in_keyring(name)
        _write({**kept, name: key.reveal()})
    return f"{keys_file()}, which only you can read"


def forget_key(name: str) -> None:
    """Remove a stored key. Raises ConfigError if there is none."""
    with _locked():
        kept = _read()
        if name not in kept:
            raise ConfigError(f"No key is stored under {name}; llmattn keys list shows which are.")
        if kept.pop(name) is None:
            _forget_in_keyring(name)
        _write(kept)


def keyring_here() -> str:
    """The name of the system's keyring; empty if there is none that can be used."""
    ring = _keyring()
    return str(getattr(ring, "name", "") or type(ring).__name__) if ring is not None else ""


def _keyring() -> Any:
    try:
        ring = import_module("keyring").get_keyring()
        return ring if ring.priority >= _USABLE else None
    except Exception:  # not installed, or its set-up is broken: then there is the file
        return None


def _forget_in_keyring(name: str) -> None:
    ring = _keyring()
    try:
        if ring is not None:
            ring.delete_password(_SERVICE, name)
    except Exception as error:
        if type(error).__name__ != "PasswordDeleteError":  # it was not there any more
            raise _no_keyring(name, type(error).__name__) from None


def _no_keyring(name: str, why: str) -> ConfigError:
    return ConfigError(
        f"The key {name} is in the system's keyring, which does not give it ({why}): unlock the "
        f"keyring (pip install 'llmattn-core[keyring]' has what reads it), set {name} in the "
        f"environment, or store it anew: llmattn keys set {name}"
    )


def _read() -> dict[str, str | None]:
    path = keys_file()
    if not path.exists():
        return {}
    text = read_own(path)
    if text is None:
        return {}
    if hasattr(os, "geteuid") and stat.S_IMODE(path.stat().st_mode) & 0o077:
        warn_once(f"Other users can read your keys: chmod 600 {path}")
    try:
        found = from_json(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(
        value is None or isinstance(value, str) for value in found.values()
    ):
        raise ConfigError(
            f"{path} is damaged: remove it, and store the keys anew with: llmattn keys set NAME"
        )
    return found


def _write(kept: dict[str, str | None]) -> None:
    path = keys_file()
    try:
        with unfinished(path) as file:
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), 0o600)
            file.write(json.dumps(kept, indent=1, sort_keys=True).encode())
            file.flush()
            os.fsync(file.fileno())
            put_in_place(Path(file.name), path, file)
        path.chmod(0o600)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror or error}).") from None


def _locked() -> BaseFileLock:
    """So that two commands at once do not lose a key."""
    from filelock import FileLock  # loads asyncio and sqlite3

    folder = user_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"The folder {folder} cannot be made ({error.strerror}); set the keys in the "
            "environment, or in a .env file."
        ) from None
    return FileLock(folder / ".keys.lock")
