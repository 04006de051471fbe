"""Brings a file of layout 1 up to date: it kept each PREFIX row as a value of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lmdb
import numpy as np

from llmattn.cache.lmdb_chunks import chunked
from llmattn.cache.lmdb_layout import DATABASES, ID_BYTES, ID_KEY, LAYOUT, SEALED, check
from llmattn.untrusted import from_json

__all__ = ["upgrade"]


def upgrade(env: lmdb.Environment) -> bytes:
    """Write the PREFIX rows anew, in one transaction; returns the layout. PAIR rows stay.

    Damaged rows are left out: nothing could have read them.
    """
    layout = str(LAYOUT).encode()
    with env.begin(write=True) as txn:
        tables = {name: env.open_db(name, txn=txn) for name in DATABASES}
        if txn.get(b"layout", db=tables[b"meta"]) == layout:
            return layout  # another process was faster
        channels = {}
        for _, value in txn.cursor(tables[b"namespaces"]):
            space = from_json(value)
            channels[space["id"]] = len(space["identity"]["channels"])
        rows = sorted(_rows(txn, tables[b"prefixes"], channels))
        txn.drop(tables[b"prefixes"], delete=False)
        texts, prefixes = chunked(iter(rows))
        for name, records in ((b"texts", texts), (b"prefixes", prefixes)):
            for key, value in records:
                txn.put(key, value, db=tables[name], append=True)
        txn.put(b"layout", layout, db=tables[b"meta"])
    return layout


def _rows(txn: Any, table: Any, channels: dict[int, int]) -> Iterator[tuple[int, bytes, bytes]]:
    """Space, token ids and scores (C, n); they were token ids and scores (n, C)."""
    for key, value in txn.cursor(table):
        space = ID_KEY.unpack(key[: ID_KEY.size])[0]
        if space in channels and check(value):
            tokens = (len(value) - SEALED) // (ID_BYTES + 2 * channels[space])
            ids = value[SEALED : SEALED + ID_BYTES * tokens]
            scores = np.frombuffer(value, "<f2", offset=SEALED + ID_BYTES * tokens)
            yield space, ids, scores.reshape(tokens, -1).T.tobytes()
