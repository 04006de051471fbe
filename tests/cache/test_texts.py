"""Rows with context in the LMDB cache: many channels, long texts, new versions, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from llmattn.errors import CacheError
from llmattn.identity import Identity
from llmattn.rows import Scope, Scores, prefix_rows
from support_cache import lmdb_cache, scored, verify

LAYERS = Identity("local", 1, Scope.PREFIX, tuple(f"layer {n}" for n in range(30)))
TEXTS = [[f" w{n % (7 + text)}" for n in range(70)] for text in range(12)]
ROWS = [row for text in TEXTS for row in prefix_rows(text)]
SCORES = scored(ROWS, LAYERS)
PAYLOAD = 2 * sum(values.size for values in SCORES)


def assert_all_there(folder: Path, scores: list[Scores] = SCORES) -> None:
    cache = lmdb_cache(folder)
    for got, was in zip(cache.get(LAYERS, ROWS), expected(scores), strict=True):
        np.testing.assert_array_equal(got, was)
    cache.close()


def expected(scores: list[Scores]) -> list[Scores]:
    """Of texts that begin alike, the row that was put last is the one that is kept."""
    last = dict(zip([row.keys for row in ROWS], scores, strict=True))
    return [last[row.keys] for row in ROWS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cache = lmdb_cache(tmp_path / "cache")
    for start in range(0, len(ROWS), 100):
        cache.put(LAYERS, ROWS[start : start + 100], SCORES[start : start + 100])
    cache.close()
    return tmp_path / "cache"


def test_rows_of_many_channels_come_back_bit_for_bit(folder: Path) -> None:
    assert_all_there(folder)


def test_the_scan_gives_each_row_once(folder: Path) -> None:
    cache = lmdb_cache(folder)
    found = [row for row, _ in cache.scan(LAYERS.namespace)]
    assert len(found) == len(set(found))
    assert set(found) == set(ROWS)
    cache.close()


def test_a_tenth_is_the_most_that_the_file_adds_to_the_scores(folder: Path) -> None:
    lmdb_cache(folder).compact()
    assert (folder / "scores.mdb").stat().st_size < 1.1 * PAYLOAD


def test_putting_what_is_there_does_not_make_the_file_grow(folder: Path) -> None:
    before = (folder / "scores.mdb").stat().st_size
    cache = lmdb_cache(folder)
    for _ in range(5):
        cache.put(LAYERS, ROWS, expected(SCORES))
    assert (folder / "scores.mdb").stat().st_size < before + 0.02 * PAYLOAD
    cache.close()


def test_compacting_gives_back_the_room_of_old_versions(folder: Path) -> None:
    cache = lmdb_cache(folder)
    newer = scored(ROWS, LAYERS, seed=1)
    cache.put(LAYERS, ROWS, newer)
    before, after = cache.compact()
    assert before > 1.8 * PAYLOAD
    assert after < 1.1 * PAYLOAD
    assert [info.rows for info in cache.namespaces()] == [len(set(ROWS))]
    cache.close()
    assert_all_there(folder, newer)
    assert verify(folder).problems == []


def test_positions_not_known_yet_are_filled_in_later(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path)
    row, scores = ROWS[40], SCORES[40]
    half = np.arange(41) < 20
    cache.put(LAYERS, [row], [np.where(half, scores, np.nan).astype(np.float32)])
    cache.put(LAYERS, [row], [np.where(half, np.nan, scores).astype(np.float32)])
    np.testing.assert_array_equal(cache.get(LAYERS, [row])[0], scores)
    cache.close()


def test_purging_leaves_nothing_of_a_namespace(folder: Path) -> None:
    cache = lmdb_cache(folder)
    cache.purge(LAYERS.namespace)
    assert list(cache.scan(LAYERS.namespace)) == []
    full = (folder / "scores.mdb").stat().st_size
    for _ in range(6):
        cache.put(LAYERS, ROWS, SCORES)
        cache.purge(LAYERS.namespace)
    assert (folder / "scores.mdb").stat().st_size < 3 * full
    _, after = cache.compact()
    assert after < 0.05 * PAYLOAD
    cache.close()


def test_one_flipped_bit_costs_one_row(folder: Path) -> None:
    file = folder / "scores.mdb"
    data = bytearray(file.read_bytes())
    wanted = SCORES[60].astype(np.float16).tobytes()
    data[data.index(wanted) + 100] ^= 0x08
    file.write_bytes(data)
    cache = lmdb_cache(folder)
    with pytest.raises(CacheError, match="verify --drop"):
        cache.get(LAYERS, ROWS[60:61])
    np.testing.assert_array_equal(cache.get(LAYERS, ROWS[61:62])[0], SCORES[61])
    cache.close()
    report = verify(folder, drop=True)
    assert report.problems == ["a text of 61 tokens of local: its checksum is wrong"]
    cache = lmdb_cache(folder)
    lost = [np.isnan(got).any() for got in cache.get(LAYERS, ROWS)]
    assert [n for n, gone in enumerate(lost) if gone] == [60]
    cache.close()
