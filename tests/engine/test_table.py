"""The score table, and batches of lines."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from llmattn.data.batches import IGNORED, BatchOrder, collate, sorted_batches
from llmattn.data.corpus import Pieces
from llmattn.errors import CacheError, CheckpointError
from llmattn.feeds.table import KnownPairs, ScoreTable, TableKind, join_channels
from support_engine import full_table, small_corpus

SIZE = 5


def known(pairs: dict[tuple[int, int], list[float]]) -> KnownPairs:
    query = np.array([q for q, _ in pairs], np.int64)
    key = np.array([k for _, k in pairs], np.int64)
    return KnownPairs.of(query, key, np.array(list(pairs.values()), np.float16).T)


def table(
    pairs: dict[tuple[int, int], list[float]],
    absent: list[float | None] | None = None,
    kind: TableKind = "float16",
) -> ScoreTable:
    channels = len(next(iter(pairs.values())))
    return ScoreTable(
        known(pairs),
        vocab_size=SIZE,
        channels=[f"c{i}" for i in range(channels)],
        absent=absent or [None] * channels,
        kind=kind,
    )


def values(found: torch.Tensor) -> torch.Tensor:
    """Scores as numbers from 0 to 1, as a model reads them."""
    return found.float() / 255 if found.dtype == torch.uint8 else found.float()


def lookup(scores: ScoreTable, query: int, key: int) -> list[float]:
    found = values(scores.gather(torch.tensor([[key, query]])))[0, :, 1, 0].tolist()
    # Eighths, which float16 holds exactly and uint8 nearly.
    return [round(8 * score) / 8 for score in found]


@pytest.mark.parametrize("kind", ["float16", "uint8", "sparse"])
def test_gather_gives_each_query_and_key_its_score(kind: TableKind) -> None:
    scores = table({(3, 2): [0.25, 0.5], (2, 2): [0.75, 1.0], (3, 3): [0.125, 0.0]}, kind=kind)
    assert scores.gather(torch.tensor([[2, 3]])).shape == (1, 2, 2, 2)
    assert [lookup(scores, 2, 2), lookup(scores, 3, 2)] == [[0.75, 1.0], [0.25, 0.5]]
    assert lookup(scores, 3, 3) == [0.125, 0.0]


@pytest.mark.parametrize(("kind", "error"), [("sparse", 0.0), ("uint8", 0.002)])
def test_every_kind_of_table_holds_the_same_scores(kind: TableKind, error: float) -> None:
    pairs = {(q, k): [q / 8, k / 7] for q in range(SIZE) for k in range(q)}
    pairs[(4, 4)] = [float("nan"), 0.5]
    ids = torch.arange(SIZE).repeat(2, 2)
    exact = values(table(pairs).gather(ids))
    assert (exact - values(table(pairs, kind=kind).gather(ids))).abs().max() <= error


@pytest.mark.parametrize("kind", ["float16", "uint8", "sparse"])
def test_unscored_pair_takes_the_mean_of_its_query_then_of_the_channel(kind: TableKind) -> None:
    scores = table({(2, 2): [0.25], (2, 3): [0.75], (3, 3): [0.125]}, kind=kind)
    assert lookup(scores, 2, 4) == [0.5]
    assert lookup(scores, 4, 2) == [0.375]


def test_unscored_pair_is_worth_what_the_provider_states() -> None:
    scores = table({(2, 2): [0.25, 0.5]}, absent=[0.0, None])
    assert lookup(scores, 2, 3) == [0.0, 0.5]


def test_last_rows_are_those_of_the_whole_matrix() -> None:
    ids = torch.tensor([[1, 2, 3, 4], [4, 3, 2, 1]])
    scores = full_table()
    assert torch.equal(scores.gather(ids, last=2), scores.gather(ids)[:, :, -2:])


@pytest.mark.parametrize("kind", ["float16", "uint8", "sparse"])
def test_added_scores_are_read_and_known_at_once(kind: TableKind) -> None:
    scores = table({(2, 2): [0.25], (2, 3): [0.75]}, kind=kind)
    scores.add(3, [4, 1], np.array([[1.0, 0.5]]))
    assert [lookup(scores, 3, 4), lookup(scores, 3, 1)] == [[1.0], [0.5]]
    assert scores.is_known(3, [0, 1, 4]).tolist() == [False, True, True]
    assert lookup(scores, 2, 2) == [0.25]


def test_a_pair_counts_as_known_when_every_channel_asked_about_is() -> None:
    scores = table({(2, 2): [0.25, float("nan")]})
    assert not scores.is_known(2, 2)
    assert scores.is_known(2, 2, slice(0, 1))


def test_channels_of_two_providers_stand_side_by_side() -> None:
    joined = join_channels([known({(1, 2): [0.5]}), known({(1, 2): [1.0], (0, 3): [0.25]})], SIZE)
    assert joined.query_ids.tolist() == [0, 1]
    assert joined.scores[:, 1].tolist() == [0.5, 1.0]
    assert np.isnan(joined.scores[0, 0])
    assert joined.scores[1, 0] == 0.25


@pytest.mark.parametrize("kind", ["float16", "uint8", "sparse"])
def test_a_pickled_table_is_the_same_shared_or_not(kind: TableKind, tmp_path: Path) -> None:
    scores = table({(2, 2): [0.25, 0.5], (1, 0): [float("nan"), 1.0]}, kind=kind)
    alone = pickle.loads(pickle.dumps(scores))
    scores.share(tmp_path)
    ids = torch.arange(SIZE)[None]
    for again in (alone, pickle.loads(pickle.dumps(scores))):
        assert torch.equal(again.gather(ids), scores.gather(ids))
        again.add(3, [1], np.array([[1.0], [1.0]]))
        assert lookup(again, 3, 1) == [1.0, 1.0]
    assert lookup(scores, 3, 1) != [1.0, 1.0]


def test_a_shared_table_is_one_file_that_goes_with_it(tmp_path: Path) -> None:
    scores = full_table(100)
    scores.share(tmp_path)
    parcel = pickle.dumps(scores)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size == 2 * 2 * 100**2
    other = pickle.loads(parcel)
    del scores
    assert not list(tmp_path.iterdir())
    assert torch.equal(
        other.gather(torch.tensor([[1, 2]])), full_table(100).gather(torch.tensor([[1, 2]]))
    )


def test_a_table_whose_file_is_on_another_machine_is_built_anew(tmp_path: Path) -> None:
    scores = full_table()
    scores.share(tmp_path)
    parcel = pickle.dumps(scores)
    next(tmp_path.iterdir()).unlink()
    ids = torch.arange(12)[None]
    assert torch.equal(pickle.loads(parcel).gather(ids), scores.gather(ids))


def test_sharing_where_there_is_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="TMPDIR"):
        full_table().share(tmp_path / "none")


def test_state_gives_back_the_same_table() -> None:
    scores = table({(2, 2): [0.25, 0.5], (1, 0): [float("nan"), 1.0]}, absent=[0.0, None])
    again = ScoreTable.from_state(scores.state(), vocab_size=SIZE, channels=2)
    ids = torch.arange(SIZE)[None]
    assert torch.equal(again.gather(ids), scores.gather(ids))


@pytest.mark.parametrize(
    "change",
    [
        {"query_ids": torch.tensor([7, 9], dtype=torch.int32)},
        {"query_ids": torch.tensor([-1, 0], dtype=torch.int32)},
        {"scores": torch.zeros(3, 2, dtype=torch.float16)},
        {"query_ids": torch.tensor([2, 1], dtype=torch.int32)},
        {"query_ids": torch.tensor([1, 2])},
        {"scores": torch.full((1, 2), 2.0, dtype=torch.float16)},
        {"scores": torch.zeros(1, 2)},
        {"vocab_size": "many"},
        {"vocab_size": 10**9},
        {"channels": [7]},
        {"channels": None},
        {"absent": []},
        {"absent": ["x"]},
        {"absent": [float("nan")]},
        {"key_ids": None},
    ],
)
def test_damaged_state_is_refused(change: dict[str, object]) -> None:
    state = {**table({(1, 0): [0.5], (2, 2): [0.25]}).state(), **change}
    with pytest.raises(CheckpointError, match="damaged"):
        ScoreTable.from_state(state, vocab_size=SIZE, channels=1)


def pieces(*lengths: int) -> Pieces:
    return Pieces(np.cumsum(lengths) - np.array(lengths), np.array(lengths))


def test_an_epoch_draws_every_piece_once() -> None:
    order = BatchOrder(pieces(*range(1, 24)), batch_size=4, seed=1)
    drawn = np.concatenate([order.batch(i) for i in range(order.batches_per_epoch)])
    assert sorted(drawn.tolist()) == list(range(23))


def test_a_batch_follows_from_seed_and_index_alone() -> None:
    lengths = pieces(*range(1, 24))
    one, other = (BatchOrder(lengths, batch_size=4, seed=5) for _ in range(2))
    for index in range(20):
        one.batch(index)
    assert one.batch(13).tolist() == other.batch(13).tolist()
    assert one.batch(13).tolist() != BatchOrder(lengths, batch_size=4, seed=6).batch(13).tolist()


def test_evaluation_batches_hold_every_piece_within_their_size() -> None:
    lengths = pieces(*([1, 7, 3, 9, 2] * 5))
    batches = sorted_batches(lengths, 20)
    assert sorted(np.concatenate(batches).tolist()) == list(range(25))
    assert all(len(b) * lengths.lengths[b].max() <= 20 for b in batches)


def test_padding_stands_on_the_right_and_has_no_target(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    split = corpus.train
    cut = split.pieces(64)
    short, long = int(cut.lengths.argmin()), int(cut.lengths.argmax())
    batch = collate(split, cut, np.array([long, short]), pad_id=1)
    inside = int(cut.lengths[short])
    assert (batch.targets[1, inside:] == IGNORED).all()
    assert (batch.ids[1, inside:] == 1).all()
    assert torch.equal(batch.ids[1, 1:inside], batch.targets[1, : inside - 1])
    assert not (batch.targets[0] == IGNORED).any()


@pytest.mark.parametrize("kind", ["float16", "uint8", "sparse"])
def test_what_was_added_is_read_merged_and_kept_in_every_kind_of_table(kind: TableKind) -> None:
    nan = float("nan")
    scores = table({(3, 2): [0.25, nan], (2, 2): [0.75, 1.0]}, kind=kind)
    scores.add(3, [4, 2], np.array([[0.5, nan], [0.125, 0.625]]))
    scores.add(3, [4], np.array([[nan], [1.0]]))
    scores.add(0, [1], np.array([[0.0], [0.375]]))
    for grown in (scores, pickle.loads(pickle.dumps(scores))):
        assert [lookup(grown, 3, 2), lookup(grown, 3, 4)] == [[0.25, 0.625], [0.5, 1.0]]
        assert [lookup(grown, 0, 1), lookup(grown, 2, 2)] == [[0.0, 0.375], [0.75, 1.0]]
        assert grown.is_known([3, 3, 0, 1], [2, 4, 1, 0]).tolist() == [True, True, True, False]
    assert len(scores.known.query_ids) == len(scores.state()["query_ids"]) == 4


def test_adding_a_row_makes_nothing_as_large_as_the_table() -> None:
    size = 1000
    query, key = np.divmod(np.arange(size * size), size)
    large = ScoreTable(
        KnownPairs.of(query, key, np.zeros((1, size * size), np.float16)),
        vocab_size=size,
        channels=["c"],
        absent=[None],
        kind="sparse",
    )
    tracemalloc.start()
    for word in range(50):
        large.add(word, [word, word + 1], np.ones((1, 2)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20
    assert large.is_known(3, 4)
