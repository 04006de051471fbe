"""The reader in docs/cache-format.md, run on a real file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from llmattn.cache.lmdb.cache import LmdbCache
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, prefix_rows
from support_cache import PAIR, TEXT, lmdb_cache, many_rows, scored

DOCS = Path(__file__).parents[2] / "docs" / "cache-format.md"
MANY = Identity("local", 1, Scope.PAIR, ("a", "b", "c"))


def read(file: Path) -> dict[Any, bytes]:
    """What the documented reader finds: float16 scores by namespace and words."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return {(name, words): values.tobytes() for name, words, values in names["scores"](str(file))}


def held(cache: LmdbCache) -> dict[Any, bytes]:
    """The same from the cache itself."""
    found = {}
    for info in cache.namespaces():
        for row, values in cache.scan(info.namespace):
            halves = values.astype(np.float16)
            if info.identity == TEXT:
                found[info.namespace, row.keys] = halves.tobytes()
            else:
                for i, key in enumerate(row.keys):
                    found[info.namespace, (row.query, key)] = halves[:, i].tobytes()
    return found


def test_the_documented_reader_finds_what_the_cache_holds(tmp_path: Path) -> None:
    more_than_u16 = Row("all", [f"word {n}" for n in range(66_000)])
    rows = [*many_rows(50, 70), Row("é\x00\ud800", ("😀", " ")), more_than_u16]
    texts = [
        row
        for n in range(40)
        for row in prefix_rows([f"w{n}", *["to", "be", "or", "not", "to", "be"]])
    ]
    cache = lmdb_cache(tmp_path)
    cache.put(PAIR, rows, scored(rows))
    cache.put(MANY, rows[:50], scored(rows[:50], MANY))
    cache.put(TEXT, texts, scored(texts, TEXT))
    cache.put(TEXT, texts[5:9], scored(texts[5:9], TEXT, seed=1))
    expected = held(cache)
    cache.close()
    assert len(expected) > 66_000
    assert read(tmp_path / "scores.mdb") == expected
