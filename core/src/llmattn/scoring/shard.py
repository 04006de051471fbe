"""Shares work among the processes that torchrun started, without a word between them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping

from attrs import frozen

from llmattn.errors import ConfigError
from llmattn.rows import Row

__all__ = ["Shard"]


@frozen
class Shard:
    """One process of ``world``. A row belongs to the process that a hash of its query names,
    so no row is asked by two of them.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Shard:
        """From RANK and WORLD_SIZE, as torchrun sets them; alone without them."""
        try:
            rank, world = int(environ.get("RANK", "0")), int(environ.get("WORLD_SIZE", "1"))
        except ValueError:
            raise ConfigError("RANK and WORLD_SIZE must be whole numbers.") from None
        if not 0 <= rank < world:
            raise ConfigError(f"RANK {rank} is not below WORLD_SIZE {world}.")
        return cls(rank, world)

    def rows(self, rows: Iterable[Row]) -> list[Row]:
        """Those of ``rows`` that are this process's."""
        if self.world == 1:
            return list(rows)
        return [row for row in rows if _hash(row) % self.world == self.rank]


def _hash(row: Row) -> int:
    text = "\x1f".join((row.query, *row.context)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
