"""What the faults share: a text, ``score`` as a process, and what was lost and repeated of it."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

from llmattn.testing.api import digit
from llmattn.testing.server import ScoreServer
from support_cli import run_cli, start_process

__all__ = ["AT_ONCE", "OPTIONS", "PAIRS", "finish", "repeated", "score", "wait", "write_text"]

AT_ONCE = 4
PAIRS = 20
"""Pairs of a request, at most."""
OPTIONS = (
    *("--provider", "custom", "--model", "test-model"),
    *("-o", f"requests_at_once={AT_ONCE}", "-o", f"pairs_per_request={PAIRS}"),
)


def write_text(folder: Path, lines: int = 60) -> None:
    """A text whose pairs take some 110 requests."""
    draw = random.Random(1)
    words = [f"w{i}" for i in range(60)]
    text = "\n".join(" ".join(draw.choices(words, k=9)) for _ in range(lines))
    (folder / "corpus.txt").write_text(f"{text}\n")


def score(
    folder: Path, server: ScoreServer, *more: object, cache: str = "cache"
) -> subprocess.Popen[str]:
    """``llmattn score`` of the text, just started."""
    return start_process(
        folder,
        *("score", "corpus.txt", *OPTIONS, "--cache-dir", cache, *more),
        CUSTOM_BASE_URL=server.url,
    )


def wait(server: ScoreServer, requests: int, run: subprocess.Popen[str]) -> bool:
    """Until the server has had so many requests; False if the run has ended before."""
    while len(server.log.requests) < requests:
        if run.poll() is not None:
            return False
        time.sleep(0.002)
    return True


def finish(folder: Path, server: ScoreServer, cache: str = "cache") -> int:
    """Run the same command to its end; gives how many pairs are missing or wrong in the cache that
    it then should hold, or in what the server has answered.
    """
    run = score(folder, server, cache=cache)
    _, told = run.communicate(timeout=120)
    assert run.returncode == 0, told
    asked = len(server.log.requests)
    again = score(folder, server, cache=cache)
    out, told = again.communicate(timeout=120)
    assert ", 0 scored now" in out, out + told
    assert len(server.log.requests) == asked
    stored = _stored(folder, cache)
    wrong = [pair for pair, found in stored.items() if abs(found - _right(*pair)) > 1e-3]
    return len(wrong) + len(server.log.answered.keys() - stored.keys())


def repeated(server: ScoreServer) -> int:
    """How many pairs the server has answered once more than was needed."""
    return sum(count - 1 for count in server.log.answered.values())


def _right(query: str, key: str) -> float:
    return digit(query, key, "relevance") / 9


def _stored(folder: Path, cache: str) -> dict[tuple[str, str], float]:
    """Every pair of the cache with its score."""
    path = folder / f"{cache.replace('/', '-')}.jsonl"
    path.unlink(missing_ok=True)
    done = run_cli(folder, "cache", "export", path, "--cache-dir", cache)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if "query" in record:
            (scores,) = record["scores"]
            found.update(
                {(record["query"], k): s for k, s in zip(record["keys"], scores, strict=True)}
            )
    return found
