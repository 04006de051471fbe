"""What a checkpoint says of a provider, held against the user's own set-up of it.

A file never sets anything: it is compared, and where it differs the user is told both values, and
how to say the file's if it is meant.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import attrs
from attrs import frozen

from llmattn.identity import Identity
from llmattn.providers.criteria import BUILT_IN
from llmattn.registry import Registered
from llmattn.secrets import redact, strip_credentials
from llmattn.settings import Stated, stated

__all__ = ["UserSetup"]

_LONGEST = 200
"""Characters of a value that a message shows."""


@frozen
class UserSetup:
    """What the user says of one installed provider: options (without owners) and variables."""

    registered: Registered
    options: Mapping[str, str]
    environ: Mapping[str, str]

    def differences(self, then: Identity, now: Identity) -> str:
        """In words, what differs between a file's identity and that of the user's set-up, where
        the user's value comes from, and what to add for the file's.
        """
        changed = dict(sorted(then.differing(now).items()))
        told = "; ".join(
            f"{name} was {_shown(was)}, is {_shown(found)}{self._origin(name)}"
            for name, (was, found) in changed.items()
        )
        return f"{told}. {self._remedy(then, [*changed])}"

    def remedy(self, then: Identity) -> str:
        """What to add for the settings that a file names, where the user's cannot be used; empty
        if it names none that the user has otherwise.
        """
        said, details = self._stated(), then.parts
        changed = [
            name
            for name, field in self._fields().items()
            if name in details
            and _plain(details[name]) != _plain(said[name].text if name in said else field.default)
        ]
        if not (words := self._words(then, changed)):
            return ""
        return f"The checkpoint names other settings; only if you agree with them, add {words}"

    def _remedy(self, then: Identity, changed: list[str]) -> str:
        if changed == ["base_url"] and "server_name" in self._fields():
            owner = self.registered.name
            words = self._words(then, changed).replace(
                f"{owner}.base_url=", f"{owner}.server_name="
            )
            return f"If it is the same server at another address, add {words}"
        words = self._words(then, changed)
        if not words:
            return "Set it up as it was then, or train again."
        return (
            "What a file says does not decide what is asked: only if you agree with it, add (or "
            f"change) {words}"
        )

    def _words(self, then: Identity, changed: list[str]) -> str:
        """Options that make the settings ``changed`` what a file says."""
        wanted = then.parts
        fields, words = self._fields(), []
        if "criteria" in fields and "channels" in changed and {*then.channels} <= {*BUILT_IN}:
            wanted["criteria"], changed = ",".join(then.channels), [*changed, "criteria"]
        for name in changed:
            value = wanted.get(name, fields[name].default if name in fields else None)
            text = str(value) if isinstance(value, (str, int, float)) else ""
            harmless = text.isprintable() and redact(text) == text and len(text) <= _LONGEST
            if name in fields and text and harmless:
                words.append(shlex.join(["-o", f"{self.registered.name}.{name}={value}"]))
        return " ".join(words)

    def _origin(self, name: str) -> str:
        if name not in self._fields():
            return ""
        said = self._stated()
        return f" (from {said[name].origin})" if name in said else " (the default)"

    def _fields(self) -> Mapping[str, Any]:
        return attrs.fields_dict(cast(Any, self.registered.settings))

    def _stated(self) -> dict[str, Stated]:
        return stated(
            self.registered.settings,
            owner=self.registered.name,
            options=self.options,
            environ=self.environ,
        )


def _plain(value: object) -> str:
    text = str(value)
    with suppress(ValueError):  # a file's address may be none
        return strip_credentials(text) if "://" in text else text
    return text


def _shown(value: object) -> str:
    """A file's value, harmless to print."""
    text = "not set" if value is None else redact(repr(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
