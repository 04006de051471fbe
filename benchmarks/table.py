"""What reading the score table costs a pair, for each kind of table, beside the memory's floor.

    python benchmarks/table.py [--words 6152 32768] [--pairs 2000000] [--rounds 15]

A read: the scores of 16 windows of 256 words whose frequencies fall as 1 / rank. The floor is one
copy of as many float16 numbers. The kinds take turns; the figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np
import torch
from llmattn.feeds.table import KnownPairs, ScoreTable, TableKind
from llmattn.training.heap import keep_heap

WINDOWS, LENGTH = 16, 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, nargs="+", default=[6152, 32768])
    parser.add_argument("--pairs", type=int, default=2_000_000, help="known ones, drawn")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time, for a busy machine"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_heap()  # as training does
    clock = time.process_time if options.cpu_time else time.perf_counter
    print(f"{'words':>7}  {'table':<8} {'MB':>7} {'ns a pair':>9} {'floors':>7}")
    for size in options.words:
        known = some_pairs(size, options.pairs)
        random = np.random.default_rng(1)
        texts = [torch.from_numpy(zipf(size, (WINDOWS, LENGTH), random)) for _ in range(4)]
        tables = {
            kind: ScoreTable(known, vocab_size=size, channels=["c"], absent=[None], kind=kind)
            for kind in get_args(TableKind)
        }
        source = torch.zeros(WINDOWS * LENGTH**2, dtype=torch.float16)
        target = torch.zeros_like(source)
        sides: dict[str, Callable[[torch.Tensor], object]] = {
            "floor": partial(copy, source, target),
            **{kind: table.gather for kind, table in tables.items()},
        }
        times: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(options.rounds + 1):
            for name, side in sides.items():
                begun = clock()
                side(texts[turn % len(texts)])
                if turn:
                    times[name].append(clock() - begun)
        floor = statistics.median(times["floor"])
        for name, taken in times.items():
            middle = statistics.median(taken)
            bytes_each = {"float16": 2, "uint8": 1}.get(name, 0)
            held = 10 * len(known.query_ids) if name == "sparse" else bytes_each * size**2
            print(
                f"{size:>7,}  {name:<8} {held / 1e6:>7,.0f} "
                f"{1e9 * middle / source.numel():>9.2f} {middle / floor:>7.1f}"
            )


def copy(source: torch.Tensor, target: torch.Tensor, _: torch.Tensor) -> None:
    """What any read must do at least."""
    target.copy_(source)


def zipf(size: int, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Words whose frequencies fall as 1 / rank."""
    shares = 1 / np.arange(1, size + 1)
    return random.choice(size, size=shape, p=shares / shares.sum())


def some_pairs(size: int, count: int) -> KnownPairs:
    """Pairs as they would meet in a text, each with a score drawn at random."""
    random = np.random.default_rng(0)
    codes = np.unique(zipf(size, (count,), random) * size + zipf(size, (count,), random))
    query, key = np.divmod(codes, size)
    return KnownPairs.of(query, key, random.random((1, len(codes))).astype(np.float16))


if __name__ == "__main__":
    main()
