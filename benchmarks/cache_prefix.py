"""The LMDB cache with rows of PREFIX scope and many channels, as a local model gives them.

    python benchmarks/cache_prefix.py CORPUS [--rows 20000] [--channels 30] [--block 64]

The corpus is cut into blocks; each token of a block is a row whose keys are the block so far.
Rows are put in requests of 512, each durable when put returns. Scores are random. Times are
the best of several runs, in seconds for 100 MB of scores (float16, two bytes each): that of the
clock, and that of the processor, which other programs and the disk do not change.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from llmattn.cache.lmdb.cache import LmdbCache
from llmattn.cache.settings import LmdbSettings
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, Scores, prefix_rows

REQUEST = 512
RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--channels", type=int, default=30)
    parser.add_argument("--block", type=int, default=64)
    options = parser.parse_args()
    tokens = re.findall(r"[\w']+|\s+|[^\w\s]", options.corpus.read_text())[: options.rows]
    blocks = [tokens[i : i + options.block] for i in range(0, len(tokens), options.block)]
    rows = list(dict.fromkeys(row for block in blocks for row in prefix_rows(block)))
    names = tuple(f"channel {n}" for n in range(options.channels))
    identity = Identity("benchmark", 1, Scope.PREFIX, names)
    payload = 2 * options.channels * sum(len(row.keys) for row in rows)
    rng = np.random.default_rng(0)
    scores = [rng.random((options.channels, len(row.keys)), dtype=np.float32) for row in rows]
    print(f"{len(rows):,} rows, {options.channels} channels: {payload / 1e6:.1f} MB of scores")
    folder = Path(tempfile.mkdtemp(prefix="llmattn-benchmark-"))
    try:
        run(folder, identity, rows, scores, payload)
    finally:
        shutil.rmtree(folder)


def run(
    folder: Path,
    identity: Identity,
    rows: list[Row],
    scores: list[Scores],
    payload: int,
) -> None:
    def put_all(cache: LmdbCache, step: int = REQUEST) -> None:
        for start in range(0, len(rows), step):
            cache.put(identity, rows[start : start + step], scores[start : start + step])

    def get_all() -> None:
        for start in range(0, len(rows), REQUEST):
            cache.get(identity, rows[start : start + REQUEST])

    caches = [LmdbCache(LmdbSettings(dir=folder / str(n))) for n in range(RUNS)]
    todo = iter(caches)
    put = best(lambda: put_all(next(todo)))
    cache = caches[0]
    for row, values, found in zip(rows, scores, cache.get(identity, rows), strict=True):
        np.testing.assert_array_equal(found, values.astype(np.float16), err_msg=row.query)
    fresh = folder / "raw"
    data = os.urandom(payload)
    times = {
        "put": put,
        "get": best(get_all),
        "scan": best(lambda: list(cache.scan(identity.namespace))),
        "put again (all known)": best(lambda: put_all(cache)),
        "writing and syncing as many bytes": best(lambda: write(fresh, data)),
    }
    print(f"{'':36}{'clock':>8}{'processor':>12}   (s for 100 MB)")
    for name, (clock, processor) in times.items():
        print(f"{name:36}{clock * 1e8 / payload:8.2f}{processor * 1e8 / payload:12.2f}")
    size = disk_bytes(cache.path)
    cache.compact()
    packed = disk_bytes(cache.path)
    print(f"bytes: {size / payload:.3f} of the scores, {packed / payload:.3f} compacted")
    single = LmdbCache(LmdbSettings(dir=folder / "single", sync=False))
    put_all(single, 1)
    size = disk_bytes(single.path)
    single.compact()
    packed = disk_bytes(single.path)
    print(f"put row by row: {size / payload:.3f}, {packed / payload:.3f} compacted")


def write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def best(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor; the least of several runs."""
    clocks, processors = [], []
    for _ in range(RUNS):
        start, spent = time.perf_counter(), time.process_time()
        work()
        clocks.append(time.perf_counter() - start)
        processors.append(time.process_time() - spent)
    return min(clocks), min(processors)


def disk_bytes(path: Path) -> int:
    return os.stat(path).st_blocks * 512


if __name__ == "__main__":
    main()
