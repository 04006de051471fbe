"""Handing over batches: within limits, and patiently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from llmattn.errors import ProviderRejected
from llmattn.feeds.fill import stages_of
from llmattn.feeds.pairs import PairCounts
from llmattn.scoring.options import ScoringOptions
from llmattn.testing.server import ScoreServer
from support_batches import ROWS, opened, pairs_of
from support_scoring import assert_scored


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
