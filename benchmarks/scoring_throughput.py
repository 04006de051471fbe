"""Requests a second and CPU a request, beside the ideal and beside a bare httpx2 loop.

    python benchmarks/scoring_throughput.py [--requests 2560] [--at-once 64] [--latency 0.05]

A server in a process of its own answers each request after a fixed latency. Both sides send the
same prompts and take turns in this process; llmattn's side packs, checks and commits every reply
to LMDB on disk as well. The best turn of each side is shown beside its median: on a machine that
does other work, it is the one that others disturbed least.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
from llmattn.providers.chat import ChatProvider
from llmattn.rows import Row
from llmattn.scoring.opening import open_source
from llmattn.scoring.options import ScoreChoice, ScoringOptions


def rows_of(turn: int, count: int) -> list[Row]:
    """``count`` rows of 16 keys, other ones each turn, so that no cache answers."""
    return [Row(f"query{turn}x{n}", [f"key{k}" for k in range(16)]) for n in range(count)]


def ours(
    url: str, rows: Sequence[Row], at_once: int, cache: str, folder: Path
) -> tuple[float, float]:
    """Wall and CPU seconds of filling a cache, one row a request."""
    options = {"base_url": url, "model": "test-model", "rows_per_request": "1"}
    scoring = ScoringOptions(quiet=True, requests_at_once=at_once)
    choice = ScoreChoice(options=options, cache=cache, cache_dir=folder, scoring=scoring)
    with open_source("custom", choice) as source:
        source.fill([Row("warm", ["up"])])  # connections, imports
        wall, cpu = time.perf_counter(), time.process_time()
        report = source.fill(rows)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert report.left == 0
    return wall, cpu


async def _bare(url: str, bodies: Sequence[object], at_once: int) -> tuple[float, float]:
    waiting = iter(bodies)
    limits = httpx2.Limits(max_connections=at_once)
    async with httpx2.AsyncClient(limits=limits, timeout=30) as client:

        async def work() -> None:
            for body in waiting:
                reply = await client.post(f"{url}/chat/completions", json=body)
                reply.json()

        await client.get(f"{url}/models")
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(at_once)))
        return time.perf_counter() - wall, time.process_time() - cpu


def bare(url: str, rows: Sequence[Row], at_once: int) -> tuple[float, float]:
    """Wall and CPU seconds of sending the same prompts with nothing around them."""
    options = {"base_url": url, "model": "test-model"}
    with open_source("custom", ScoreChoice(options=options, cache="memory")) as source:
        assert isinstance(source.provider, ChatProvider)
        prompts = [source.provider.prompt([row]) for row in rows]
    bodies = [
        {
            "model": "test-model",
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            "max_tokens": prompt.max_output_tokens,
        }
        for prompt in prompts
    ]
    return asyncio.run(_bare(url, bodies, at_once))


def main() -> None:
    """Print both sides' medians over the turns, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2560)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    command = [sys.executable, "-m", "llmattn.testing.server", "--latency", str(given.latency)]
    caches = {"llmattn": "lmdb", "llmattn, memory": "memory"}
    sides: dict[str, list[tuple[float, float]]] = {
        name: [] for name in ("bare httpx2 loop", *caches)
    }
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for turn in range(given.turns):
            rows = rows_of(turn, given.requests)
            sides["bare httpx2 loop"].append(bare(url, rows, given.at_once))
            for name, cache in caches.items():
                sides[name].append(ours(url, rows, given.at_once, cache, Path(folder)))
        server.terminate()
    ideal = given.at_once / given.latency
    print(f"{given.requests:,} requests, {given.at_once} at once, latency {given.latency:g} s\n")
    print(f"{'':20}{'requests/s':>12}{'of ideal':>10}{'best':>8}{'CPU ms a request':>18}")
    print(f"{'ideal':20}{ideal:12,.0f}{1:10.0%}")
    cpu = {}
    for name, turns in sides.items():
        rate = given.requests / statistics.median(wall for wall, _ in turns)
        best = given.requests / min(wall for wall, _ in turns) / ideal
        cpu[name] = 1000 * statistics.median(used for _, used in turns) / given.requests
        print(f"{name:20}{rate:12,.0f}{rate / ideal:10.1%}{best:8.1%}{cpu[name]:18.2f}")
    over = cpu["llmattn"] - cpu["bare httpx2 loop"]
    print(f"\nllmattn's CPU over the bare loop: {over:.2f} ms a request")


if __name__ == "__main__":
    main()
