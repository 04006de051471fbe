"""Exports say whether they are whole: each flipped bit and cut is found before a score is taken."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from llmattn.cache.exchange import files
from llmattn.cache.exchange.transfer import contents, copy_into
from llmattn.cache.memory import MemoryCache
from llmattn.cache.settings import MemorySettings
from llmattn.errors import CacheError
from llmattn.rows import prefix_rows
from llmattn.usage import Usage
from support_cache import PAIR, TEXT, many_rows, scored

ROWS = many_rows(30, 10)
TEXTS = prefix_rows(["to", "be", "or", "not", "to", "be"])
NAMES = ["scores.jsonl", "scores.parquet"]


def memory() -> MemoryCache:
    return MemoryCache(MemorySettings())


def exported(folder: Path, name: str) -> Path:
    cache = memory()
    cache.put(PAIR, ROWS, scored(ROWS), Usage(requests=3, cost=0.25))
    cache.put(TEXT, TEXTS, scored(TEXTS, TEXT))
    files.write(folder / name, contents(cache))
    return folder / name


@pytest.mark.parametrize("name", NAMES)
def test_each_of_300_flipped_bits_is_found_and_nothing_is_taken(tmp_path: Path, name: str) -> None:
    file = exported(tmp_path, name)
    whole = file.read_bytes()
    draw = random.Random(1)
    for _ in range(300):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        file.write_bytes(data)
        other = memory()
        with pytest.raises(CacheError):
            copy_into(other, files.read(file))
        assert other.namespaces() == []


def test_lines_cut_at_the_end_of_any_of_them_are_found(tmp_path: Path) -> None:
    file = exported(tmp_path, "scores.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    for kept in range(len(lines)):
        file.write_bytes(b"".join(lines[:kept]))
        other = memory()
        with pytest.raises(CacheError):
            copy_into(other, files.read(file))
        assert other.namespaces() == []


def test_the_last_line_counts_what_is_in_the_file(tmp_path: Path) -> None:
    last = exported(tmp_path, "scores.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["end"] == {"namespaces": 2, "rows": 36, "pairs": 321}


def test_a_file_of_another_program_is_taken_with_one_line_that_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = exported(tmp_path, "scores.jsonl")
    head, *rows, _ = file.read_text().splitlines()
    about = {name: value for name, value in json.loads(head).items() if name != "digest"}
    file.write_text("\n".join([json.dumps(about), *rows]) + "\n")
    assert copy_into(memory(), files.read(file)).added == 321
    assert caplog.text.count("has no digest") == 1


def test_a_parquet_file_of_another_program_is_taken_with_one_line_that_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = exported(tmp_path, "scores.parquet")
    table = pq.read_table(file)
    head = json.loads(table.schema.metadata[b"llmattn"])
    del head["digest"]
    table = table.replace_schema_metadata({b"llmattn": json.dumps(head).encode()})
    pq.write_table(table, file)
    assert copy_into(memory(), files.read(file)).added == 321
    assert caplog.text.count("has no digest") == 1


def test_damage_in_the_pages_of_a_parquet_file_without_digest_is_found_by_their_checksums(
    tmp_path: Path,
) -> None:
    file = exported(tmp_path, "scores.parquet")
    table = pq.read_table(file)
    head = json.loads(table.schema.metadata[b"llmattn"])
    del head["digest"]
    table = table.replace_schema_metadata({b"llmattn": json.dumps(head).encode()})
    pq.write_table(table, file, write_page_checksum=True, compression="none")
    data = bytearray(file.read_bytes())
    place = data.index(b"w29")
    data[place + 1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CacheError):
        copy_into(memory(), files.read(file))


def test_a_whole_export_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in NAMES:
        assert copy_into(memory(), files.read(exported(tmp_path, name))).added == 321
    assert caplog.text == ""
