"""Batches that the server has forgotten, hand-overs that broke off, names of a server's choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from llmattn.errors import ProviderRejected
from llmattn.testing.server import ScoreServer
from support_batches import ROWS, command, hand_over, opened, pairs_of, spent, until_ended
from support_cli import FAILED, Done
from support_scoring import assert_scored

BATCH = ("score", "corpus.txt", "--batch")


def until_scored(run: Callable[[], Done], most: int = 6) -> str:
    """Run a command until everything is scored; what all of them said."""
    said = ""
    for _ in range(most):
        done = run()
        said += done.stdout + done.stderr
        assert done.returncode == 0, said
        if "Everything is scored." in done.stdout:
            return said
    raise AssertionError(said)


def test_a_batch_that_the_server_has_forgotten_is_told_and_handed_over_anew(
    tmp_path: Path,
) -> None:
    with ScoreServer() as server:
        command(tmp_path, server, *BATCH)
        server.batches.batches.clear()
        lost = command(tmp_path, server, *BATCH)
        assert lost.returncode == 0, lost.stderr
        assert "batch batch_0 is lost" in lost.stdout
        assert "cost is not known" in lost.stdout
        assert server.batches.begun == 1
        said = until_scored(lambda: command(tmp_path, server, *BATCH))
        assert "is lost" not in said
        assert server.batches.begun == 2
        assert server.log.summary()["most_times_one_pair"] == 1


def test_the_pairs_of_a_lost_batch_are_free(tmp_path: Path) -> None:
    with ScoreServer() as server, opened(server, tmp_path) as (source, batches):
        pending = hand_over(batches)
        server.batches.batches.clear()
        assert batches.status(pending).state == "lost"
        assert batches.collect(pending).state == "lost"
        assert not batches.pending()
        assert source.fill(ROWS).scored == 47


def test_a_lost_batch_that_is_there_again_is_collected_and_not_paid_again(tmp_path: Path) -> None:
    with ScoreServer() as server:
        command(tmp_path, server, *BATCH)
        hidden = dict(server.batches.batches)
        server.batches.batches.clear()  # as for the key of another project
        command(tmp_path, server, *BATCH)
        server.batches.batches.update(hidden)
        said = until_scored(lambda: command(tmp_path, server, *BATCH))
        assert "batch_0 done: 31 pairs kept" in said
        assert server.batches.begun == 1


def test_a_lost_batch_is_not_looked_for_for_ever(tmp_path: Path) -> None:
    with ScoreServer() as server, opened(server, tmp_path) as (source, batches):
        pending = hand_over(batches)
        server.batches.batches.clear()
        batches.status(pending)
        assert [lost.batch_id for lost in batches.lost()] == ["batch_0"]
        assert source.batches
        (lost,) = batches.lost()
        source.batches.change(lost, submitted=lost.submitted - 31 * 86400)
        assert batches.lost() == []
        assert source.batches.all() == []


@pytest.mark.parametrize("end", ["completed", "expired"])
def test_answers_that_are_gone_are_told_and_asked_again(tmp_path: Path, end: str) -> None:
    small = (*BATCH, "-o", "pairs_per_request=8")
    with ScoreServer(batch_end=end) as server:
        command(tmp_path, server, *small)
        for _ in range(2):  # it ends with the second look
            urlopen(f"{server.url}/batches/batch_0").close()
        server.change(batch_end="completed")
        for name in [n for n, called in server.batches.names.items() if called == "answers.jsonl"]:
            del server.batches.files[name]
        gone = command(tmp_path, server, *small)
        assert gone.returncode == 0, gone.stderr
        assert "batch_0: the server no longer has the answers to" in gone.stdout, gone.stdout
        assert "cost is not known" in gone.stdout
        until_scored(lambda: command(tmp_path, server, *small))


def test_a_lost_answer_to_a_hand_over_is_looked_for_before_it_is_sent_again(
    tmp_path: Path,
) -> None:
    with ScoreServer(batch_unanswered=1) as server, opened(server, tmp_path) as (_, batches):
        pending = hand_over(batches)
        assert pending.batch_id == "batch_0"
        assert server.batches.begun == 1


def test_a_hand_over_that_broke_off_before_it_arrived_is_made_anew(
    tmp_path: Path, told: Callable[[], str]
) -> None:
    with ScoreServer() as server, opened(server, tmp_path) as (source, batches):
        assert source.batches
        with batches.alone():
            begun = source.batches.begin([ROWS])
        server.batches.files["file-sent"] = b""
        server.batches.names["file-sent"] = f"llmattn-{begun.mark}.jsonl"
        handed = batches.submit([ROWS])
        assert "broke off, and nothing had arrived" in told()
        assert len(pairs_of(handed)) == 47
        assert server.batches.begun == 1
        assert "file-sent" not in server.batches.files


def test_a_hand_over_that_cannot_be_looked_for_names_its_mark_and_file(tmp_path: Path) -> None:
    with ScoreServer(api_key="sk-another") as server, opened(server, tmp_path) as (source, batches):
        assert source.batches
        with batches.alone():
            begun = source.batches.begin([ROWS])
        with pytest.raises(ProviderRejected) as raised:
            batches.submit([ROWS])
        assert begun.mark in str(raised.value)
        assert str(source.batches.path(begun)) in str(raised.value)


@pytest.mark.parametrize(
    "form", ["../../../outside{}", "/tmp/outside{}", "a\\b{}", "nul{}", "é" * 200]
)
def test_no_file_is_named_by_the_server(tmp_path: Path, form: str) -> None:
    home = tmp_path / "one" / "two" / "three"
    home.mkdir(parents=True)
    with ScoreServer(batch_id=form) as server, opened(server, home) as (source, batches):
        pending = hand_over(batches)
        assert pending.batch_id == form.format(0)
        files = list(tmp_path.rglob("*.json"))
        assert files == [home / "batches" / source.identity.namespace / f"{pending.mark}.json"]
        until_ended(batches, pending)
        batches.collect(pending)
        assert_scored(source, ROWS)
        assert spent(source).requests == 13
        assert not list(tmp_path.rglob("*.json"))


def test_a_file_that_was_put_there_by_another_is_not_taken_for_a_batch(tmp_path: Path) -> None:
    with ScoreServer() as server:
        command(tmp_path, server, *BATCH)
        (mine,) = (tmp_path / "scores" / "batches").rglob("*.json")
        mine.rename(mine.with_name("other.json"))
        done = command(tmp_path, server, *BATCH)
    assert done.returncode in FAILED
    assert "does not describe a batch" in done.stderr
