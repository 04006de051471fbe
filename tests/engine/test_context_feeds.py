"""Scores in context on their way into batches: rows, packed files, feeds."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from llmattn.data.batches import collate
from llmattn.data.corpus import Corpus, Split
from llmattn.errors import BudgetExceeded, ConfigError, PluginError
from llmattn.feeds.channels import Scored, reading_of
from llmattn.feeds.derived import average_pairs
from llmattn.feeds.feed import Feeds, PackedFeed, ScoreFeed
from llmattn.feeds.open import ModelScores
from llmattn.feeds.packed import PackedScores, open_packed, write_packed
from llmattn.feeds.windows import window_rows
from llmattn.rows import Row
from llmattn.scoring.options import ScoreChoice
from support_cli import run_cli
from support_context import Maps, Pairs, share, source_of, text_corpus
from torch import Tensor

BLOCK = 12


def feeds_of(folder: Path, corpus: Corpus, *providers: Maps, context_words: int = 0) -> Feeds:
    """Feeds of a model that looks at 12 tokens; the sources, with a cache in ``folder``, are
    closed.
    """
    sources = [source_of(provider, folder) for provider in providers]
    try:
        choice = ScoreChoice(context_words=context_words)
        return ModelScores.of(sources, choice).feeds(corpus, block_size=BLOCK)
    finally:
        for source in sources:
            source.close()


def scores_of(feed: ScoreFeed, split: Split) -> tuple[Tensor, list[list[str]]]:
    """All pieces of a split as one batch, in float, and their tokens as written."""
    pieces = split.pieces(BLOCK)
    batch = collate(split, pieces, np.arange(len(pieces)), pad_id=1)
    scores = feed.scores(batch)
    assert scores is not None
    scale = 255 if scores.dtype == torch.uint8 else 1
    spans = zip(pieces.starts.tolist(), pieces.lengths.tolist(), strict=True)
    return scores.float() / scale, [split.written[s : s + n] for s, n in spans]


@pytest.mark.parametrize("stream", [False, True])
def test_each_position_has_the_providers_score_of_the_text_so_far(
    tmp_path: Path, stream: bool
) -> None:
    corpus = text_corpus(tmp_path, stream=stream)
    feeds = feeds_of(tmp_path, corpus, Maps())
    for feed, split in zip((feeds.train, feeds.val, feeds.test), corpus.splits, strict=True):
        assert feed is not None
        scores, windows = scores_of(feed, split)
        for window, found in zip(windows, scores, strict=True):
            for i in range(1, len(window)):
                row = Row(window[i], window[: i + 1], window[:i])
                for channel in (0, 1):
                    np.testing.assert_allclose(
                        found[channel, i, : i + 1], share(row, channel), atol=1e-3
                    )


def test_nothing_stands_above_the_diagonal_or_where_a_piece_has_ended(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path)
    scores, windows = scores_of(feeds_of(tmp_path, corpus, Maps()).train, corpus.train)
    assert len({len(window) for window in windows}) > 1
    for window, found in zip(windows, scores, strict=True):
        assert (found[:, : len(window)].diagonal(dim1=1, dim2=2)[:, : len(window)] > 0).all()
        assert found.triu(1).abs().sum() == 0
        assert found[:, len(window) :].abs().sum() == 0


def test_keys_are_the_text_as_its_author_wrote_it(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    maps = Maps()
    feeds_of(tmp_path, corpus, maps)
    longest = max(maps.rows, key=lambda row: ("over" in "".join(row.keys), len(row.keys)))
    assert "".join(longest.keys).startswith("\nThe Ferry\nA boat came over")


def test_the_text_of_two_lines_is_not_mixed(tmp_path: Path) -> None:
    maps = Maps()
    feeds_of(tmp_path, text_corpus(tmp_path), maps)
    assert {row.keys[0] for row in maps.rows} > {"\n"}
    assert not any("\n" in key for row in maps.rows for key in row.keys[1:])


def test_a_second_run_reads_the_packed_file_and_asks_nothing(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    first = scores_of(feeds_of(tmp_path, corpus, Maps()).train, corpus.train)[0]
    again = Maps()
    with source_of(again, tmp_path) as source:
        source.cache.purge(source.identity.namespace)
    second = scores_of(feeds_of(tmp_path, corpus, again).train, corpus.train)[0]
    assert not again.rows
    assert torch.equal(first, second)


def test_forgetting_a_namespace_forgets_what_was_packed_from_it(tmp_path: Path) -> None:
    feeds_of(tmp_path, text_corpus(tmp_path), Maps())
    done = run_cli(tmp_path, "cache", "purge", "maps", "--yes", "--cache-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "packed").rglob("*.tri"))


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: str) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    whole = scores_of(feeds_of(tmp_path, corpus, Maps()).train, corpus.train)[0]
    for path in (tmp_path / "packed").rglob("*.tri"):
        data = path.read_bytes()
        flipped = data[:99] + bytes([data[99] ^ 1]) + data[100:]
        path.write_bytes({"flipped": flipped, "cut": data[:-9], "emptied": b""}[damage])
    again = Maps()
    mended = scores_of(feeds_of(tmp_path, corpus, again).train, corpus.train)[0]
    assert torch.equal(whole, mended)
    assert not again.rows  # the cache had them all


def test_another_reading_or_text_has_a_file_of_its_own(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    feeds_of(tmp_path, corpus, Maps())
    feeds_of(tmp_path, corpus, Maps(), context_words=3)
    feeds_of(tmp_path, corpus, Maps("other"))
    shorter = ModelScores.of([source_of(Maps(), tmp_path)]).feeds(corpus, block_size=BLOCK - 1)
    assert shorter.coverage == 1
    assert len(list((tmp_path / "packed").rglob("*.tri"))) == 4 * len(corpus.splits)


def test_a_run_that_fails_leaves_no_file(tmp_path: Path) -> None:
    class Failing(Maps):
        def _row(self, row: Row) -> np.ndarray:
            raise OSError("out of order")

    with pytest.raises(PluginError):
        feeds_of(tmp_path, text_corpus(tmp_path), Failing())
    assert not [p for p in (tmp_path / "packed").rglob("*") if p.is_file()]


def test_an_unknown_row_is_worth_the_mean_of_its_channel_and_coverage_tells(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    unknown = Maps(unknown=lambda row: row.query == " river")
    feeds = feeds_of(tmp_path, corpus, unknown)
    scores, windows = scores_of(feeds.train, corpus.train)
    places = [(p, i) for p, w in enumerate(windows) for i in range(1, len(w)) if w[i] == " river"]
    wanted = [(p, i) for p, w in enumerate(windows) for i in range(1, len(w))]
    entries = sum(i + 1 for _, i in wanted)
    assert feeds.coverage == 1 - sum(i + 1 for _, i in places) / entries
    known = [scores[p, 0, i, : i + 1] for p, i in wanted if (p, i) not in places]
    firsts = torch.ones(len(windows))  # a window's first token attends to itself
    mean = torch.cat([*known, firsts]).mean()
    for p, i in places:
        assert scores[p, 0, i, : i + 1].allclose(mean.expand(i + 1), atol=1e-3)


def test_what_was_unknown_is_asked_again(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    feeds_of(tmp_path, corpus, Maps(unknown=lambda row: row.query == " river"))
    again = Maps()
    assert feeds_of(tmp_path, corpus, again).coverage == 1
    assert {row.query for row in again.rows} == {" river"}


def test_a_provider_that_may_not_be_asked_and_has_scored_nothing_is_an_error(
    tmp_path: Path,
) -> None:
    source = source_of(Maps(), tmp_path, max_requests=0)
    with source, pytest.raises(BudgetExceeded, match="no score for any window"):
        ModelScores.of([source]).feeds(text_corpus(tmp_path), block_size=BLOCK)


def test_words_before_the_window_are_seen_and_the_window_alone_is_read(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    maps = Maps()
    scores, windows = scores_of(
        feeds_of(tmp_path, corpus, maps, context_words=4).train, corpus.train
    )
    before = windows[0][-4:]
    for i in range(1, len(windows[1])):
        words = [*before, *windows[1][: i + 1]]
        own = share(Row(words[-1], words, words[:-1]))[4:]
        np.testing.assert_allclose(scores[1, 0, i, : i + 1], own / own.sum(), atol=1e-3)
    assert any(row.keys[0] == before[0] for row in maps.rows)


def test_words_before_a_line_have_one_line_end_between_them(tmp_path: Path) -> None:
    written = ["\n", "One", " line", "\n", "\n", "Another", " one", "\n"]
    rows = window_rows(written, 4, 3, context_words=3)
    assert [row.keys for row in rows] == [
        ("One", " line", "\n", "Another"),
        ("One", " line", "\n", "Another", " one"),
    ]


def test_attention_weights_are_read_as_logarithms(tmp_path: Path) -> None:
    class Weights(Maps):
        transform = "log"

    corpus = text_corpus(tmp_path)
    plain = scores_of(feeds_of(tmp_path, corpus, Maps()).train, corpus.train)[0][:, :, 1:]
    logs = scores_of(feeds_of(tmp_path, corpus, Weights()).train, corpus.train)[0][:, :, 1:]
    inside = plain > 0
    wanted = 1 - torch.log(plain + 1e-4) / np.log(1e-4)
    assert torch.allclose(logs[inside], wanted[inside].clamp(0, 1), atol=2e-3)


def test_each_channel_is_read_as_the_provider_says_of_it(tmp_path: Path) -> None:
    class Mixed(Maps):
        transform: Any = ("log", "identity")
        normalised: Any = (False, True)

    corpus = text_corpus(tmp_path)
    mixed, logs, shares = (
        scores_of(feeds_of(tmp_path, corpus, maps, context_words=4).train, corpus.train)[0]
        for maps in (Mixed(), _Logs(), Maps())
    )
    assert torch.equal(mixed[:, 0], logs[:, 0])
    assert torch.equal(mixed[:, 1], shares[:, 1])
    assert not torch.equal(logs[:, 1], shares[:, 1])


class _Logs(Maps):
    transform = "log"
    normalised = False


def test_a_provider_that_says_too_little_of_its_channels_is_an_error(tmp_path: Path) -> None:
    class TooFew(Maps):
        transform: Any = "log"
        normalised: Any = (True, False, True)

    with source_of(TooFew(), tmp_path) as source, pytest.raises(PluginError, match="has 2"):
        reading_of(source)
    TooFew.normalised = True
    TooFew.transform = ("log", "identity", "log")
    with (
        source_of(TooFew(), tmp_path) as source,
        pytest.raises(PluginError, match="its 2 channels"),
    ):
        reading_of(source)


def test_a_transform_for_each_channel_is_the_providers_and_the_checkpoints_word_alone(
    tmp_path: Path,
) -> None:
    with source_of(Maps(), tmp_path) as source:
        kept = Scored(source.identity, transform="log,identity")
        assert reading_of(source, transform=kept.transforms).transform == kept.transform
        with pytest.raises(ConfigError, match="called 'log,identity'; choose one of: auto"):
            reading_of(source, transform="log,identity")


def test_pairs_and_texts_stand_side_by_side_the_pairs_first(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path)
    feeds = feeds_of(tmp_path, corpus, Maps(), Pairs("pairs"))
    assert feeds.channels == feeds.train.channels == ("pairs.length", "maps.one", "maps.two")
    mixed = scores_of(feeds.train, corpus.train)[0]
    alone = scores_of(feeds_of(tmp_path, corpus, Maps()).train, corpus.train)[0]
    table = scores_of(feeds_of(tmp_path, corpus, Pairs("pairs")).train, corpus.train)[0]
    assert torch.equal(mixed[:, 1:], alone)
    assert torch.equal(mixed[:, :1], table)


def test_the_control_gives_each_window_the_scores_of_another_of_its_length(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    feeds = feeds_of(tmp_path, corpus, Maps())
    own, windows = scores_of(feeds.train, corpus.train)
    other = scores_of(feeds.shuffled(1).train, corpus.train)[0]
    again = scores_of(feeds.shuffled(1).train, corpus.train)[0]
    assert torch.equal(other, again)
    full = [p for p, window in enumerate(windows) if len(window) == BLOCK]
    assert len(full) > 2
    for p in full:
        assert not torch.equal(other[p], own[p])
        assert any(torch.equal(other[p], own[q]) for q in full if q != p)


def test_the_control_gives_a_window_of_its_own_length_the_beginning_of_a_longer_one(
    tmp_path: Path,
) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    feeds = feeds_of(tmp_path, corpus, Maps())
    own, windows = scores_of(feeds.train, corpus.train)
    other = scores_of(feeds.shuffled(3).train, corpus.train)[0]
    last = len(windows) - 1
    n = len(windows[last])
    assert n < BLOCK
    found = other[last, :, :n, :n]
    assert any(torch.equal(found, own[p, :, :n, :n]) for p in range(last))


def test_the_control_needs_scores_in_context(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pairs of words"):
        feeds_of(tmp_path, text_corpus(tmp_path), Pairs()).shuffled(0)


Means = tuple[dict[tuple[str, str], Tensor], Tensor]
"""What each pair of words is worth, and what any other place is worth."""


def words_of(split: Split) -> list[list[str]]:
    """The words of all pieces of a split; empty where a token is none of the vocabulary's."""
    pieces, tokenizer = split.pieces(BLOCK), split.tokenizer
    tokens = [
        "" if token in tokenizer.special_ids else tokenizer.vocabulary[token]
        for token in split.ids.tolist()
    ]
    spans = zip(pieces.starts.tolist(), pieces.lengths.tolist(), strict=True)
    return [tokens[start : start + length] for start, length in spans]


def word_places(window: list[str]) -> list[tuple[int, int]]:
    """Queries and keys that are words; the first token of a window is no provider's query."""
    places = [(i, j) for i in range(1, len(window)) for j in range(i + 1)]
    return [(i, j) for i, j in places if window[i] and window[j]]


def means_of(own: Tensor, windows: list[list[str]], *, without: int | None = None) -> Means:
    """The means of the scores ``own`` of all windows but one, and of all places of them all."""
    kept: dict[tuple[str, str], list[Tensor]] = {}
    everywhere = []
    for p, window in enumerate(windows):
        for i, j in word_places(window):
            everywhere.append(own[p, :, i, j])
            if p != without:
                kept.setdefault((window[i], window[j]), []).append(own[p, :, i, j])
    means = {pair: torch.stack(found).mean(dim=0) for pair, found in kept.items()}
    return means, torch.stack(everywhere).mean(dim=0)


def assert_means(found: Tensor, window: list[str], means: Means) -> None:
    """Each place of the window has the mean of its pair."""
    known, absent = means
    words = word_places(window)
    for i in range(1, len(window)):
        for j in range(i + 1):
            wanted = known.get((window[i], window[j]), absent) if (i, j) in words else absent
            np.testing.assert_allclose(found[:, i, j], wanted, atol=1e-3)


@pytest.mark.parametrize("stream", [False, True])
def test_averaged_scores_of_new_text_are_the_means_of_the_training_text(
    tmp_path: Path, stream: bool
) -> None:
    corpus = text_corpus(tmp_path, stream=stream)
    feeds = feeds_of(tmp_path, corpus, Maps())
    means = means_of(scores_of(feeds.train, corpus.train)[0], words_of(corpus.train))
    averaged = feeds.averaged(corpus, block_size=BLOCK)
    for feed, split in ((averaged.val, corpus.val), (averaged.test, corpus.test)):
        assert feed is not None
        assert split is not None
        for found, window in zip(scores_of(feed, split)[0], words_of(split), strict=True):
            assert_means(found, window, means)


@pytest.mark.parametrize("stream", [False, True])
def test_averaged_scores_of_a_training_window_are_the_means_of_the_other_ones(
    tmp_path: Path, stream: bool
) -> None:
    corpus = text_corpus(tmp_path, stream=stream)
    feeds = feeds_of(tmp_path, corpus, Maps())
    own, windows = scores_of(feeds.train, corpus.train)[0], words_of(corpus.train)
    averaged = scores_of(feeds.averaged(corpus, block_size=BLOCK).train, corpus.train)[0]
    for p, window in enumerate(windows):
        assert_means(averaged[p], window, means_of(own, windows, without=p))


def test_averaged_scores_in_bytes_are_those_of_scores_in_bytes(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    feeds = feeds_of(tmp_path, corpus, Maps())
    exact = scores_of(feeds.averaged(corpus, block_size=BLOCK).train, corpus.train)[0]
    in_bytes = [
        as_bytes(feed.packed, tmp_path / f"{number}.tri")
        for number, feed in enumerate((feeds.train, feeds.val, feeds.test))
        if isinstance(feed, PackedFeed)
    ]
    averaged = average_pairs(in_bytes, corpus, block_size=BLOCK)
    coarse = scores_of(PackedFeed(averaged[0], feeds.channels), corpus.train)[0]
    assert averaged[0].dtype == np.uint8
    assert coarse.allclose(exact, atol=0.005)  # both files are off by 0.002 at most


def as_bytes(packed: PackedScores, path: Path) -> PackedScores:
    """The same scores in 255ths."""
    triangles = [packed.triangle(p).astype(np.float32) for p in range(len(packed))]
    return write_packed(
        path, {}, packed.channels, packed.lengths, "uint8", triangles, lambda: packed.coverage
    )


def test_averaged_scores_of_other_contexts_are_made_anew(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    gaps = feeds_of(tmp_path, corpus, Maps(unknown=lambda row: row.query == " river"))
    before = scores_of(gaps.averaged(corpus, block_size=BLOCK).val, corpus.val)[0]
    whole = feeds_of(tmp_path, corpus, Maps())
    after = scores_of(whole.averaged(corpus, block_size=BLOCK).val, corpus.val)[0]
    assert not torch.equal(before, after)


def test_scores_of_pairs_stay_as_they_are_beside_averaged_ones(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path)
    feeds = feeds_of(tmp_path, corpus, Maps(), Pairs("pairs"))
    alone = feeds_of(tmp_path, corpus, Maps()).averaged(corpus, block_size=BLOCK)
    mixed = feeds.averaged(corpus, block_size=BLOCK)
    assert mixed.train.channels == feeds.channels
    found = scores_of(mixed.train, corpus.train)[0]
    assert torch.equal(found[:, :1], scores_of(feeds.train, corpus.train)[0][:, :1])
    assert torch.equal(found[:, 1:], scores_of(alone.train, corpus.train)[0])


def test_scores_of_pairs_alone_cannot_be_averaged(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path)
    with pytest.raises(ConfigError, match="pairs of words"):
        feeds_of(tmp_path, corpus, Pairs()).averaged(corpus, block_size=BLOCK)


def test_averages_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    lengths = corpus.train.pieces(BLOCK).lengths
    description = {"channels": ["one"] * 2_000_000, "coverage": 1, "crc": 0}
    packed = PackedScores(tmp_path / "a.tri", np.zeros(0, np.float16), lengths, description)
    with pytest.raises(ConfigError, match=r"2\.\d GiB of memory, and at most 2 are allowed"):
        average_pairs([packed] * len(corpus.splits), corpus, block_size=BLOCK)


def test_a_reading_of_scores_in_context_is_refused_for_pairs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--context-words are for scores in context"):
        feeds_of(tmp_path, text_corpus(tmp_path), Pairs(), context_words=3)


def test_a_feed_reaches_another_process_as_the_name_of_its_file(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, stream=True)
    feed = feeds_of(tmp_path, corpus, Maps()).train
    parcel = pickle.dumps(feed)
    assert len(parcel) < 2000
    there = pickle.loads(parcel)
    assert torch.equal(scores_of(feed, corpus.train)[0], scores_of(there, corpus.train)[0])


def test_a_large_file_holds_bytes_that_are_off_by_at_most_one_part_in_500(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lengths = np.array([5, 3, 5])
    triangles = [random.random((2, n * (n + 1) // 2)).astype(np.float32) for n in lengths]
    path, key = tmp_path / "a.tri", {"any": "thing"}
    write_packed(path, key, ("x", "y"), lengths, "uint8", triangles, lambda: 1.0)
    packed = open_packed(path, key)
    assert packed is not None
    for piece, triangle in enumerate(triangles):
        assert np.abs(packed.triangle(piece) / 255 - triangle).max() <= 0.002
    assert open_packed(path, {"any": "other"}) is None
