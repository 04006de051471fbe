"""A checksum covers a record's key too, and a namespace's description is there twice: nothing
passes for something else, and one damaged byte loses next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import lmdb
import numpy as np
import pytest
from llmattn.cache.lmdb.layout import PAIR_KEY, Space
from llmattn.errors import CacheError
from llmattn.rows import prefix_rows
from llmattn.usage import Usage
from support_cache import PAIR, TEXT, lmdb_cache, many_rows, scored, verify

ROWS = many_rows(40, 30)
TEXTS = prefix_rows([f"w{n}" for n in range(12)])
SPENT = Usage(3, 100, 50, 0.25)
NAME = PAIR.namespace.encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache with 40 rows of 30 pairs, and a text of 12 words."""
    folder = tmp_path / "cache"
    cache = lmdb_cache(folder)
    cache.put(PAIR, ROWS, scored(ROWS), SPENT)
    cache.put(TEXT, TEXTS, scored(TEXTS, TEXT))
    cache.close()
    return folder


def alter(folder: Path, table: bytes, work: Callable[..., None]) -> None:
    """Write to one table with LMDB itself, so that the pages stay whole."""
    with lmdb.open(str(folder / "scores.mdb"), subdir=False, max_dbs=8) as env:
        handle = env.open_db(table, create=False)
        with env.begin(write=True, db=handle) as txn:
            work(txn)


def flip_key(folder: Path, table: bytes, key: bytes, place: int, bit: int = 1) -> None:
    """One bit of a key, the value staying as it is."""

    def work(txn: lmdb.Transaction) -> None:
        other = bytearray(key)
        other[place] ^= bit
        txn.put(bytes(other), txn.pop(key) or b"")

    alter(folder, table, work)


def flip_value(folder: Path, table: bytes, key: bytes, place: int) -> None:
    def work(txn: lmdb.Transaction) -> None:
        value = bytearray(txn.get(key) or b"")
        value[place] ^= 1
        txn.put(key, bytes(value))

    alter(folder, table, work)


def assert_all_there(folder: Path) -> None:
    cache = lmdb_cache(folder)
    for identity, rows in ((PAIR, ROWS), (TEXT, TEXTS)):
        for got, was in zip(cache.get(identity, rows), scored(rows, identity), strict=True):
            assert np.array_equal(got, was)
    infos = {info.namespace: info for info in cache.namespaces()}
    assert infos[PAIR.namespace].usage == SPENT
    cache.close()


def first_pair_key(folder: Path) -> bytes:
    found: list[bytes] = []
    alter(folder, b"pairs", lambda txn: found.extend(txn.cursor().iternext(values=False)))
    return found[-1]


@pytest.mark.parametrize("place", range(PAIR_KEY.size))
def test_a_pair_record_under_another_key_is_damaged_and_not_anothers_scores(
    folder: Path, place: int
) -> None:
    flip_key(folder, b"pairs", first_pair_key(folder), place)
    assert verify(folder).problems
    cache = lmdb_cache(folder)
    answers = []
    with suppress(CacheError):
        answers = cache.get(PAIR, ROWS)
    for got, was in zip(answers, scored(ROWS), strict=bool(answers)):
        assert np.array_equal(got[~np.isnan(got)], was[~np.isnan(got)])
    cache.close()


@pytest.mark.parametrize("place", [8, 9])
def test_a_row_that_is_lost_behind_its_key_is_told_and_not_asked_again(
    folder: Path, place: int
) -> None:
    flip_key(folder, b"pairs", first_pair_key(folder), place)
    cache = lmdb_cache(folder)
    with pytest.raises(CacheError, match="damaged record"):
        cache.get(PAIR, ROWS)
    cache.close()


def test_the_scores_of_one_word_are_not_taken_for_anothers(folder: Path) -> None:
    cache = lmdb_cache(folder)
    first, second = PAIR_KEY.pack(1, 0, 0), PAIR_KEY.pack(1, 2, 0)

    def work(txn: lmdb.Transaction) -> None:
        txn.put(first, txn.get(second) or b"")

    cache.close()
    alter(folder, b"pairs", work)
    cache = lmdb_cache(folder)
    with pytest.raises(CacheError, match="damaged record"):
        cache.get(PAIR, ROWS)
    cache.close()


def test_a_text_at_which_another_rows_place_points_is_damaged(folder: Path) -> None:
    def work(txn: lmdb.Transaction) -> None:
        (key, place), *_ = [item for item in txn.cursor() if item[1][-1] == len(TEXTS)]
        other = bytearray(place)
        other[-5] += 4  # its place in the chunk
        txn.put(key, bytes(other))

    alter(folder, b"prefixes", work)
    cache = lmdb_cache(folder)
    with pytest.raises(CacheError, match="damaged record"):
        cache.get(TEXT, TEXTS)
    cache.close()


def test_a_text_that_the_index_has_lost_is_told_by_an_export(folder: Path) -> None:
    keys: list[bytes] = []
    alter(folder, b"prefixes", lambda txn: keys.extend(txn.cursor().iternext(values=False)))
    flip_key(folder, b"prefixes", keys[3], 19)
    cache = lmdb_cache(folder)
    with pytest.raises(CacheError, match="damaged record"):
        list(cache.scan(TEXT.namespace))
    cache.close()
    assert verify(folder).problems


def test_one_damaged_copy_of_a_description_loses_nothing_and_is_told(folder: Path) -> None:
    for place in (0, 2, 40, -40):
        flip_value(folder, b"namespaces", NAME, place)
        assert_all_there(folder)
        (problem,) = verify(folder).problems
        assert PAIR.namespace in problem
        assert verify(folder, drop=True).problems
        assert verify(folder).problems == []
        assert_all_there(folder)


def test_two_damaged_copies_of_a_description_are_told_by_name(folder: Path) -> None:
    flip_value(folder, b"namespaces", NAME, 40)
    flip_value(folder, b"namespaces", NAME, -40)
    cache = lmdb_cache(folder)
    with pytest.raises(CacheError, match=PAIR.namespace):
        cache.get(PAIR, ROWS)
    cache.close()
    assert PAIR.namespace in verify(folder).problems[0]


def test_a_damaged_name_of_a_namespace_is_told_and_mended(folder: Path) -> None:
    flip_key(folder, b"namespaces", NAME, 7)
    cache = lmdb_cache(folder)
    for use in (lambda: cache.get(PAIR, ROWS), cache.namespaces):
        with pytest.raises(CacheError, match=PAIR.namespace):
            use()
    with pytest.raises(CacheError, match=PAIR.namespace):
        cache.put(PAIR, ROWS, scored(ROWS))
    cache.close()
    assert PAIR.namespace in verify(folder, drop=True).problems[0]
    assert_all_there(folder)


@pytest.mark.parametrize("key", [b"layout", b"last namespace"])
@pytest.mark.parametrize("what", ["key", "value"])
def test_damaged_counters_are_told_and_mended(folder: Path, key: bytes, what: str) -> None:
    if what == "key":
        flip_key(folder, b"meta", key, 2)
    else:
        flip_value(folder, b"meta", key, -1)
    assert verify(folder).problems
    assert verify(folder, drop=True).problems
    assert verify(folder).problems == []
    assert_all_there(folder)


@pytest.mark.parametrize("what", ["key", "value"])
def test_no_number_of_a_namespace_serves_twice_when_the_counter_is_damaged(
    folder: Path, what: str
) -> None:
    if what == "key":
        flip_key(folder, b"meta", b"last namespace", 2)
    else:
        flip_value(folder, b"meta", b"last namespace", -1)
    cache = lmdb_cache(folder)
    third = type(PAIR)("third", 1, PAIR.scope, ("relevance",))
    if what == "value":
        with pytest.raises(CacheError, match="verify --drop"):
            cache.put(third, ROWS, scored(ROWS, seed=2))
        cache.close()
        return
    cache.put(third, ROWS[:2], scored(ROWS[:2], seed=2))
    cache.close()
    assert_all_there(folder)


@pytest.mark.parametrize("table", [b"meta", b"namespaces", b"pairs", b"texts"])
def test_a_damaged_name_of_a_table_is_told_and_mended(folder: Path, table: bytes) -> None:
    file = folder / "scores.mdb"
    data = file.read_bytes()
    file.write_bytes(data.replace(table, table[:-1] + b"z"))
    with pytest.raises(CacheError):
        lmdb_cache(folder)
    assert verify(folder).problems
    assert verify(folder, drop=True).problems
    assert_all_there(folder)


def test_a_description_that_is_whole_reads_back_as_it_was() -> None:
    space = Space(7, PAIR, 1.0, 2.0, SPENT)
    assert Space.from_value(space.to_value()) == space


@pytest.mark.parametrize("table", [b"namespaces", b"tokens", b"pairs", b"texts", b"prefixes"])
@pytest.mark.parametrize("what", ["key", "value"])
def test_a_record_cut_short_is_told_as_damage(folder: Path, table: bytes, what: str) -> None:
    def work(txn: lmdb.Transaction) -> None:
        cursor = txn.cursor()
        assert cursor.last()
        key, value = bytes(cursor.key()), bytes(cursor.value())
        txn.delete(key)
        txn.put(key[:-1] if what == "key" else key, value[:-1] if what == "value" else value)

    alter(folder, table, work)
    assert verify(folder).problems
    with suppress(CacheError):  # and nothing else
        cache = lmdb_cache(folder)
        try:
            cache.get(PAIR, ROWS)
            cache.get(TEXT, TEXTS)
            cache.namespaces()
            list(cache.scan(TEXT.namespace))
            cache.put(TEXT, TEXTS, scored(TEXTS, TEXT, seed=3))
            cache.compact()
        finally:
            cache.close()
    assert verify(folder, drop=True).records
    assert verify(folder).problems == []
