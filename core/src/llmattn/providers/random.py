"""The control: scores that say nothing, but the same thing every time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from llmattn.identity import Identity
from llmattn.providers.protocol import Limits, Reply
from llmattn.providers.settings import RandomSettings
from llmattn.rows import Row, Scope, Scores
from llmattn.settings import identity_details

__all__ = ["RandomProvider"]


class RandomProvider:
    """A hash of query and key, or of the text so far and a position in it, uniform in [0, 1]:
    the same on every machine. Further channels are hashes of that hash.
    """

    scoring_revision = 1
    limits = Limits(
        pairs_per_request=1 << 16,
        rows_per_request=1 << 14,
        keys_per_row=1 << 16,
        requests_at_once=1,
        nested_rows=True,
    )
    local = True
    absent_score = None

    def __init__(self, settings: RandomSettings) -> None:
        self._settings = settings
        self.scope = Scope(settings.scope)
        names = [f"random{number}" for number in range(1, settings.channels + 1)]
        self.channels = tuple(names) if len(names) > 1 else ("random",)

    def identity(self) -> Identity:
        details = identity_details(self._settings)
        if len(self.channels) > 1:  # one channel is what there was before there could be more
            details["channels"] = len(self.channels)
        return Identity("random", self.scoring_revision, self.scope, self.channels, details)

    async def score(self, rows: Sequence[Row]) -> Reply:
        return Reply([self._row(row) for row in rows])

    async def aclose(self) -> None:
        """Nothing to give back."""

    def _row(self, row: Row) -> Scores:
        if self.scope is Scope.PREFIX:
            seen = "\x1f".join(row.keys)
            keys: Iterable[str] = map(str, range(len(row.keys)))
        else:
            seen, keys = row.query, row.keys
        start = hashlib.blake2b(f"{self._settings.seed}\x1f{seen}\x1f".encode(), digest_size=4)
        hashes = np.empty(len(row.keys), np.uint32)
        for i, key in enumerate(keys):
            digest = start.copy()
            digest.update(key.encode())
            hashes[i] = int.from_bytes(digest.digest(), "big")
        return (_spread(hashes, len(self.channels)) / 0xFFFFFFFF).astype(np.float32)


def _spread(hashes: NDArray[np.uint32], channels: int) -> NDArray[np.uint32]:
    """The hashes ``(n,)``, and below them as many others for each further channel: ``(C, n)``.

    Those of channel c are the hashes plus c times 2^32 over the golden ratio, mixed as MurmurHash3
    ends: to hash anew for each channel would take minutes where a model has hundreds of them.
    """
    step = np.uint32(0x9E3779B9) * np.arange(channels, dtype=np.uint32)
    mixed: NDArray[np.uint32] = hashes + step[:, None]
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed ^= mixed >> np.uint32(shift)
        mixed *= np.uint32(factor)
    mixed ^= mixed >> np.uint32(16)
    mixed[0] = hashes
    return mixed
