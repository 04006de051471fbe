"""``score`` stopped by signals at random moments, and gone on with."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from faults.runs import finish, repeated, score, wait, write_text
from faults.table import Outcome
from llmattn.testing.server import ScoreServer

__all__ = ["stop_at_random", "stops"]

_NAMES = {
    signal.SIGKILL: "SIGKILL (`kill -9`, the power fails)",
    signal.SIGTERM: "SIGTERM (docker stop, systemd, a scheduler)",
    signal.SIGHUP: "SIGHUP (a closed terminal)",
    signal.SIGINT: "Ctrl-C",
}


def stops(folder: Path, tries: int) -> Iterator[Outcome]:
    """``score`` stopped by each signal."""
    for number, name in _NAMES.items():
        place = folder / number.name
        place.mkdir()
        yield stop_at_random(place, number, tries, f"`score`: {name}")


def stop_at_random(
    folder: Path, number: signal.Signals, tries: int, fault: str = "", seed: int = 2
) -> Outcome:
    """Stop ``score`` so often, each time after a few requests; a full cache begins a new one."""
    write_text(folder)
    draw = random.Random(seed)
    tried = lost = again = caches = 0
    while tried < tries:
        caches += 1
        with ScoreServer(latency=0.05) as server:
            while tried < tries:
                run = score(folder, server, cache=f"cache{caches}")
                if wait(server, len(server.log.requests) + draw.randint(1, 20), run):
                    time.sleep(draw.random() * 0.06)
                    run.send_signal(number)
                _, told = run.communicate(timeout=120)
                ours = number == signal.SIGKILL
                # All is scored; while Python takes itself apart, signals are the system's again.
                if run.returncode == 0 or (run.returncode == -number and not ours):
                    break
                tried += 1
                assert run.returncode == (-number if ours else 128 + number), told
                assert "Traceback" not in told, told
            lost += finish(folder, server, f"cache{caches}")
            again += repeated(server)
    return Outcome(fault, tried, lost, again)
