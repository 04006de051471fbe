"""Servers that fail while ``score`` asks them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from faults.runs import finish, repeated, score, wait, write_text
from faults.table import Outcome
from llmattn.testing.faults import FaultPlan
from llmattn.testing.server import ScoreServer

__all__ = ["deaths", "refusals"]


def deaths(folder: Path, tries: int) -> Iterator[Outcome]:
    """The server dies and returns, now while the run still tries, now after it has given up."""
    write_text(folder)
    draw = random.Random(3)
    tried = lost = again = caches = 0
    while tried < tries:
        caches += 1
        server = ScoreServer(latency=0.05)
        server.__enter__()
        port = urlsplit(server.url).port or 0
        run = score(folder, server, cache=f"cache{caches}")
        while tried < tries and wait(server, len(server.log.requests) + draw.randint(5, 25), run):
            server.__exit__(None, None, None)
            tried += 1
            time.sleep(draw.random() * 2)
            heir = ScoreServer(latency=0.05, port=port)
            heir.log, server.log.in_flight = server.log, 0
            heir.__enter__()
            server = heir
        _, told = run.communicate(timeout=120)
        assert run.returncode in (0, 1, 4), told
        assert "Traceback" not in told, told
        lost += finish(folder, server, f"cache{caches}")
        again += repeated(server)
        server.__exit__(None, None, None)
    yield Outcome("`score`: the server dies, and returns", tried, lost, again)


def refusals(folder: Path, tries: int) -> Iterator[Outcome]:
    """Of all requests a part fails."""
    write_text(folder)
    kinds = {"loading": "503", "server_error": "500", "rate_limit": "429", "reset": "a reset"}
    for fault, name in kinds.items():
        with ScoreServer(faults=FaultPlan({fault: min(0.4, tries / 100)})) as server:
            lost = finish(folder, server, fault)
            tried = server.log.faults[fault]
            words = f"`score`: {name}{' connection' * (fault == 'reset')} in place of an answer"
            yield Outcome(words, tried, lost, repeated(server))
