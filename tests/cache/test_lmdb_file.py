"""Files that cannot or must not be used: a message that helps, never a crash."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest
from llmattn.cache.lmdb.layout import seal
from llmattn.errors import CacheError
from support_cache import PAIR, lmdb_cache, many_rows, scored, verify
from support_cli import run_process, start_process

ROWS = many_rows(400, 30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache with 400 rows of 30 pairs."""
    folder = tmp_path / "cache"
    cache = lmdb_cache(folder)
    cache.put(PAIR, ROWS, scored(ROWS))
    cache.close()
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(CacheError) as caught:
        lmdb_cache(folder)
    return str(caught.value)


def test_file_and_folder_are_the_users_alone(folder: Path) -> None:
    assert (folder.stat().st_mode & 0o777) == 0o700
    assert ((folder / "scores.mdb").stat().st_mode & 0o777) == 0o600
    assert ((folder / "scores.mdb-lock").stat().st_mode & 0o777) == 0o600


def test_a_file_cut_short_is_refused_with_its_path_and_a_way_out(folder: Path) -> None:
    file = folder / "scores.mdb"
    os.truncate(file, file.stat().st_size // 2)
    message = refusal(folder)
    assert str(file) in message
    assert "cache verify --drop" in message


@pytest.mark.parametrize("size", [1, 100, 4096, 5000])
def test_a_stump_of_a_file_is_refused(folder: Path, size: int) -> None:
    os.truncate(folder / "scores.mdb", size)
    assert "damaged" in refusal(folder)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scores.mdb").write_bytes(b"not a database at all" * 1000)
    assert "not a score cache" in refusal(tmp_path)


def test_another_programs_lmdb_file_is_refused(tmp_path: Path) -> None:
    env = lmdb.open(str(tmp_path / "scores.mdb"), subdir=False, lib_version=0)
    with env, env.begin(write=True) as txn:
        txn.put(b"theirs", b"value")
    assert "another program's" in refusal(tmp_path)


def test_a_file_of_lmdb_1_is_refused(tmp_path: Path) -> None:
    lmdb.open(str(tmp_path / "scores.mdb"), subdir=False, lib_version=1).close()
    assert "LMDB 1.0" in refusal(tmp_path)


@pytest.mark.parametrize("layout", [b"2", seal(b"layout", b"4"), seal(b"layout", b"\xff")])
def test_another_layout_is_refused_with_a_way_out(folder: Path, layout: bytes) -> None:
    with lmdb.open(str(folder / "scores.mdb"), subdir=False, max_dbs=8) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(b"layout", layout, db=meta)
    assert "move the file away, upgrade llmattn-core" in refusal(folder)


def test_a_link_in_place_of_the_file_is_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "scores.mdb").symlink_to(folder / "scores.mdb")
    assert "is a link to" in refusal(elsewhere)


def test_a_folder_that_is_a_link_is_announced(
    folder: Path, tmp_path: Path, told: Callable[[], str]
) -> None:
    (tmp_path / "link").symlink_to(folder)
    lmdb_cache(tmp_path / "link").close()
    assert "is a link to" in told()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_announced(folder: Path, told: Callable[[], str]) -> None:
    os.chown(folder / "scores.mdb", 12345, 12345)
    lmdb_cache(folder).close()
    assert "belongs to another user" in told()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "LLMATTN_CACHE_DIR" in refusal(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="starts a process of another user")
def test_a_folder_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    code = (  # everything is imported first: another user may not be able to read the checkout
        "import os, sys\n"
        "sys.path[:0] = eval(sys.argv[1])\n"
        "from pathlib import Path\n"
        "from support_cache import lmdb_cache\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "lmdb_cache(Path('/etc'))"
    )
    done = run_process(tmp_path, repr(sys.path), program=("-c", code))
    assert "is not writable; name another folder with --cache-dir" in done.stderr


def zero_page(data: bytearray) -> None:
    data[8 * 4096 : 9 * 4096] = bytes(4096)


def flip_in_some_scores(data: bytearray) -> None:
    leaves = [p for p in range(2, len(data) // 4096) if data[p * 4096 + 10] == 2]
    for page in leaves[len(leaves) // 2 :: 4]:
        data[page * 4096 + 4000] ^= 0x10


def flip_in_a_page_head(data: bytearray) -> None:
    page = max(p for p in range(2, len(data) // 4096) if data[p * 4096 + 10] == 2)
    data[page * 4096 + 13] ^= 0x40


@pytest.mark.parametrize("damage", [zero_page, flip_in_some_scores, flip_in_a_page_head])
def test_damage_is_found_and_the_good_rows_are_saved(
    folder: Path, damage: Callable[[bytearray], None]
) -> None:
    file = folder / "scores.mdb"
    data = bytearray(file.read_bytes())
    damage(data)
    file.write_bytes(data)
    report = verify(folder)
    assert report.problems
    assert report.kept_copy is None
    report = verify(folder, drop=True)
    assert report.kept_copy is not None
    assert report.kept_copy.read_bytes() == data
    assert verify(folder).problems == []
    cache = lmdb_cache(folder)
    kept = 0
    for got, was in zip(cache.get(PAIR, ROWS), scored(ROWS), strict=True):
        known = ~np.isnan(got)
        assert np.array_equal(got[known], was[known])
        kept += int(known.sum())
    assert kept > 0.5 * 400 * 30
    cache.put(PAIR, ROWS, scored(ROWS))
    assert not any(np.isnan(got).any() for got in cache.get(PAIR, ROWS))
    cache.close()


def test_pages_are_looked_at_while_another_process_writes(folder: Path) -> None:
    code = (
        "import sys; sys.path[:0] = eval(sys.argv[1])\n"
        "from pathlib import Path\n"
        "from support_cache import PAIR, lmdb_cache, many_rows, scored\n"
        "cache = lmdb_cache(Path(sys.argv[2]), sync=False); rows = many_rows(6000, 5)\n"
        "for seed in range(10**6):\n"
        "    part = rows[seed * 997 % 5000 :][:200]\n"
        "    cache.put(PAIR, part, scored(part, seed=seed))\n"
        "    print(seed, flush=True)\n"
    )
    cache = lmdb_cache(folder)
    many = many_rows(6000, 5)
    cache.put(PAIR, many, scored(many))
    cache.close()
    done = start_process(folder, repr(sys.path), str(folder), program=("-c", code))
    assert done.stdout is not None
    try:
        for _ in range(8):
            done.stdout.readline()
            cache = lmdb_cache(folder)
            assert len(cache.get(PAIR, ROWS[:3])) == 3
            cache.close()
    finally:
        done.kill()
        done.communicate()


def test_a_whole_file_is_all_well(folder: Path) -> None:
    report = verify(folder)
    assert report.problems == []
    assert report.records > 400


def test_damage_of_any_kind_never_ends_the_interpreter(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:0] = eval(sys.argv[1])\n"
        "import random, numpy as np\n"
        "from pathlib import Path\n"
        "from llmattn.errors import CacheError\n"
        "from support_cache import PAIR, lmdb_cache, many_rows, scored\n"
        "rows = many_rows(400, 30); refused = 0\n"
        "whole = Path(sys.argv[2]).read_bytes()\n"
        "for seed in range(60):\n"
        "    rng = random.Random(seed); data = bytearray(whole)\n"
        "    page = rng.randrange(2, len(data) // 4096) * 4096\n"
        "    if seed % 2:\n"
        "        data[page : page + 4096] = bytes(4096)\n"
        "    else:\n"
        "        data[page + rng.randrange(64)] ^= 1 << rng.randrange(8)\n"
        "    folder = Path(sys.argv[3]) / str(seed); folder.mkdir()\n"
        "    (folder / 'scores.mdb').write_bytes(data)\n"
        "    try:\n"
        "        cache = lmdb_cache(folder)\n"
        "        cache.get(PAIR, rows); list(cache.scan(PAIR.namespace)); cache.namespaces()\n"
        "        cache.put(PAIR, rows, scored(rows, seed=1))\n"
        "        cache.close()\n"
        "    except CacheError:\n"
        "        refused += 1\n"
        "print(refused)"
    )
    arguments = [repr(sys.path), str(folder / "scores.mdb"), str(tmp_path)]
    done = run_process(tmp_path, *arguments, program=("-c", code))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
