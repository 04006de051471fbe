"""What is with a batch is asked, and paid, by nobody else meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from llmattn.rows import Row, prefix_rows
from llmattn.scoring.options import ScoringOptions
from llmattn.testing.server import ScoreServer
from support_batches import ROWS, command, hand_over, opened, until_ended
from support_cli import FAILED
from support_scoring import assert_scored, some_rows

TEXTS = prefix_rows(["the", "cat", "eats", "the", "fish"])[1:]


def asked(server: ScoreServer) -> int:
    """Requests for scores that were sent one by one, and not in a batch."""
    return len(server.log.requests)


@pytest.mark.parametrize(("rows", "scope"), [(ROWS, "pair"), (TEXTS, "prefix")])
def test_a_fill_leaves_out_what_a_batch_will_answer(
    tmp_path: Path, told: Callable[[], str], rows: Sequence[Row], scope: str
) -> None:
    with ScoreServer() as server:
        with opened(server, tmp_path, scope=scope) as (_, batches):
            pending = hand_over(batches, list(rows))
        before = asked(server)
        with opened(server, tmp_path, scope=scope) as (source, batches):
            report = source.fill(rows)
            again = source.fill(rows)
            assert asked(server) == before
            held = sum(len(row.keys) for row in rows) - report.cached
            assert (report.batched, report.left, again.batched) == (held, 0, held)
            assert pending.pairs == held > 0
            assert f"{held} with a batch under way" in source.summary(report)
            said = told()
            assert said.count(f"{held} pairs are with batch batch_0, handed over at") == 1
            assert "--ask-batched" in said
            until_ended(batches, pending)
            batches.collect(pending)
            assert source.fill(rows).batched == 0
            assert not source.missing(rows)
        assert server.log.summary()["most_times_one_pair"] == 1


def test_only_what_no_batch_holds_is_asked(tmp_path: Path) -> None:
    more = some_rows(14, 6)
    with ScoreServer() as server, opened(server, tmp_path) as (source, batches):
        pending = hand_over(batches)
        report = source.fill(more)
        assert (report.pairs, report.cached, report.scored, report.batched) == (84, 1, 36, 47)
        until_ended(batches, pending)
        batches.collect(pending)
        assert_scored(source, more)
        assert server.log.summary()["most_times_one_pair"] == 1


def test_a_hand_over_that_has_just_begun_claims_its_pairs_too(tmp_path: Path) -> None:
    with ScoreServer() as server, opened(server, tmp_path) as (source, _):
        assert source.batches
        with source.batches.alone():
            source.batches.begin([ROWS])
        assert source.fill(ROWS).batched == 48
        assert asked(server) == 0


def test_whoever_insists_may_ask_for_them_all_the_same(tmp_path: Path) -> None:
    insists = ScoringOptions(quiet=True, ask_batched=True)
    with ScoreServer() as server:
        with opened(server, tmp_path) as (_, batches):
            hand_over(batches)
        with opened(server, tmp_path, insists) as (source, _):
            report = source.fill(ROWS)
            assert (report.scored, report.batched) == (47, 0)
            assert_scored(source, ROWS)


def test_scores_that_are_with_a_batch_are_unknown_meanwhile(tmp_path: Path) -> None:
    with ScoreServer() as server, opened(server, tmp_path) as (source, batches):
        hand_over(batches)
        scores = source.scores(ROWS)
        assert sum(int(np.isnan(row).sum()) for row in scores) == 47
        assert asked(server) == 1


def test_a_batch_of_another_model_claims_nothing(tmp_path: Path) -> None:
    with ScoreServer() as server:
        with opened(server, tmp_path) as (_, batches):
            hand_over(batches)
        with opened(server, tmp_path, model="gpt-5.4-mini") as (source, _):
            assert source.fill(ROWS).scored == 48


def test_the_commands_pay_for_nothing_that_a_batch_will_answer(tmp_path: Path) -> None:
    with ScoreServer(batch_polls=100) as server:
        assert "handed over" in command(tmp_path, server, "score", "corpus.txt", "--batch").stdout
        before = asked(server)
        scored = command(tmp_path, server, "score", "corpus.txt")
        assert scored.returncode == 0
        assert ", 0 scored now, 31 with a batch under way" in scored.stdout, scored.stdout
        assert "31 pairs are with batch batch_0, handed over at" in scored.stderr
        planned = command(tmp_path, server, "plan", "corpus.txt", "--json")
        assert '"requests": 0' in planned.stdout
        train = command(tmp_path, server, "train", "--corpus", "corpus.txt", "--steps", "1")
        assert train.returncode in FAILED
        assert "31 pairs are with batch batch_0" in train.stderr
        assert "31 of the scores of openai for this text are with a batch" in train.stderr
        assert asked(server) == before
        insisted = command(tmp_path, server, "score", "corpus.txt", "--ask-batched")
        assert ", 31 scored now" in insisted.stdout
        assert asked(server) > before


@pytest.mark.parametrize("scope", ["pair", "prefix"])
def test_nothing_is_trained_without_scores_that_are_to_come_unless_one_insists(
    tmp_path: Path, scope: str
) -> None:
    own = ("--scope", scope)
    small = ("--n-layer", "1", "--n-head", "1", "--n-embd", "16", "--steps", "1")
    with ScoreServer() as server:
        command(tmp_path, server, "score", "corpus.txt", "--batch", *own)
        before = asked(server)
        for name in ("train", "compare"):
            text = ("--corpus", "corpus.txt") if name == "train" else ("corpus.txt", "--seeds", "1")
            done = command(tmp_path, server, name, *text, *own, *small)
            assert done.returncode in FAILED
            assert "are with a batch under way: collect it first" in done.stderr
        insisted = command(
            tmp_path, server, "train", "--corpus", "corpus.txt", *own, *small, "--max-requests", "0"
        )
        assert insisted.returncode == 0, insisted.stderr
        assert asked(server) == before
