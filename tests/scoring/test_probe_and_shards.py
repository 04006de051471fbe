"""The probe, and several processes that share the work."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from llmattn.rows import Row
from llmattn.scoring.probe import TRIPLES, Agreement, probe, probe_rows
from llmattn.scoring.shard import Shard
from llmattn.testing.server import ScoreServer
from support_cli import run_process
from support_scoring import custom_source, some_rows

PLAIN = {(query, better): 9 for query, better, _ in TRIPLES}


def knows(query: str, keys: list[str], criterion: str) -> list[int]:
    return [PLAIN.get((query, key), 1) for key in keys]


def test_a_model_that_knows_the_words_agrees_with_every_triple(tmp_path: Path) -> None:
    with ScoreServer(answers=knows) as server, custom_source(server, tmp_path) as source:
        (found,) = probe(source)
    assert (found.agreed, found.triples, found.verdict) == (60, 60, "it can do this")


def test_a_model_that_answers_by_position_is_no_better_than_chance(tmp_path: Path) -> None:
    def first_is_best(query: str, keys: list[str], criterion: str) -> list[int]:
        return [9, *[1] * (len(keys) - 1)]

    with ScoreServer(answers=first_is_best) as server, custom_source(server, tmp_path) as source:
        (found,) = probe(source)
    assert found.verdict == "no better than chance"


def test_chance_is_a_coin_tossed_for_each_triple() -> None:
    low, high = Agreement("relevance", 30, 60).chance
    assert low == pytest.approx(0.3735, abs=1e-3)
    assert high == pytest.approx(0.6265, abs=1e-3)


def test_the_triples_are_sixty_and_no_pair_stands_in_two() -> None:
    assert len(set(TRIPLES)) == 60
    assert len({row.query for row in probe_rows()}) == 60


def test_each_row_belongs_to_exactly_one_process() -> None:
    rows = [*some_rows(50, 3), Row("b", ("a", "b"), ("a",))]
    shares = [Shard(rank, 3).rows(rows) for rank in range(3)]
    assert sorted(row.query for share in shares for row in share) == sorted(
        row.query for row in rows
    )
    assert all(shares)


def test_two_ranks_under_torchrun_ask_for_every_pair_once(tmp_path: Path) -> None:
    draw = random.Random(1)
    words = [f"w{i}" for i in range(40)]
    lines = [" ".join(draw.choices(words, k=8)) for _ in range(60)]
    (tmp_path / "corpus.txt").write_text("\n".join(lines) + "\n")
    with ScoreServer() as server:
        done = run_process(
            tmp_path,
            *("--standalone", "--nproc-per-node", "2", "-m", "llmattn.score", "corpus.txt"),
            *("-p", "custom", "--model", "test-model", "--cache-dir", "cache"),
            program=("-m", "torch.distributed.run"),
            CUSTOM_BASE_URL=server.url,
        )
        assert done.returncode == 0, done.stderr
        assert "[1 of 2]" in done.stdout
        assert "[2 of 2]" in done.stdout
        assert server.log.summary()["most_times_one_pair"] == 1
        with custom_source(server, tmp_path / "cache") as source:
            (info,) = source.cache.namespaces()
            assert info.pairs == server.log.summary()["distinct_pairs"]
