"""Handing over batches: within limits, one process after the other, patiently."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from llmattn.data.fill import stages_of
from llmattn.data.pairs import PairCounts
from llmattn.errors import CacheError, ProviderRejected
from llmattn.scoring.batch import Batches, Handed
from llmattn.scoring.options import ScoreChoice, ScoringOptions
from llmattn.scoring.source import ScoreSource, open_source
from llmattn.testing.server import ScoreServer
from support_scoring import assert_scored, some_rows

ROWS = some_rows(12, 4)
PRICED = ScoringOptions(quiet=True, price_in=1.0, price_out=4.0)


@contextmanager
def opened(
    server: ScoreServer, folder: Path, scoring: ScoringOptions = PRICED, **settings: str
) -> Iterator[tuple[ScoreSource, Batches]]:
    """The provider `openai` with its batches, four pairs a request."""
    options = {"base_url": server.url, "api_key": "sk-any-key", "model": "test-model"}
    options |= {"pairs_per_request": "4", "timeout": "5", **settings}
    choice = ScoreChoice(options=options, cache_dir=folder, scoring=scoring)
    with open_source("openai", choice) as source:
        yield source, Batches(source, folder)


def pairs_of(handed: Handed) -> set[tuple[str, str]]:
    if handed.pending is None:
        return set()
    rows = [row for request in handed.pending.requests for row in request]
    return {(row.query, key) for row in rows for key in row.keys}


def test_one_pair_is_asked_ahead_counted_and_kept(tmp_path: Path) -> None:
    with ScoreServer() as server, opened(server, tmp_path) as (source, batches):
        handed = batches.submit([ROWS])
        assert len(server.log.requests) == 1
        assert len(pairs_of(handed)) == 47
        (info,) = source.cache.namespaces()
        assert (info.pairs, info.usage.requests) == (1, 1)
        assert info.usage.cost > 0


def test_what_the_model_takes_is_found_out_before_the_batch_is_sent(tmp_path: Path) -> None:
    with (
        ScoreServer(refuse=("temperature",)) as server,
        opened(server, tmp_path) as (source, batches),
    ):
        batches.submit([ROWS])
        (pending,) = batches.pending()
        while batches.status(pending).state == "running":
            pass
        assert batches.collect(pending).failed == 0
        assert_scored(source, ROWS)


def test_a_wrong_key_is_told_before_a_batch_is_handed_over(tmp_path: Path) -> None:
    with ScoreServer(api_key="another") as server, opened(server, tmp_path) as (_, batches):
        with pytest.raises(ProviderRejected, match="OPENAI_API_KEY"):
            batches.submit([ROWS])
        assert batches.pending() == []


@pytest.mark.parametrize("most", [1, 4])
def test_max_requests_counts_the_pair_asked_ahead(tmp_path: Path, most: int) -> None:
    scoring = ScoringOptions(quiet=True, max_requests=most)
    with ScoreServer() as server, opened(server, tmp_path, scoring) as (_, batches):
        handed = batches.submit([ROWS])
        in_batch = len(handed.pending.requests) if handed.pending else 0
        assert in_batch + len(server.log.requests) == most
        assert handed.stopped is not None
        assert handed.left == 12 - in_batch


def test_max_cost_is_kept_by_a_batch_and_the_pair_asked_ahead_together(tmp_path: Path) -> None:
    scoring = ScoringOptions(quiet=True, max_cost=0.05, price_in=1.0, price_out=4.0)
    with ScoreServer() as server, opened(server, tmp_path, scoring) as (source, batches):
        handed = batches.submit([ROWS])
        assert handed.pending is not None
        assert handed.stopped is not None
        batches.status(handed.pending)
        batches.status(handed.pending)
        batches.collect(handed.pending)
        (info,) = source.cache.namespaces()
        assert 0 < info.usage.cost <= 0.05


def test_the_most_frequent_pairs_go_first_where_there_is_a_limit(tmp_path: Path) -> None:
    ids = np.arange(40, dtype=np.int32)
    pairs = PairCounts(ids, ids[::-1].copy(), np.arange(1, 41, dtype=np.int64))
    words = [f"w{n}" for n in range(40)]
    scoring = ScoringOptions(quiet=True, max_requests=2)
    with ScoreServer() as server, opened(server, tmp_path, scoring) as (source, batches):
        handed = batches.submit(stages_of(source, pairs, words))
        asked = {int(query[1:]) for query, _ in pairs_of(handed)} | {39}
        assert asked >= {39, 38}
        assert min(asked) >= 34


def test_two_that_hand_over_at_once_hand_over_each_pair_once(tmp_path: Path) -> None:
    with ScoreServer() as server, opened(server, tmp_path) as (_, one):
        with opened(server, tmp_path) as (_, other), ThreadPoolExecutor(2) as threads:
            first, second = threads.map(lambda batches: batches.submit([ROWS]), (one, other))
        assert not pairs_of(first) & pairs_of(second)
        assert len(pairs_of(first) | pairs_of(second)) in (46, 47)


def test_a_hand_over_that_broke_off_is_told_with_the_file_to_remove(tmp_path: Path) -> None:
    with ScoreServer() as server, opened(server, tmp_path) as (source, batches):
        intent = tmp_path / "batches" / source.identity.namespace / "submitting.json"
        intent.parent.mkdir(parents=True)
        intent.write_text("{}")
        with pytest.raises(CacheError, match=r"submitting\.json"):
            batches.submit([ROWS])
        intent.unlink()
        assert batches.submit([ROWS]).pending


def test_a_busy_server_is_asked_about_batches_again(tmp_path: Path) -> None:
    with ScoreServer(batch_busy=2) as server, opened(server, tmp_path) as (_, batches):
        handed = batches.submit([ROWS])
        assert handed.pending is not None
        assert batches.status(handed.pending).state == "running"


def test_what_one_batch_does_not_take_is_left_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmattn_openai.batch.MOST_REQUESTS", 5)
    with ScoreServer() as server, opened(server, tmp_path) as (_, batches):
        first = batches.submit([ROWS])
        assert (len(pairs_of(first)), first.left, first.stopped) == (19, 7, None)
        second = batches.submit([ROWS])
        assert not pairs_of(first) & pairs_of(second)
