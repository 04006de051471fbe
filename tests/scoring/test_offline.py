"""The providers that need no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import anyio
import numpy as np
import pytest
from llmattn.data.config import TextConfig
from llmattn.data.corpus import load_corpus
from llmattn.errors import ConfigError
from llmattn.providers.cooccurrence import CooccurrenceProvider
from llmattn.providers.random import RandomProvider
from llmattn.providers.settings import CooccurrenceSettings, RandomSettings
from llmattn.rows import Row
from llmattn.scoring.opening import open_source
from llmattn.scoring.options import ScoreChoice
from support_cli import run_cli
from support_engine import SMALL, write_corpus

LINES = [line.split() for line in ["the cat eats fish", "the dog eats meat", "a cat eats fish"] * 4]


def cooccurrence(lines: Sequence[Sequence[str]], **settings: int) -> CooccurrenceProvider:
    provider = CooccurrenceProvider(CooccurrenceSettings(**settings))
    provider.read_text(lines)
    return provider


def score(provider: CooccurrenceProvider | RandomProvider, query: str, key: str) -> float:
    reply = anyio.run(provider.score, [Row(query, [key])])
    return float(reply.scores[0][0, 0])


def test_words_that_go_together_score_above_words_that_do_not() -> None:
    provider = cooccurrence(LINES)
    assert score(provider, "fish", "cat") > score(provider, "fish", "the") > -1
    assert score(provider, "meat", "cat") == 0


def test_order_counts_the_key_stands_before_the_query() -> None:
    provider = cooccurrence(LINES)
    assert score(provider, "fish", "cat") > 0
    assert score(provider, "cat", "fish") == 0


def test_a_line_is_never_scored_by_its_own_words() -> None:
    once = [*LINES, ["a", "green", "idea"]]
    assert score(cooccurrence(once), "idea", "green") == 0
    twice = [*once, ["the", "green", "idea"]]
    assert score(cooccurrence(twice), "idea", "green") > 0


def test_leaving_a_line_out_gives_the_score_of_all_other_lines() -> None:
    """The discounted score of a pair in a line is the plain score without that line."""
    provider = cooccurrence(LINES)
    others = LINES[1:]  # the first line holds (fish, cat)
    n = len(others)
    n_qk = sum("cat" in line and "fish" in line for line in others)
    n_q = sum("fish" in line for line in others)
    n_k = sum("cat" in line for line in others)
    pmi = np.log(n_qk * n / (n_q * n_k)) / -np.log(n_qk / n)
    least = min(n_q, n_k)
    plain = pmi * n_qk / (n_qk + 1) * least / (least + 1)
    assert score(provider, "fish", "cat") == pytest.approx(plain, abs=1e-6)


def test_a_window_of_a_stream_is_never_scored_by_its_own_words(tmp_path: Path) -> None:
    """Two lines of one window hold a pair that no other window holds."""
    path = tmp_path / "text.txt"
    lines = ["green idea", "green idea", *["the cat eats fish", "a dog sees meat"] * 20]
    path.write_text("\n".join(lines))
    corpus = load_corpus(path, TextConfig(stream=True))
    assert score(cooccurrence(corpus.train_words()), "idea", "green") > 0
    assert score(cooccurrence(corpus.train_words(block_size=16)), "idea", "green") == 0
    assert score(cooccurrence(corpus.train_words(block_size=3)), "idea", "green") > 0


def test_every_command_counts_a_stream_in_the_same_windows(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    same = ("--stream", "--block-size", "8", "--provider", "cooccurrence")
    done = run_cli(tmp_path, "score", "corpus.txt", *same)
    assert done.returncode == 0, done.stderr
    (plan,) = json.loads(run_cli(tmp_path, "plan", "corpus.txt", *same, "--json").stdout)
    assert plan["cached"] == plan["pairs"]
    trained = run_cli(tmp_path, "train", "--corpus", "corpus.txt", *same, *SMALL, "--steps", "1")
    assert ", 0 scored now" in trained.stderr
    other = run_cli(tmp_path, "plan", "corpus.txt", *same, "--block-size", "9", "--json")
    assert json.loads(other.stdout)[0]["cached"] == 0


def test_the_window_limits_the_distance() -> None:
    assert score(cooccurrence(LINES, window=1), "fish", "cat") == 0
    assert score(cooccurrence(LINES, window=2), "fish", "cat") > 0


def test_another_text_is_another_namespace() -> None:
    first, second = cooccurrence(LINES), cooccurrence(LINES[1:])
    assert first.identity().namespace != second.identity().namespace


def test_cooccurrence_without_a_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the text"):
        open_source("cooccurrence", ScoreChoice(cache_dir=tmp_path))


def test_random_scores_are_stable_and_spread_over_the_range() -> None:
    provider = RandomProvider(RandomSettings())
    assert score(provider, "cat", "the") == pytest.approx(0.90317, abs=1e-5)
    scores = [score(provider, "cat", f"k{i}") for i in range(300)]
    assert 0 <= min(scores) < 0.05
    assert 0.95 < max(scores) <= 1
    assert score(RandomProvider(RandomSettings(seed=1)), "cat", "the") != score(
        provider, "cat", "the"
    )


@pytest.mark.parametrize("scope", ["pair", "prefix"])
def test_channels_of_random_scores_say_nothing_of_each_other(scope: str) -> None:
    one, many = (RandomProvider(RandomSettings(scope=scope, channels=n)) for n in (1, 40))
    words = [f"w{number}" for number in range(2000)]
    row = Row(words[-1], words)
    (alone,), (scores,) = (anyio.run(p.score, [row]).scores for p in (one, many))
    assert scores.shape == (40, 2000)
    np.testing.assert_array_equal(scores[:1], alone)
    assert 0 <= scores.min() < 0.001
    assert 0.999 < scores.max() <= 1
    apart = np.asarray(np.corrcoef(scores)) - np.eye(40)
    assert np.abs(apart).max() < 0.1
    neighbours = np.asarray(np.corrcoef(scores[:, 1:].ravel(), scores[:, :-1].ravel()))
    assert abs(neighbours[0, 1]) < 0.02


def test_more_channels_of_random_scores_are_another_namespace() -> None:
    spaces = [RandomProvider(RandomSettings(channels=n)).identity().namespace for n in (1, 2, 3)]
    assert len(set(spaces)) == 3
    before = "990212638b95d100f40b6b1c9f4760bd"
    assert spaces[0] == before  # of scores that were kept when there was one channel only


def test_offline_providers_go_through_the_cache(tmp_path: Path) -> None:
    rows = [Row("fish", ["cat", "the"])]
    with open_source("cooccurrence", ScoreChoice(cache_dir=tmp_path), text=LINES) as source:
        assert source.scores(rows)[0].shape == (1, 2)
        assert source.missing(rows) == []
