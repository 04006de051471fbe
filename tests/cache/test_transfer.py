"""Scores on their way between caches and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from llmattn.cache.exchange import files
from llmattn.cache.exchange.transfer import contents, copy_into
from llmattn.cache.lmdb.cache import LmdbCache
from llmattn.cache.memory import MemoryCache
from llmattn.cache.protocol import ScoreCache
from llmattn.cache.settings import MemorySettings
from llmattn.errors import CacheError
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, prefix_rows
from llmattn.usage import Usage
from support_cache import PAIR, TEXT, lmdb_cache, many_rows, scored

ROWS = [*many_rows(30, 10), Row("é\x00\ud800", ("😀", " "))]
TEXTS = prefix_rows(["to", "be", "or", "not", "to", "be"])


@pytest.fixture
def cache(tmp_path: Path) -> LmdbCache:
    cache = lmdb_cache(tmp_path / "cache")
    cache.put(PAIR, ROWS, scored(ROWS), Usage(requests=3, prompt_tokens=400, cost=0.25))
    scores = scored(TEXTS, TEXT)
    scores[3][:, 1] = np.nan
    cache.put(TEXT, TEXTS, scores)
    return cache


def everything(cache: ScoreCache) -> dict[Any, bytes]:
    """Every score of a cache, as the bytes of its float16."""
    return {
        (info.namespace, row.context, row.query, key, i if row.context else 0): values[:, i]
        .astype(np.float16)
        .tobytes()
        for info in cache.namespaces()
        for row, values in cache.scan(info.namespace)
        for i, key in enumerate(row.keys)
        if not np.isnan(values[:, i]).any()
    }


def memory() -> MemoryCache:
    return MemoryCache(MemorySettings())


@pytest.mark.parametrize("name", ["scores.jsonl", "scores.parquet"])
def test_export_and_import_give_every_bit_back(cache: LmdbCache, tmp_path: Path, name: str) -> None:
    if name.endswith(".parquet"):  # its strings are UTF-8, which has no lone surrogates
        cache = _without_surrogates(cache, tmp_path)
    files.write(tmp_path / name, contents(cache))
    other = memory()
    report = copy_into(other, files.read(tmp_path / name))
    assert everything(other) == everything(cache)
    assert (report.namespaces, report.conflicts) == (2, 0)
    there = {info.identity: info.usage for info in other.namespaces()}
    assert there == {info.identity: info.usage for info in cache.namespaces()}


def _without_surrogates(cache: LmdbCache, tmp_path: Path) -> LmdbCache:
    plain = lmdb_cache(tmp_path / "plain")
    rows = ROWS[:-1]
    plain.put(PAIR, rows, scored(rows), Usage(requests=1))
    plain.put(TEXT, TEXTS, cache.get(TEXT, TEXTS))
    return plain


def test_a_parquet_file_opens_in_pandas_with_a_list_of_scores_a_key(
    cache: LmdbCache, tmp_path: Path
) -> None:
    file = tmp_path / "scores.parquet"
    files.write(file, contents(_without_surrogates(cache, tmp_path), [PAIR.namespace]))
    table = pq.read_table(file).to_pylist()
    assert [len(record["keys"]) for record in table] == [10] * 30
    assert [len(record["scores"]) for record in table] == [10] * 30


def test_a_word_that_parquet_cannot_hold_is_an_error_that_names_the_other_form(
    cache: LmdbCache, tmp_path: Path
) -> None:
    with pytest.raises(CacheError, match="jsonl"):
        files.write(tmp_path / "scores.parquet", contents(cache))
    assert list(tmp_path.glob("*scores*")) == []


def test_what_is_here_stays_when_scores_differ_and_the_conflict_is_told(cache: LmdbCache) -> None:
    other = memory()
    changed = scored(ROWS)
    changed[0] = 1 - changed[0]
    other.put(PAIR, ROWS, changed)
    before = everything(cache)
    report = copy_into(cache, contents(other))
    assert everything(cache) == before
    assert report.conflicts == int((changed[0] != scored(ROWS)[0]).sum()) > 0
    assert "'w0' to " in report.examples[0]


def test_replace_takes_the_newcomers_scores(cache: LmdbCache) -> None:
    other = memory()
    other.put(PAIR, ROWS, [1 - scores for scores in scored(ROWS)])
    copy_into(cache, contents(other), replace=True)
    got = cache.get(PAIR, ROWS)
    assert all(np.array_equal(a, 1 - b) for a, b in zip(got, scored(ROWS), strict=True))


def test_merging_the_same_scores_twice_counts_their_cost_once(cache: LmdbCache) -> None:
    other = memory()
    copy_into(other, contents(cache))
    copy_into(other, contents(cache))
    assert {info.identity: info.usage.cost for info in other.namespaces()}[PAIR] == 0.25


def _lines(file: Path) -> list[Any]:
    """What another program would have written: no digest is announced, and there is none."""
    lines = [json.loads(line) for line in file.read_text().splitlines()[:-1]]
    del lines[0]["digest"]
    return lines


def _score_of(value: Any) -> Callable[[list[Any]], None]:
    def change(lines: list[Any]) -> None:
        lines[2]["scores"][0][0] = value

    return change


def _set(line: int, name: str, value: Any) -> Callable[[list[Any]], None]:
    def change(lines: list[Any]) -> None:
        lines[line][name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set(0, "format", "other"),
        _set(0, "version", 2),
        _set(1, "namespace", "0" * 32),
        _set(1, "identity", {"provider": "x"}),
        _set(1, "usage", {"cost": -1}),
        _set(1, "usage", {"__class__": "os.system"}),
        _set(2, "query", 3),
        _set(2, "query", ""),
        _set(2, "keys", ["only one"]),
        _set(2, "keys", []),
        _set(2, "context", ["not", "the", "keys"]),
        _set(2, "scores", [["high"]]),
        _set(2, "scores", [[0.5], [0.5]]),
        _score_of(1.5),
        _score_of(-0.1),
        _score_of("NaN"),
        lambda lines: lines.insert(3, ["a list"]),
        lambda lines: lines.insert(1, lines[2]),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(
    cache: LmdbCache, tmp_path: Path, change: Callable[[list[Any]], None]
) -> None:
    file = tmp_path / "scores.jsonl"
    files.write(file, contents(cache, [PAIR.namespace]))
    lines = _lines(file)
    change(lines)
    file.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(CacheError, match=r"scores\.jsonl, line \d+|These are not scores|shape"):
        copy_into(memory(), files.read(file))


@pytest.mark.parametrize("name", ["scores.jsonl", "scores.parquet"])
def test_a_file_of_noise_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)) * 10)
    with pytest.raises(CacheError, match="scores"):
        copy_into(memory(), files.read(tmp_path / name))


def test_an_export_that_fails_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text("precious")
    with pytest.raises(CacheError):
        files.write(file / "below", contents(memory()))
    assert file.read_text() == "precious"


def test_a_name_without_a_known_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"\.parquet or \.jsonl"):
        files.write(tmp_path / "scores.csv", contents(memory()))


def test_parquet_is_read_in_one_pass_however_many_namespaces_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, row = memory(), Row("cat", ("the",))
    for number in range(50):
        scores = [np.full((1, 1), number / 64, np.float32)]
        many.put(Identity(f"p{number}", 1, Scope.PAIR, ("c",)), [row], scores, Usage(1, cost=0.5))
    files.write(tmp_path / "many.parquet", contents(many))
    passes: list[int] = []
    scan = pq.ParquetFile.iter_batches

    def counted(*arguments: Any, **more: Any) -> Any:
        passes.append(1)
        return scan(*arguments, **more)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    other = memory()
    copy_into(other, files.read(tmp_path / "many.parquet"))
    groups = pq.ParquetFile(tmp_path / "many.parquet").num_row_groups
    assert len(passes) == groups
    assert everything(other) == everything(many)
    assert sum(info.usage.cost for info in other.namespaces()) == 25
