"""The records of namespaces in an LMDB file: readable JSON under the namespace's name."""

from __future__ import annotations

import json
import time

from attrs import asdict, evolve, frozen

from llmattn.cache.lmdb_store import Store, Transaction
from llmattn.identity import Identity
from llmattn.untrusted import build, from_json
from llmattn.usage import Usage

__all__ = ["Space", "note_put", "read_space"]

_LAST_SPACE = b"last namespace"


@frozen
class Space:
    """A namespace's record in the file."""

    id: int
    identity: Identity
    created: float
    updated: float
    usage: Usage

    @classmethod
    def from_json(cls, value: bytes) -> Space:
        data = from_json(value)
        return build(
            cls,
            {
                **data,
                "identity": Identity.from_dict(data["identity"]),
                "usage": build(Usage, data["usage"]),
            },
        )

    def to_json(self) -> bytes:
        data = {
            "id": self.id,
            "identity": self.identity.to_dict(),
            "created": self.created,
            "updated": self.updated,
            "usage": asdict(self.usage),
        }
        return json.dumps(data).encode()


def read_space(txn: Transaction, store: Store, namespace: str) -> Space | None:
    value = txn.get(namespace.encode(), db=store.namespaces)
    return None if value is None else Space.from_json(value)


def note_put(txn: Transaction, store: Store, identity: Identity, usage: Usage) -> Space:
    """Note a put in the namespace's record, made if it is not there."""
    now = time.time()
    space = read_space(txn, store, identity.namespace)
    if space is None:
        number = int(txn.get(_LAST_SPACE, b"0", db=store.meta)) + 1  # no number serves twice
        txn.put(_LAST_SPACE, str(number).encode(), db=store.meta)
        space = Space(number, identity, now, now, Usage())
    space = evolve(space, updated=now, usage=space.usage + usage)
    txn.put(identity.namespace.encode(), space.to_json(), db=store.namespaces)
    return space
