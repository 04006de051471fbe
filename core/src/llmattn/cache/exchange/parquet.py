"""Scores as Parquet: one record a row, ``keys`` beside ``scores`` (one list a key)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from llmattn.cache.exchange.portions import (
    HEAD,
    Portion,
    check_head,
    describe_portion,
    make_row,
    read_description,
)
from llmattn.digests import EMPTY, fill_digest, has_digest
from llmattn.errors import CacheDamaged
from llmattn.identity import Identity
from llmattn.rows import Row, Scores
from llmattn.untrusted import WRONG_DATA, from_json
from llmattn.usage import Usage

__all__ = ["read", "write"]

_METADATA = b"llmattn"
_END = "llmattn.end"
"""Counts and the digest, which are known when all is written."""
_ROWS = 2048
_VALUES = 1 << 22
"""About so many are taken out of a file at once."""
_MOST_VALUES = 1 << 27
"""Of a row group: few bytes can stand for any number of equal ones."""
_MOST_NAMESPACES = 4096
_DAMAGE = (pa.ArrowException, OSError, *WRONG_DATA)
"""What a file that is not as it should be makes arrow raise, and us."""
_FIELDS = [
    ("namespace", pa.string()),
    ("query", pa.string()),
    ("context", pa.list_(pa.string())),
    ("keys", pa.list_(pa.string())),
    ("scores", pa.list_(pa.list_(pa.float32()))),
]


def write(file: IO[bytes], portions: Iterable[Portion]) -> tuple[int, int]:
    """Write ``portions``; returns rows and pairs."""
    portions = list(portions)
    head = {**HEAD, "namespaces": [describe_portion(portion) for portion in portions]}
    schema = pa.schema(_FIELDS, metadata={_METADATA: json.dumps(head).encode()})
    rows = pairs = 0
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        for portion in portions:
            while batch := list(islice(portion.rows, _ROWS)):
                writer.write_table(_table(portion.identity.namespace, batch, schema))
                rows += len(batch)
                pairs += sum(len(row.keys) for row, _ in batch)
        end = {"namespaces": len(portions), "rows": rows, "pairs": pairs, **EMPTY}
        writer.add_key_value_metadata({_END: json.dumps(end)})
    file.flush()
    path = Path(file.name)
    fill_digest(path, _footer(path))
    return rows, pairs


def _footer(path: Path) -> int:
    """Bytes at the end of a file that hold its description; at most all of it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - 8, 0))
        length = int.from_bytes(file.read(4), "little")
    return min(length + 8, size)


def _table(namespace: str, batch: list[tuple[Row, Scores]], schema: pa.Schema) -> pa.Table:
    channels = batch[0][1].shape[0]
    lengths = [len(row.keys) for row, _ in batch]
    flat = np.concatenate([scores.T for _, scores in batch]).astype(np.float32)
    offsets = np.arange(0, flat.size + 1, channels, dtype=np.int32)
    inner = pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat.ravel()))
    outer = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    columns = [
        pa.array([namespace] * len(batch)),
        pa.array([row.query for row, _ in batch]),
        pa.array([row.context for row, _ in batch], pa.list_(pa.string())),
        pa.array([row.keys for row, _ in batch], pa.list_(pa.string())),
        pa.ListArray.from_arrays(pa.array(outer), inner),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def read(path: Path) -> Iterator[Portion]:
    """What ``path`` holds; raises CacheDamaged if it is no score file."""
    try:
        digested = has_digest(path, _footer(path))
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = file.schema_arrow.metadata or {}
            head = from_json(metadata.get(_METADATA, b"null"))
            check_head(path, head, digested=digested)
            if len(head["namespaces"]) > _MOST_NAMESPACES:
                raise ValueError(f"it holds more than {_MOST_NAMESPACES:,} namespaces")
            described = [read_description(entry) for entry in head["namespaces"]]
            yield from _portions(path, file, described)
    except _DAMAGE as error:
        raise _wrong(path, error) from None


def _portions(
    path: Path, file: pq.ParquetFile, described: Sequence[tuple[Identity, Usage]]
) -> Iterator[Portion]:
    """What stands in the file, in one pass: a portion for each run of rows of one namespace. What
    a namespace has cost comes with its first one.
    """
    left = {identity.namespace: (identity, usage) for identity, usage in described}
    known = {identity.namespace: identity for identity, _ in described}
    for namespace, records in groupby(_records(path, file), itemgetter("namespace")):
        if namespace in known:
            _, usage = left.pop(namespace, (None, Usage()))
            yield Portion(known[namespace], usage, _rows(path, records))
    for identity, usage in left.values():
        yield Portion(identity, usage, iter(()))


def _rows(path: Path, records: Iterator[dict[str, Any]]) -> Iterator[tuple[Row, Scores]]:
    try:
        yield from map(_row, records)
    except _DAMAGE as error:
        raise _wrong(path, error) from None


def _records(path: Path, file: pq.ParquetFile) -> Iterator[dict[str, Any]]:
    try:
        for group in range(file.num_row_groups):
            size = _batch_size(file.metadata.row_group(group))
            names = [name for name, _ in _FIELDS]
            for batch in file.iter_batches(size, row_groups=[group], columns=names):
                yield from batch.to_pylist()
    except _DAMAGE as error:
        raise _wrong(path, error) from None


def _batch_size(group: Any) -> int:
    """How many rows of a row group to take at once. Raises ValueError for too many values."""
    columns = [group.column(number) for number in range(group.num_columns)]
    values: int = max([1, *(column.num_values for column in columns)])
    if values > _MOST_VALUES:
        raise ValueError(f"it has {values:,} values in one group of rows: write smaller groups")
    rows: int = group.num_rows
    return max(1, min(_ROWS, _VALUES * rows // values))


def _row(record: dict[str, Any]) -> tuple[Row, Scores]:
    scores = np.array(record["scores"], np.float64).T
    return make_row(record["query"], record["keys"], record["context"], scores)


def _wrong(path: Path, error: Exception) -> CacheDamaged:
    return CacheDamaged(f"{path} cannot be imported: {str(error).rstrip('.')}.")
