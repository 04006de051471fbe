"""The control: scores that say nothing, but the same thing every time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from llmattn.identity import Identity
from llmattn.providers.protocol import Limits, Reply
from llmattn.providers.settings import RandomSettings
from llmattn.rows import Row, Scope, Scores
from llmattn.settings import identity_details

__all__ = ["RandomProvider"]


class RandomProvider:
    """A hash of query and key, or of the text so far and a position in it, uniform in [0, 1]:
    the same on every machine.
    """

    scoring_revision = 1
    channels = ("random",)
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

    def identity(self) -> Identity:
        details = identity_details(self._settings)
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
        scores = np.empty((1, len(row.keys)), np.float32)
        for i, key in enumerate(keys):
            digest = start.copy()
            digest.update(key.encode())
            scores[0, i] = int.from_bytes(digest.digest(), "big") / 0xFFFFFFFF
        return scores
