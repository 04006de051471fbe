"""What the numbers of a run mean: counted once, for the whole of the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llmattn.cache.memory import MemoryCache
from llmattn.cache.settings import MemorySettings
from llmattn.data.config import TextConfig
from llmattn.data.corpus import load_corpus
from llmattn.feeds.fill import fill_pairs, fill_texts
from llmattn.feeds.pairs import corpus_pairs
from llmattn.identity import Identity
from llmattn.providers.protocol import Limits, Reply
from llmattn.rows import Row, Scope
from llmattn.scoring.options import ScoringOptions
from llmattn.scoring.source import ScoreSource
from llmattn.testing.server import ScoreServer
from llmattn.training.checkpoint import load_checkpoint
from support_cli import FAILED, run_cli
from support_engine import SMALL, write_corpus
from support_scoring import custom_source

LIMITED = ScoringOptions(quiet=True, max_cost=5.0, price_in=1.0, price_out=1.0)


def test_a_run_in_stages_plans_as_many_requests_as_the_plan_tells(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    corpus = load_corpus(tmp_path / "corpus.txt", TextConfig())
    _, pairs = corpus_pairs(corpus, 64)
    with (
        ScoreServer() as server,
        custom_source(server, tmp_path / "c", LIMITED, pairs_per_request="20") as source,
    ):
        report = fill_pairs(source, pairs, corpus.words)
        assert report.requests_planned == len(server.log.requests)
        assert report.rows == len(set(pairs.query_ids.tolist()))
        assert (report.pairs, report.cached, report.left) == (len(pairs), 0, 0)


class _Gaps:
    """A provider of PREFIX scope whose first reply to each row leaves the last key out."""

    local = True
    absent_score = None
    scope = Scope.PREFIX
    channels = ("one", "two")
    limits = Limits(rows_per_request=4, nested_rows=True)

    def __init__(self) -> None:
        self.seen: set[tuple[str, ...]] = set()

    def identity(self) -> Identity:
        return Identity("gaps", 1, self.scope, self.channels, {})

    async def score(self, rows: Any) -> Reply:
        scores = [np.full((2, len(row.keys)), 0.5, np.float32) for row in rows]
        for row, values in zip(rows, scores, strict=True):
            if row.keys not in self.seen:
                values[1, -1] = np.nan
            self.seen.add(row.keys)
        return Reply(scores)

    async def aclose(self) -> None:
        pass


def test_pairs_known_in_some_channels_are_counted_once(tmp_path: Path) -> None:
    rows = [Row("c", ("a", "b", "c"), ("a", "b")), Row("b", ("a", "b"), ("a",))]
    with ScoreSource("gaps", _Gaps(), MemoryCache(MemorySettings())) as source:
        report = source.fill(rows)
    assert (report.pairs, report.scored, report.left) == (5, 5, 0)


def test_windows_that_begin_alike_are_not_called_cached(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    corpus = load_corpus(tmp_path / "corpus.txt", TextConfig())
    with ScoreSource("gaps", _Gaps(), MemoryCache(MemorySettings())) as source:
        report = fill_texts(source, corpus, block_size=16)
    assert (report.cached, report.left) == (0, 0)


def test_the_share_asked_for_is_the_share_used_whatever_the_cache_holds(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    command = ("train", "--corpus", "corpus.txt", "--steps", "2", *SMALL, "--provider", "random")
    half = ("--coverage", "0.5")
    first = run_cli(tmp_path, *command, *half, "--out", "first.pt")
    assert run_cli(tmp_path, *command, "--out", "all.pt").returncode == 0
    second = run_cli(tmp_path, *command, *half, "--out", "second.pt")
    assert (first.returncode, second.returncode) == (0, 0)
    one, two = (load_checkpoint(tmp_path / name) for name in ("first.pt", "second.pt"))
    assert one.coverage == two.coverage
    assert 0.5 <= one.coverage < 0.7
    assert one.best == two.best
    assert one.table is not None
    assert two.table is not None
    assert len(one.table.known.query_ids) == len(two.table.known.query_ids)


def test_a_plan_counts_the_test_part(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    command = ("plan", "corpus.txt", "--provider", "random", "--json")
    (whole,) = json.loads(run_cli(tmp_path, *command).stdout)
    (parts,) = json.loads(run_cli(tmp_path, *command, "--test-fraction", "0.4").stdout)
    assert parts["tokens"] == whole["tokens"]


@pytest.mark.parametrize(
    "command",
    [
        ("cache", "ls"),
        ("cache", "stats"),
        ("plan", "corpus.txt", "--provider", "random"),
        ("plan", "corpus.txt"),
    ],
)
def test_reading_commands_make_no_cache(tmp_path: Path, command: tuple[str, ...]) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "scores").exists()


def test_beside_a_loss_stands_the_share_of_unknown_words(tmp_path: Path) -> None:
    lines = write_corpus(tmp_path).read_text().splitlines()
    lines[-1] = "zebras graze there"  # three words and a line end, of nearly 7 tokens a line
    (tmp_path / "corpus.txt").write_text("\n".join(lines) + "\n")
    command = ("--steps", "1", *SMALL, "--provider", "random", "--test-fraction", "0.05")
    done = run_cli(tmp_path, "train", "--corpus", "corpus.txt", *command)
    assert done.returncode == 0, done.stderr
    corpus = load_corpus(tmp_path / "corpus.txt", TextConfig(test_fraction=0.05))
    assert corpus.test is not None
    share = f"{3 / corpus.test.targets:.1%}"
    assert f"0.0% of the validation text and {share} of the test text outside them" in done.stdout
    (test_line,) = [line for line in done.stdout.splitlines() if line.startswith("Test loss")]
    assert f"{share} of the tokens are <unk>" in test_line


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--log", "no/such/log.csv"), "log.csv: no/such is not there"),
        (("--log", "log.txt"), ".csv or .jsonl"),
        (("--tensorboard", "corpus.txt/curves"), "--tensorboard"),
        (("--out", "corpus.txt/model.pt"), "corpus.txt"),
        (("--device", "cuda:7"), "--device may be"),
    ],
)
def test_train_looks_at_what_it_needs_before_it_pays(
    tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    write_corpus(tmp_path)
    with ScoreServer() as server:
        custom = ("--provider", "custom", "--model", "test-model", "-o", f"base_url={server.url}")
        command = ("train", "--corpus", "corpus.txt", "--steps", "1", *SMALL, *custom)
        done = run_cli(tmp_path, *command, *options)
        assert done.returncode in FAILED
        assert len(server.log.requests) == 0
    assert told in done.stderr


@pytest.mark.parametrize(
    "options",
    [("--out", "corpus.txt/report"), ("--arms", "external:custom,learned", "--n-embd", "3")],
)
def test_compare_looks_at_what_it_needs_before_it_pays(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    write_corpus(tmp_path)
    with ScoreServer() as server:
        custom = ("--provider", "custom", "--model", "test-model", "-o", f"base_url={server.url}")
        done = run_cli(tmp_path, "compare", "corpus.txt", *custom, *options)
        assert done.returncode in FAILED
        assert len(server.log.requests) == 0, done.stderr
