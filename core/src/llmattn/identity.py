"""What a score depends on besides its row, and the cache namespace made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from llmattn.rows import Scope
from llmattn.untrusted import build

__all__ = ["Identity"]

Plain = str | int | float | bool | None


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _sorted_items(details: Mapping[str, Plain]) -> tuple[tuple[str, Plain], ...]:
    items = sorted(dict(details).items())
    for name, value in items:
        if value is not None and not isinstance(value, (str, int, float, bool)):
            raise TypeError(f"identity detail {name!r} must be a plain value, not {type(value)}")
    return tuple(items)


@frozen
class Identity:
    """Everything that can change a score, and nothing else.

    ``revision`` is the provider's ``scoring_revision``: raised by its author when the same
    settings start to give other scores. ``details`` are the provider's settings that matter
    (model, base URL without credentials, prompt, sampling parameters, scale), never a key,
    a timeout or a package version: an upgrade must not throw away scores that were paid for.
    """

    provider: str
    revision: int
    scope: Scope
    channels: tuple[str, ...] = field(converter=_strings)
    details: tuple[tuple[str, Plain], ...] = field(default=(), converter=_sorted_items)

    def __attrs_post_init__(self) -> None:
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise ValueError(f"{self.provider}: channels must be named, each once: {self.channels}")

    @property
    def namespace(self) -> str:
        """The cache namespace: 32 hexadecimal digits of the SHA-256 of the canonical JSON."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; :meth:`from_dict` reads it back."""
        return {
            "provider": self.provider,
            "revision": self.revision,
            "scope": self.scope.value,
            "channels": list(self.channels),
            "details": dict(self.details),
        }

    @property
    def parts(self) -> dict[str, Any]:
        """The same with the details among the rest, of which one wins over a part of its name."""
        parts = self.to_dict()
        details = parts.pop("details")
        return {**parts, **details}

    def differing(self, other: Identity) -> dict[str, tuple[Any, Any]]:
        """The parts that ``other`` has otherwise, or not at all: what each is here, and there."""
        own, its = self.parts, other.parts
        pairs = {name: (own.get(name), its.get(name)) for name in {**own, **its}}
        return {name: (one, two) for name, (one, two) in pairs.items() if one != two}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Identity:
        """The identity that :meth:`to_dict` described.

        Raises KeyError, TypeError or ValueError if ``data`` is not such a description.
        """
        return build(cls, {**data, "scope": Scope(data["scope"]), "details": dict(data["details"])})
