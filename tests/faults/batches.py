"""Batches in the hands of several processes, and other commands beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from faults.table import Outcome
from llmattn.testing.server import ScoreServer
from support_batches import CORPUS, command, setup
from support_cli import start_process

__all__ = ["batches"]

_BATCH = ("score", "corpus.txt", "--batch")


def batches(folder: Path, tries: int) -> Iterator[Outcome]:
    """A batch is handed over, met by ``score``, and collected by two commands at once."""
    beside = collected = lost = paid_twice = 0
    for number in range(max(1, tries // 3)):
        place = folder / str(number)
        place.mkdir()
        (place / "corpus.txt").write_text(CORPUS)
        with ScoreServer(batch_polls=4) as server:
            command(place, server, *_BATCH)
            asked = len(server.log.requests)
            scored = command(place, server, "score", "corpus.txt")
            assert scored.returncode == 0, scored.stderr
            beside += len(server.log.requests) - asked
            for _ in range(3):
                runs = [start_process(place, *_BATCH, **setup(server)) for _ in range(2)]
                for run in runs:
                    _, told = run.communicate(timeout=120)
                    assert run.returncode == 0, told
            last = command(place, server, "score", "corpus.txt")
            lost += ", 0 scored now" not in last.stdout or "with a batch" in last.stdout
            paid_twice += sum(count - 1 for count in server.log.answered.values())
            collected += 1
    yield Outcome("`score` beside a batch under way", collected, 0, beside, unit="requests")
    yield Outcome("two that collect a batch at once", collected, lost, paid_twice)
