"""What the scoring tests share: rows, a source that asks a server, and the server's scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from llmattn.rows import Row, Scores
from llmattn.scoring.opening import open_source
from llmattn.scoring.options import ScoreChoice, ScoringOptions
from llmattn.scoring.source import ScoreSource
from llmattn.testing.api import digit
from llmattn.testing.server import ScoreServer

QUIET = ScoringOptions(quiet=True)


def some_rows(queries: int, keys: int) -> list[Row]:
    """``queries`` rows of ``keys`` keys each."""
    return [Row(f"query{q}", [f"key{k}" for k in range(keys)]) for q in range(queries)]


def expected(row: Row, criterion: str = "relevance") -> Scores:
    """The scores that the test server gives, shape (1, len(row.keys))."""
    digits = [digit(row.query, key, criterion) for key in row.keys]
    return np.array([[digit / 9 for digit in digits]], np.float32)


def assert_scored(source: ScoreSource, rows: Sequence[Row]) -> None:
    """Every pair of ``rows`` is in the cache with the server's score."""
    for row, scores in zip(rows, source.cache.get(source.identity, rows), strict=True):
        np.testing.assert_allclose(scores, expected(row), atol=1e-3)


@contextmanager
def custom_source(
    server: ScoreServer | str,
    cache_dir: Path,
    options: ScoringOptions = QUIET,
    **settings: object,
) -> Iterator[ScoreSource]:
    """The provider `custom`, asking ``server``, with an LMDB cache in ``cache_dir``."""
    url = server if isinstance(server, str) else server.url
    given = {"base_url": url, "model": "test-model", "timeout": "5", **settings}
    texts = {name: str(value) for name, value in given.items()}
    choice = ScoreChoice(options=texts, cache_dir=cache_dir, scoring=options)
    with open_source("custom", choice) as source:
        yield source
