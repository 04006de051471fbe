"""The records of namespaces in a transaction: what each is of, its number, and what it has cost."""

from __future__ import annotations

import time
from collections.abc import Iterator

from attrs import evolve

from llmattn.cache.lmdb.layout import LAST_SPACE, Space, last_number, seal
from llmattn.cache.lmdb.store import Store, Transaction, damaged
from llmattn.identity import Identity
from llmattn.usage import Usage

__all__ = ["note_put", "read_space", "spaces"]


def spaces(txn: Transaction, store: Store) -> Iterator[Space]:
    """The records of all namespaces. Raises CacheError if one is damaged."""
    for key, value in txn.cursor(store.namespaces):
        yield _space(bytes(key), bytes(value))


def _space(key: bytes, value: bytes) -> Space:
    try:
        space = Space.from_value(value)
    except ValueError as error:
        raise damaged(f"that of the namespace {key.decode('ascii', 'replace')}: {error}") from None
    if space.key != key:
        raise damaged(f"that of the namespace {space.key.decode()}, which has another's key")
    return space


def read_space(txn: Transaction, store: Store, namespace: str) -> Space | None:
    """A namespace's record, None if there is none. Raises CacheError if it is damaged."""
    key = namespace.encode()
    value = txn.get(key, db=store.namespaces)
    if value is None:
        list(spaces(txn, store))  # raises if the record is here, under a damaged key
        return None
    return _space(key, bytes(value))


def note_put(txn: Transaction, store: Store, identity: Identity, usage: Usage) -> Space:
    """Note a put in the namespace's record, made if it is not there."""
    now = time.time()
    space = read_space(txn, store, identity.namespace)
    if space is None:
        try:
            last = last_number(txn.get(LAST_SPACE, db=store.meta))
        except ValueError as error:
            raise damaged(str(error)) from None
        number = max([last, *(other.id for other in spaces(txn, store))]) + 1  # none serves twice
        txn.put(LAST_SPACE, seal(LAST_SPACE, b"%d" % number), db=store.meta)
        space = Space(number, identity, now, now, Usage())
    space = evolve(space, updated=now, usage=space.usage + usage)
    txn.put(space.key, space.to_value(), db=store.namespaces)
    return space
