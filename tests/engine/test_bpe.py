"""Pieces of words as tokens, and the scores of the words that they make up."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llmattn.data.batches import Batch
from llmattn.data.bpe import BpeTokenizer
from llmattn.data.config import TextConfig
from llmattn.data.corpus import encode_lines, load_corpus
from llmattn.data.text_tokenizer import read_tokenizer, train_tokenizer
from llmattn.errors import CheckpointError, ConfigError
from llmattn.feeds.feed import TableFeed
from llmattn.feeds.growing import TableRows
from llmattn.feeds.pairs import corpus_pairs
from llmattn.feeds.table import KnownPairs, ScoreTable
from llmattn.feeds.windows import window_rows
from llmattn.sampling.options import SampleOptions
from llmattn.sampling.sampler import Sampler
from llmattn.training.checkpoint import load_checkpoint
from support_cli import run_cli
from support_engine import SMALL, write_corpus
from tokenizers import Tokenizer

LINES = [
    "The singing king, singing; the ring is the king's.",
    "Kings sing thinner things. Don't bring the thing!",
    "other mothers bother others, rather than gather",
] * 3
PIECES = BpeTokenizer.train(LINES, vocab_size=560)
WORDS = PIECES.scored_words
TAILS = [" ".join(line.split()[start:]) for line in LINES[:3] for start in range(5)]


untimed = settings(deadline=None)


def table(absent: float | None = None) -> ScoreTable:
    """A score of its own for every pair of words."""
    size = len(WORDS)
    query, key = np.divmod(np.arange(size**2), size)
    known = (query > 1) & (key > 1)
    scores = np.random.default_rng(0).random((1, int(known.sum())))
    return ScoreTable(
        KnownPairs.of(query[known], key[known], scores.astype(np.float16)),
        vocab_size=size,
        channels=["c"],
        absent=[absent],
    )


TABLE = table()
FEED = TableFeed(TABLE, PIECES)


def rows(ids: list[int]) -> torch.Tensor:
    """The scores of one window, ``(T, T)``."""
    window = torch.tensor([ids])
    found = FEED.scores(Batch(window, window, np.zeros(1, np.int64)))
    return found[0, 0]


def spelled(text: str) -> list[str]:
    return next(iter(PIECES.written([text])))[:-1]


any_ids = st.lists(st.integers(1, len(PIECES) - 1), min_size=1, max_size=30)
tails = st.sampled_from(TAILS)
real_ids = st.tuples(tails, tails).map(lambda texts: PIECES.encode(" ".join(texts)))


@untimed
@given(st.text())
def test_any_text_is_written_in_pieces_and_read_back(text: str) -> None:
    assert PIECES.detokenise(PIECES.encode(text)) == text.strip()
    assert PIECES.unk_id not in PIECES.encode(text)


@untimed
@given(st.lists(st.text(min_size=1), min_size=1))
def test_written_pieces_add_up_whatever_the_characters(lines: list[str]) -> None:
    split = encode_lines([*lines, "a"], PIECES)
    assert "".join(split.written) == "".join(f"\n{line}\n" for line in split.texts)
    assert len(split.written) == len(split.ids)


def test_the_last_piece_of_a_word_is_another_token_than_the_same_letters_inside() -> None:
    for text in (" thing", " things"):
        assert spelled("the" + text)[-1] == text
    assert spelled("thinging") == ["th", "inging"]
    assert spelled("ingin")[0] == "ing"
    inside, last = PIECES.encode("ingin")[0], PIECES.encode("thing")[-1]
    assert PIECES.detokenise([inside]) == PIECES.detokenise([last]) == "ing"
    assert inside != last


@untimed
@given(st.one_of(any_ids, real_ids), st.data())
def test_changing_later_pieces_never_changes_an_earlier_row(
    ids: list[int], data: st.DataObject
) -> None:
    end = data.draw(st.integers(1, len(ids)))
    later = data.draw(st.one_of(any_ids, real_ids))
    other = ids[:end] + later
    causal = torch.ones(end, end).tril().bool()
    ours, theirs = rows(ids)[:end, :end], rows(other)[:end, :end]
    assert torch.equal(ours[causal], theirs[causal])


def test_a_row_before_the_last_piece_of_its_word_is_flat() -> None:
    found = rows(PIECES.encode("the king Kings"))
    assert spelled("the king Kings") == ["th", "e", " king", " ", "Kings"]
    flat = [len(set(found[place, : place + 1].tolist())) == 1 for place in (2, 3, 4)]
    assert flat == [False, True, False]


def test_every_piece_of_a_word_has_the_words_score_as_a_key() -> None:
    found = rows(PIECES.encode("the king"))
    assert spelled("the king") == ["th", "e", " king"]
    words = [WORDS.index(word) for word in ("the", "king")]
    the, king = TABLE.gather(torch.tensor([words]))[0, 0, 1].tolist()
    assert found[2].tolist() == [the, the, king]


def test_a_word_has_one_score_in_whatever_case_and_after_a_space_or_none() -> None:
    begins = np.array([True] + [False] * 30)
    ids = np.array([PIECES.eol_id, *PIECES.encode("THE the (The)")])
    queries, _ = PIECES.word_ids(ids, begins[: len(ids)])
    assert [WORDS[index] for index in queries if index > 1] == ["the", "the", "the"]


def test_a_word_that_the_window_cuts_is_unknown() -> None:
    ids = np.array(PIECES.encode("brings"))
    queries, keys = PIECES.word_ids(ids, np.array([True, True, False]))
    assert queries.tolist() == keys.tolist() == [0, 0, 0]


def test_sampled_rows_are_those_of_training() -> None:
    ids = [PIECES.eol_id, *PIECES.encode("the king brings others the thing")]
    whole = rows(ids)
    for end in range(1, len(ids) + 1):
        new = TableRows(TABLE, PIECES).rows(torch.tensor([ids[:end]]), 1)[0, 0, 0]
        assert torch.equal(new, whole[end - 1, :end])


def test_pairs_are_asked_for_words_as_with_the_tokenizer_of_words(tmp_path: Path) -> None:
    path = write_corpus(tmp_path)
    pieces, words = (
        load_corpus(path, TextConfig(tokenizer=name, vocab_size=520)) for name in ("bpe", "words")
    )
    assert pieces.words == words.words
    assert pieces.train_words() == words.train_words()
    ours, theirs = (corpus_pairs(corpus, 256)[1] for corpus in (pieces, words))
    assert ours.rows(pieces.words) == theirs.rows(words.words)


@pytest.mark.parametrize("preset", ["words", "seed", "bpe"])
def test_every_tokenizer_is_read_back_from_plain_data_and_from_a_pickle(preset: str) -> None:
    tokenizer = train_tokenizer(LINES, preset=preset, min_count=2, vocab_size=530)
    for again in (
        read_tokenizer(json.loads(json.dumps(tokenizer.to_dict()))),
        pickle.loads(pickle.dumps(tokenizer)),
    ):
        assert again.vocabulary == tokenizer.vocabulary
        assert again.scored_words == tokenizer.scored_words
        assert again.encode_batch(LINES) == tokenizer.encode_batch(LINES)


def test_other_programs_read_text_back_with_the_library_alone() -> None:
    theirs = Tokenizer.from_str(PIECES.library_json())
    assert (
        theirs.decode(theirs.encode(LINES[1] + " \u00e9\u2020").ids) == LINES[1] + " \u00e9\u2020"
    )


@pytest.mark.parametrize("change", [{"words": "{}"}, {"merges": "{}"}, {"merges": None}])
def test_damaged_description_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="tokenizer"):
        read_tokenizer({**PIECES.to_dict(), **change})


def test_the_vocabulary_has_the_wanted_size_or_what_the_text_yields() -> None:
    text = [" ".join(f"{a}{b}{c}" * 2 for b in "xyz" for c in "uvw") for a in "abcdefgh"] * 2
    assert len(BpeTokenizer.train(text, vocab_size=512)) == 512
    assert len(PIECES) < 560


def test_two_trainings_on_one_text_give_one_tokenizer() -> None:
    assert BpeTokenizer.train(LINES, vocab_size=560).vocabulary == PIECES.vocabulary


def test_too_small_a_vocabulary_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="--vocab-size must be at least 512"):
        BpeTokenizer.train(LINES, vocab_size=100)


def test_rows_in_context_do_not_tell_a_character_before_its_last_piece() -> None:
    split = encode_lines(["x \u20ac"], PIECES)
    queries = [row.query for row in window_rows(split.written, 0, len(split.ids))]
    assert queries[:2] == ["x", " "]
    assert queries[-2:] == ["\u20ac", "\n"]
    assert "\u20ac" not in queries[:-2]


def test_a_growing_line_shows_whole_characters_only() -> None:
    line = PIECES.line(" The king \u00e9")
    shown = [line.text()] + [line.add(token) for token in PIECES.encode("x\u20acy")]
    assert "".join(shown) + line.rest() == "The king \u00e9x\u20acy"
    assert all("\ufffd" not in part for part in shown)


def test_a_model_of_pieces_trains_goes_on_and_samples(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    text = ("--tokenizer", "bpe", "--vocab-size", "520", "--stream", "--test-fraction", "0.1")
    steps = ("--eval-every", "2", "--provider", "random")
    done = run_cli(
        tmp_path, "train", *text, *SMALL, *steps, "--corpus", "corpus.txt", "--steps", "4"
    )
    assert done.returncode == 0, done.stderr
    done = run_cli(tmp_path, "train", "--resume", "--steps", "6")
    assert done.returncode == 0, done.stderr
    prompt = "the Caf\u00e9"
    with Sampler(load_checkpoint(tmp_path / "checkpoint.pt"), seed=1) as sampler:
        (line,) = sampler.sample(prompt, SampleOptions(max_new=20))
        assert line.startswith(prompt)
        assert sampler.unknown_words(prompt) == []
