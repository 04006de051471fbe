"""Several processes on one cache: how many requests they send together, beside what one needs."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from attrs import frozen
from faults.table import Outcome
from llmattn.testing.server import ScoreServer
from support_cli import LLMATTN, run_cli, start_process

__all__ = ["SCORE", "TRAIN", "Counted", "count", "write_text"]

SCORE = ("score", "corpus.txt")
TRAIN = (
    *("train", "--corpus", "corpus.txt", "--steps", "1", "--n-layer", "1", "--n-embd", "16"),
    *("--block-size", "16", "--batch-size", "4"),
)
_PROVIDER = ("--provider", "custom", "--model", "test-model")
_ROWS = ("-o", "custom.pairs_per_request=20", "-o", "custom.requests_at_once=4")


@frozen
class Counted:
    """What a server was asked: by one process alone, and by several together."""

    needed: int
    sent: int
    repeated: int
    """Pairs (in context: of a text and a word) that were answered more than once."""
    codes: tuple[int, ...]
    errors: str
    """What the processes said on stderr."""

    @property
    def over(self) -> float:
        """The share of requests that were sent beside those that one process needs."""
        return self.sent / self.needed - 1


def write_text(path: Path, lines: int = 120, words: int = 120) -> None:
    """A text whose pairs take some 200 requests."""
    draw = random.Random(1)
    known = [f"w{i}" for i in range(words)]
    path.write_text("\n".join(" ".join(draw.choices(known, k=9)) for _ in range(lines)) + "\n")


def count(
    folder: Path,
    commands: Sequence[Sequence[str]],
    *options: str,
    kill_after: int | None = None,
    apart: float = 0.0,
    latency: float = 0.05,
    forget: Callable[[], None] = lambda: None,
    program: Sequence[str] = LLMATTN,
) -> Counted:
    """Run the first command alone, then all of them at once on a cache of their own.

    ``kill_after``: SIGKILL for the first one after so many requests. ``apart``: seconds between
    two starts. ``options`` are for all. ``forget`` empties what the lone run has filled, where
    that is no folder: each process then has one of its own.
    """
    write_text(folder / "corpus.txt")
    with ScoreServer(latency=latency) as server:
        alone = [*_arguments(commands[0], "alone", 0, options)]
        done = run_cli(folder, *alone, CUSTOM_BASE_URL=server.url)
        assert done.returncode == 0, done.stderr
        needed = len(server.log.requests)
        server.reset()
        forget()
        runs = _start(folder, server, commands, "together", options, program, apart)
        if kill_after is not None:
            _wait_for(server, kill_after)
            runs[0].send_signal(signal.SIGKILL)
        said = [run.communicate(timeout=120)[1] for run in runs]
        sent = len(server.log.requests)
        repeated = sum(n > 1 for n in server.log.answered.values())
    codes = tuple(run.returncode for run in runs)
    return Counted(needed, sent, repeated, codes, "\n".join(said))


def sharing(folder: Path, tries: int) -> Iterator[Outcome]:
    """Several commands at once on one cache; one of them is killed."""
    kinds: dict[str, Callable[[Path], Counted]] = {
        "four `score` at once": lambda place: count(place, [SCORE] * 4),
        "four `score` at once, one killed": lambda place: count(place, [SCORE] * 4, kill_after=60),
        "four `score` in context, one killed": lambda place: count(
            place, [SCORE] * 4, "--scope", "prefix", "--block-size", "16", kill_after=60
        ),
        "`score` beside `train`": lambda place: count(place, [SCORE, TRAIN]),
    }
    for name, met in kinds.items():
        needed = sent = 0
        times = max(1, tries // 5)
        for number in range(times):
            place = folder / f"{name.replace('`', '')} {number}"
            place.mkdir()
            counted = met(place)
            needed, sent = needed + counted.needed, sent + counted.sent
        note = f"{sent:,} requests where {needed:,} are needed"
        yield Outcome(name, times, 0, max(0, sent - needed), unit="requests", note=note)


def _start(
    folder: Path,
    server: ScoreServer,
    commands: Sequence[Sequence[str]],
    name: str,
    options: Sequence[str],
    program: Sequence[str],
    apart: float,
) -> list[subprocess.Popen[str]]:
    runs = []
    for number, command in enumerate(commands):
        arguments = _arguments(command, name, number, options)
        runs.append(
            start_process(
                folder,
                *arguments,
                program=program,
                stdout=subprocess.DEVNULL,
                CUSTOM_BASE_URL=server.url,
            )
        )
        time.sleep(apart)
    return runs


def _arguments(
    command: Sequence[str], name: str, number: int, options: Sequence[str]
) -> tuple[str, ...]:
    out = ("--out", f"{name}{number}.pt") if command[0] == "train" else ()
    own = f"{name}{number}" if "--cache" in options else name
    return (*command, *_PROVIDER, *_ROWS, *options, "--cache-dir", own, *out)


def _wait_for(server: ScoreServer, requests: int) -> None:
    deadline = time.monotonic() + 120
    while len(server.log.requests) < requests:
        assert time.monotonic() < deadline, "too few requests were sent"
        time.sleep(0.005)
