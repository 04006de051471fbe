"""Servers that a user says are one: at a new address a few stored scores are asked again first."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
from attrs import evolve

from llmattn.cache.protocol import NamespaceInfo, ScoreCache
from llmattn.errors import ConfigError
from llmattn.identity import Identity
from llmattn.notices import notify
from llmattn.providers.protocol import StandIn
from llmattn.rows import Row, Scores
from llmattn.secrets import redact
from llmattn.untrusted import from_json
from llmattn.whole_files import open_file
from llmattn.wording import counted

__all__ = ["SameServer", "tell_moved"]

_ROWS, _KEYS = 4, 8
"""So many are asked again, at most; a row with context goes whole."""
_LARGEST = 1 << 16  # bytes of a list of addresses
_SAME = 0.1
"""A difference up to this is none: a digit of a reply is 0.11."""


class SameServer:
    """The addresses at which a namespace's server was found to be the same, in a file.

    ``name``: the provider's. A file that cannot be read or written only makes it look again.
    """

    def __init__(self, folder: Path, name: str, identity: Identity, stand_in: StandIn) -> None:
        self._path = folder / f"{identity.namespace}.json"
        self._name = name
        self._identity = identity
        self._stand_in = stand_in

    def check(self, cache: ScoreCache, ask: Callable[[Sequence[Row]], Sequence[Scores]]) -> None:
        """See to it that the scores of ``cache`` are those of the server at this address.

        ``ask``: the scores of rows by asking it. Raises ConfigError if they differ, unless the
        user says that this may be, and what ``ask`` raises.
        """
        said = self._stand_in
        known = self._known()
        if said.address in known:
            return
        stored = _some(cache, self._identity.namespace)
        if stored:
            now = ask([row for row, _ in stored])
            differ, asked = _differing([scores for _, scores in stored], now)
            told = f"{self._name}: of {asked} stored scores of {said.name!r}, asked again at "
            told += f"{said.address}, {differ or 'none'} came out otherwise"
            if differ and not said.may_differ:
                raise ConfigError(
                    f"{told}: it may be another model, or one that does not answer the same twice. "
                    f"Nothing else was asked. If it is meant all the same add -o {self._name}."
                    f"server_may_differ=true, else give this server another {self._name}."
                    "server_name."
                )
            notify(f"{told}.")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path.write_text(json.dumps([*known, said.address]), encoding="utf-8")

    def _known(self) -> list[str]:
        try:
            with open_file(self._path) as file:
                found = from_json(file.read(_LARGEST))
        except (OSError, ValueError):
            return []
        return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def tell_moved(name: str, cache: ScoreCache, identity: Identity) -> None:
    """Say so if the cache holds nothing of this server, and something of one that has moved."""
    found = _elsewhere(cache, identity)
    if found is None:
        return
    address = str(dict(found.identity.details)["base_url"])
    shown = address if address.isprintable() and redact(address) == address else "another address"
    notify(
        f"{name}: the cache holds {counted(found.pairs, 'score')} of the same model at {shown}, "
        f"and none at this address. If it is the same server, say so with "
        f"-o {name}.server_name={shown}"
    )


def _elsewhere(cache: ScoreCache, identity: Identity) -> NamespaceInfo | None:
    """The largest namespace that differs from ``identity`` by the address alone, if the cache
    holds nothing of ``identity`` itself.
    """
    if "base_url" not in dict(identity.details):
        return None
    found = [info for info in cache.namespaces() if info.pairs]
    if any(info.namespace == identity.namespace for info in found):
        return None
    alike = [info for info in found if _placeless(info.identity) == _placeless(identity)]
    return max(alike, key=lambda info: info.pairs, default=None)


def _placeless(identity: Identity) -> Identity:
    details = {name: value for name, value in identity.details if name != "base_url"}
    return evolve(identity, details=details)


def _some(cache: ScoreCache, namespace: str) -> list[tuple[Row, Scores]]:
    """A handful of stored rows with their scores."""
    chosen = []
    for row, scores in islice(cache.scan(namespace), _ROWS):
        if not row.context:
            row, scores = Row(row.query, row.keys[:_KEYS]), scores[:, :_KEYS]
        chosen.append((row, scores))
    return chosen


def _differing(stored: Sequence[Scores], now: Sequence[Scores]) -> tuple[int, int]:
    """How many scores differ, and of how many that are known on both sides."""
    a, b = np.concatenate(stored, axis=1), np.concatenate(now, axis=1)
    known = ~(np.isnan(a) | np.isnan(b))
    return int((np.abs(a - b)[known] > _SAME).sum()), int(known.sum())
