"""A paid provider that nobody meant to ask: a key happens to be set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from faults.table import Outcome
from llmattn.testing.server import ScoreServer
from support_batches import CORPUS
from support_cli import run_cli, run_on_terminal

__all__ = ["accidents"]

_SCORE = ("score", "corpus.txt", "-o", "pairs_per_request=4")
_MOST = 2


def accidents(folder: Path, tries: int) -> Iterator[Outcome]:
    """Lost are the requests that were sent without a yes, or beyond the default limit."""
    (folder / "corpus.txt").write_text(CORPUS)
    without_yes = beyond = 0
    for _ in range(tries):
        with ScoreServer() as server:
            key = {"OPENAI_API_KEY": "sk-planted-accident", "OPENAI_BASE_URL": server.url}
            run_on_terminal(folder, *_SCORE, answer="", **key)
            without_yes += len(server.log.requests)
            limited = {**key, "LLM_MODEL": "test-model", "LLMATTN_MAX_REQUESTS": str(_MOST)}
            run_cli(folder, *_SCORE, **limited)
            beyond += max(0, len(server.log.requests) - _MOST)
    kind = "a paid provider met by accident"
    yield Outcome(kind, tries, without_yes, 0, "requests", "on a terminal, answered by Enter")
    yield Outcome(kind, tries, beyond, 0, "requests", "elsewhere, a limit in the environment")
