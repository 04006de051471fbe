"""What the tests of batches share: the provider `openai` with its batches on a scripted server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmattn.rows import Row
from llmattn.scoring.batch import Batches, Handed
from llmattn.scoring.batch_files import Pending
from llmattn.scoring.opening import open_source
from llmattn.scoring.options import ScoreChoice, ScoringOptions
from llmattn.scoring.source import ScoreSource
from llmattn.testing.server import ScoreServer
from llmattn.usage import Usage
from support_cli import Done, run_cli
from support_scoring import some_rows

CORPUS = "the cat eats fish .\nthe dog eats meat .\nthe cat sees the dog .\n" * 10
PRICED = ScoringOptions(quiet=True, price_in=1.0, price_out=4.0)
ROWS = some_rows(12, 4)
"""48 pairs: one of them is asked ahead, and 47 go into a batch, four in each request."""


@contextmanager
def opened(
    server: ScoreServer, folder: Path, scoring: ScoringOptions = PRICED, **settings: str
) -> Iterator[tuple[ScoreSource, Batches]]:
    """The provider `openai` with its batches, four pairs a request."""
    options = {"base_url": server.url, "api_key": "sk-any-key", "model": "test-model"}
    options |= {"pairs_per_request": "4", "timeout": "5", **settings}
    choice = ScoreChoice(options=options, cache_dir=folder, scoring=scoring)
    with open_source("openai", choice) as source:
        yield source, Batches(source)


def pairs_of(handed: Handed) -> set[tuple[str, str]]:
    """The pairs in the batch that was handed over."""
    if handed.pending is None:
        return set()
    rows = [row for request in handed.pending.requests for row in request]
    return {(row.query, key) for row in rows for key in row.keys}


def hand_over(batches: Batches, rows: list[Row] = ROWS) -> Pending:
    """``rows`` as a batch, which there must be."""
    handed = batches.submit([rows])
    assert handed.pending is not None
    return handed.pending


def until_ended(batches: Batches, pending: Pending) -> None:
    """Ask about a batch until the server has ended it."""
    while batches.status(pending).state == "running":
        pass


def spent(source: ScoreSource) -> Usage:
    """What the source's scores have cost, as its cache tells it."""
    (info,) = source.cache.namespaces()
    return info.usage


def command(folder: Path, server: ScoreServer, *arguments: str, **environ: str) -> Done:
    """``llmattn ARGUMENTS`` in ``folder`` with the server's `openai`, and CORPUS as corpus.txt."""
    (folder / "corpus.txt").write_text(CORPUS)
    return run_cli(folder, *arguments, **setup(server), **environ)


def setup(server: ScoreServer) -> dict[str, Any]:
    """The environment in which a command asks the server."""
    return {
        "LLM_PROVIDER": "openai",
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "sk-planted-batch",
    }
