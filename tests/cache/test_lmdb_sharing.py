"""Many users of one file: threads, forks, spawned workers, processes that die, a full disk."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llmattn.cache.lmdb.cache import LmdbCache
from llmattn.errors import CacheError
from llmattn.rows import Row
from support_cache import PAIR, TEXT, CachedRows, lmdb_cache, many_rows, scored
from support_cli import run_process, start_process
from torch.utils.data import DataLoader

ROWS = many_rows(50, 20)


def known(cache: LmdbCache, rows: list[Row]) -> bool:
    return not any(np.isnan(scores).any() for scores in cache.get(PAIR, rows))


def test_a_forked_child_reads_and_writes_what_its_parent_sees(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path)
    cache.put(PAIR, ROWS[:25], scored(ROWS)[:25])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert known(cache, ROWS[:25])
            cache.put(PAIR, ROWS[25:], scored(ROWS)[25:])
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert known(cache, ROWS)
    cache.close()


def test_forking_while_threads_write_neither_blocks_nor_loses_anything(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path, sync=False)
    end = threading.Event()
    rounds = [0]

    def write() -> None:
        while not end.is_set():
            row = Row(f"q{rounds[0]}", ("k",))
            cache.put(PAIR, [row], scored([row]))
            rounds[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                cache.put(PAIR, ROWS, scored(ROWS))
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    end.set()
    thread.join()
    assert known(cache, [Row(f"q{n}", ("k",)) for n in range(rounds[0])])
    assert known(cache, ROWS)
    cache.close()


def test_a_spawned_worker_is_handed_the_cache(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path)
    cache.put(PAIR, ROWS, scored(ROWS))
    code = (
        "import sys, pickle; sys.path[:0] = eval(sys.argv[1])\n"
        "import numpy as np\n"
        "from support_cache import PAIR, many_rows\n"
        "cache = pickle.loads(bytes.fromhex(sys.argv[2]))\n"
        "print(any(np.isnan(s).any() for s in cache.get(PAIR, many_rows(50, 20))))\n"
    )
    arguments = (repr(sys.path), pickle.dumps(cache).hex())
    done = run_process(tmp_path, *arguments, program=("-c", code))
    assert done.stdout.strip() == "False", done.stderr
    cache.close()


@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_workers_of_a_data_loader_read_the_cache(tmp_path: Path, how: str) -> None:
    cache = lmdb_cache(tmp_path)
    cache.put(PAIR, ROWS, scored(ROWS))
    items: Any = CachedRows(cache, ROWS)
    loader: Any = DataLoader(items, batch_size=10, num_workers=1, multiprocessing_context=how)
    found = np.concatenate([batch.numpy() for batch in loader])
    np.testing.assert_array_equal(found, np.stack(scored(ROWS)))
    cache.close()


def test_two_caches_on_one_folder_in_one_process_see_each_other(tmp_path: Path) -> None:
    one, two = lmdb_cache(tmp_path), lmdb_cache(tmp_path / ".." / tmp_path.name)
    one.put(PAIR, ROWS, scored(ROWS))
    assert known(two, ROWS)
    one.close()
    assert known(two, ROWS)
    two.close()


def test_a_closed_cache_says_so(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path)
    cache.close()
    with pytest.raises(CacheError, match="was closed"):
        cache.get(PAIR, ROWS)


def test_a_full_map_grows_and_the_batch_is_not_lost(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path, map_size_gb=2**-13)
    rows = many_rows(2000, 40)
    cache.put(PAIR, rows, scored(rows))
    assert known(cache, rows)
    cache.close()


def test_readers_follow_when_another_process_has_grown_the_map(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path, map_size_gb=2**-13)
    cache.put(PAIR, ROWS, scored(ROWS))
    rows = many_rows(2000, 40)
    child = os.fork()
    if child == 0:
        cache.put(PAIR, rows, scored(rows))
        os._exit(0)
    os.waitpid(child, 0)
    assert known(cache, rows)
    more = many_rows(500, 40, "x")
    cache.put(PAIR, more, scored(more))
    assert known(cache, more)
    cache.close()


def test_compacting_loses_nothing_while_others_write(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path, sync=False)
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for n in range(300):
                    row = Row(f"{number} {n}", ("k",))
                    cache.put(PAIR, [row], scored([row]))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    for _ in range(10):
        cache.compact()
        time.sleep(0.01)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert known(cache, [Row(f"{c} {n}", ("k",)) for c in range(2) for n in range(300)])
    cache.close()


def test_compacting_gives_back_the_room_of_what_was_purged(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path)
    rows = many_rows(1000, 50)
    cache.put(PAIR, rows, scored(rows))
    cache.put(TEXT, [Row("a", ("a",))], scored([Row("a", ("a",))], TEXT))
    cache.purge(PAIR.namespace)
    before, after = cache.compact()
    assert after < before / 3
    assert [info.identity for info in cache.namespaces()] == [TEXT]
    cache.close()


def test_putting_the_same_scores_again_does_not_grow_the_file(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path)
    rows = many_rows(1000, 50)
    cache.put(PAIR, rows, scored(rows))
    size = cache.path.stat().st_size
    cache.put(PAIR, rows, scored(rows))
    assert cache.path.stat().st_size < 1.1 * size
    cache.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_an_error_that_harms_nothing_stored(small_disk: Path) -> None:
    cache = lmdb_cache(small_disk)
    stored: list[Row] = []

    def fill() -> None:
        for n in range(1000):
            rows = many_rows(100, 50, f"{n} ")
            cache.put(PAIR, rows, scored(rows))
            stored.extend(rows)

    with pytest.raises(CacheError, match=r"disk of .* is full"):
        fill()
    assert stored
    assert known(cache, stored)
    cache.close()
    cache = lmdb_cache(small_disk)
    assert known(cache, stored)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    rows = many_rows(100, 50, "after ")
    cache.put(PAIR, rows, scored(rows))
    assert known(cache, rows)
    cache.close()


WRITER = """
import sys; sys.path[:0] = eval(sys.argv[1])
from pathlib import Path
from llmattn.rows import Row
from support_cache import PAIR, lmdb_cache, scored
cache = lmdb_cache(Path(sys.argv[2]))
first = int(sys.argv[3])
for n in range(first, first + 100_000):
    row = Row(f"q{n}", tuple(f"k{(n * 7 + i) % 500}" for i in range(20)))
    cache.put(PAIR, [row], scored([row], seed=n))
    print(n, flush=True)
"""


def _kill_writers(folder: Path, times: int) -> None:
    rng = random.Random(0)
    done = -1
    for _ in range(times):
        arguments = (repr(sys.path), folder, done + 1)
        nothing = subprocess.DEVNULL
        writer = start_process(
            folder, *arguments, program=("-c", WRITER), stdin=nothing, stderr=nothing
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(rng.random() * 0.1)
        writer.send_signal(signal.SIGKILL)
        lines = [first, *writer.stdout.read().splitlines(keepends=True)]
        writer.wait()
        writer.stdout.close()
        done = int([line for line in lines if line.endswith("\n")][-1])
        cache = lmdb_cache(folder)
        rows = [
            Row(f"q{n}", tuple(f"k{(n * 7 + i) % 500}" for i in range(20))) for n in range(done + 1)
        ]
        for n, scores in enumerate(cache.get(PAIR, rows)):
            assert np.array_equal(scores, scored([rows[n]], seed=n)[0])
        cache.close()


def test_every_returned_put_survives_kill_9(tmp_path: Path) -> None:
    _kill_writers(tmp_path, 5)


@pytest.mark.long
def test_every_returned_put_survives_forty_kills(tmp_path: Path) -> None:
    _kill_writers(tmp_path, 40)


def _overlap(folder: Path, number: int, seconds: float, queue: multiprocessing.Queue[str]) -> None:
    """Write rows that others write too, every score a function of its pair, and read all."""
    rng = random.Random(number)
    cache = lmdb_cache(folder, sync=False)
    end = time.monotonic() + seconds
    trouble = ""
    while time.monotonic() < end and not trouble:
        queries = rng.sample(range(200), 5)
        rows = [
            Row(f"w{q}", tuple(f"w{k}" for k in sorted(rng.sample(range(200), 20))))
            for q in queries
        ]
        cache.put(PAIR, rows, [_true_scores(row) for row in rows])
        if not known(cache, rows):
            trouble = "a score that was put is missing"
        every = [Row(f"w{q}", tuple(f"w{k}" for k in range(200))) for q in queries]
        for row, scores in zip(every, cache.get(PAIR, every), strict=True):
            there = ~np.isnan(scores)
            if not np.array_equal(scores[there], _true_scores(row)[there]):
                trouble = "a torn row"
    cache.close()
    queue.put(trouble)


def _true_scores(row: Row) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    query = int(row.query[1:])
    keys = np.array([int(key[1:]) for key in row.keys])
    return ((query * 31 + keys * 17) % 1024 / 1024)[None].astype(np.float32)


def _run_together(folder: Path, processes: int, seconds: float) -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[str] = context.Queue()
    workers = [
        context.Process(target=_overlap, args=(folder, n, seconds, queue)) for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=seconds + 60) for _ in workers] == [""] * processes
    for worker in workers:
        worker.join()


def test_processes_that_write_the_same_rows_lose_and_tear_nothing(tmp_path: Path) -> None:
    _run_together(tmp_path, 4, 2.0)


@pytest.mark.long
def test_eight_processes_for_half_a_minute_lose_and_tear_nothing(tmp_path: Path) -> None:
    _run_together(tmp_path, 8, 30.0)
