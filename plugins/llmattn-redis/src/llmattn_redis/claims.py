"""Claims of everybody who uses one server: keys that expire unless their asker renews them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from llmattn.plugin import Numbers, Taken, this_process

from llmattn_redis.keys import claim_keys

__all__ = ["RedisClaims"]

_LIFETIME = 20_000
"""Milliseconds for which a claim holds without being renewed: so long others wait for the dead."""
_RENEW = 5.0  # seconds
_CLAIM = """
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('GET', key) or '' end
for i, key in ipairs(KEYS) do
  if found[i] ~= '' then return found end
end
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
return found
"""
"""Claims all keys or none, and tells who has which."""
_RENEWAL = """
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('PEXPIRE', key, ARGV[2]) end
end
"""
_RELEASE = """
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
"""


class RedisClaims:
    """See ``Claims``. ``ask``: does work with the client, as the cache asks its server."""

    beside = True
    """Nobody tells whether others have been there."""

    def __init__(self, ask: Callable[[Callable[[Any], Any]], Any]) -> None:
        self._ask = ask
        self._owner = f"{this_process()} {secrets.token_hex(4)}"
        self._held: dict[int, Numbers] = {}
        self._released: list[Numbers] = []
        self._renewed = time.monotonic()

    def claim(self, wanted: Mapping[int, Numbers]) -> dict[int, Taken]:
        """See ``Claims.claim``. One round trip."""
        self._flush()

        def work(client: Any) -> list[list[bytes]]:
            pipeline = client.pipeline(transaction=False)
            for numbers in wanted.values():
                keys = claim_keys(numbers)
                pipeline.eval(_CLAIM, len(keys), *keys, self._owner, _LIFETIME)
            found: list[list[bytes]] = pipeline.execute()
            return found

        answers = {}
        for (ticket, numbers), owners in zip(wanted.items(), self._ask(work), strict=True):
            answers[ticket] = _taken(owners)
            if not answers[ticket].numbers.any():
                self._held[ticket] = numbers
        return answers

    def taken(self, numbers: Numbers) -> Taken:
        """See ``Claims.taken``."""
        keys = claim_keys(numbers)
        return _taken(self._ask(lambda client: client.mget(keys)) if keys else [])

    def release(self, ticket: int, kept: Numbers | None = None) -> None:
        """See ``Claims.release``."""
        numbers = self._held.pop(ticket, None)
        if numbers is None:
            return
        if kept is not None and len(kept):
            self._held[ticket] = kept
            numbers = np.setdiff1d(numbers, kept)
        self._released.append(numbers)

    def renew(self) -> None:
        """See ``Claims.renew``."""
        self._flush()
        if time.monotonic() - self._renewed > _RENEW:
            self._run(_RENEWAL, list(self._held.values()))
            self._renewed = time.monotonic()

    def close(self) -> None:
        """See ``Claims.close``."""
        self._released += self._held.values()
        self._held.clear()
        self._flush()

    def _flush(self) -> None:
        released, self._released = self._released, []
        self._run(_RELEASE, released)

    def _run(self, script: str, parts: list[Numbers]) -> None:
        keys = claim_keys(np.concatenate(parts)) if parts else []
        if keys:
            self._ask(lambda client: client.eval(script, len(keys), *keys, self._owner, _LIFETIME))


def _taken(owners: list[bytes | None]) -> Taken:
    holders = {owner.decode("utf-8", "replace").rpartition(" ")[0] for owner in owners if owner}
    return Taken(np.array([bool(owner) for owner in owners], bool), tuple(sorted(holders)))
