"""The reader in docs/cache-format.md, run on a real file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, prefix_rows
from support_cache import PAIR, TEXT, lmdb_cache, many_rows, scored

DOCS = Path(__file__).parents[2] / "docs" / "cache-format.md"
MANY = Identity("local", 1, Scope.PAIR, ("a", "b", "c"))


def read(file: Path) -> dict[Any, Any]:
    """What the documented reader finds: scores by namespace and words."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return {(name, words): values for name, words, values in names["scores"](str(file))}


def test_the_documented_reader_finds_what_the_cache_holds(tmp_path: Path) -> None:
    rows = [*many_rows(300, 250), Row("é\x00\ud800", ("😀", " "))]
    texts = [
        row
        for n in range(40)
        for row in prefix_rows([f"w{n}", *["to", "be", "or", "not", "to", "be"]])
    ]
    cache = lmdb_cache(tmp_path)
    for identity in (PAIR, MANY):
        cache.put(identity, rows, scored(rows, identity))
    cache.put(TEXT, texts, scored(texts, TEXT))
    cache.put(TEXT, texts[5:9], scored(texts[5:9], TEXT, seed=1))
    path = cache.path
    expected = {}
    for info in cache.namespaces():
        for row, values in cache.scan(info.namespace):
            if info.identity == TEXT:
                expected[info.namespace, row.keys] = values
            else:
                for i, key in enumerate(row.keys):
                    expected[info.namespace, (row.query, key)] = values[:, i]
    cache.close()
    found = read(path)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
