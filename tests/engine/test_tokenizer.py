"""The word tokenizer."""

from __future__ import annotations

import pytest
from llmattn.data.joining import join_tokens
from llmattn.data.text_tokenizer import read_tokenizer
from llmattn.data.tokenizer import WordTokenizer
from llmattn.errors import CheckpointError, ConfigError, CorpusError


def tokens(text: str, preset: str = "words") -> list[str]:
    return WordTokenizer.train([text], preset=preset).words(text)


def test_words_keep_their_inner_apostrophes_and_marks_stand_alone() -> None:
    assert tokens("Don't go, O'er!") == ["don't", "go", ",", "o'er", "!"]


def test_seed_preset_keeps_words_and_full_stops_alone() -> None:
    assert tokens("It's a-b... c!", "seed") == ["it", "s", "a", "b", ".", ".", ".", "c"]


def test_rare_and_new_words_become_unk() -> None:
    tokenizer = WordTokenizer.train(["a a b", "a c"], min_count=2)
    assert tokenizer.decode(tokenizer.encode("a b zebra")) == ["a", "<unk>", "<unk>"]


def test_special_tokens_written_in_a_text_are_ordinary_marks_and_words() -> None:
    tokenizer = WordTokenizer.train(["a <eol> b <unk>"])
    assert tokenizer.eol_id not in tokenizer.encode("a <eol> b")
    assert tokenizer.decode(tokenizer.encode("<eol>")) == ["<", "eol", ">"]


def test_frequent_words_have_low_ids() -> None:
    assert WordTokenizer.train(["b b b a a c"]).vocabulary == ("<unk>", "<eol>", "b", "a", "c")


def test_a_description_gives_back_the_same_tokenizer() -> None:
    tokenizer = WordTokenizer.train(["One two. Three's four"], preset="seed")
    again = read_tokenizer(tokenizer.to_dict())
    assert again.vocabulary == tokenizer.vocabulary
    assert again.encode("Two. three's") == tokenizer.encode("Two. three's")


WORDS = ["<unk>", "<eol>", "a", "b"]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "{}",
        {},
        {"preset": "words"},
        {"preset": "words", "tokenizer": "{}"},
        {"preset": "words", "vocabulary": None},
        {"preset": "words", "vocabulary": "<unk><eol>"},
        {"preset": "words", "vocabulary": dict.fromkeys(WORDS, 0)},
        {"preset": "words", "vocabulary": []},
        {"preset": "words", "vocabulary": WORDS[:1]},
        {"preset": "words", "vocabulary": WORDS[::-1]},
        {"preset": "words", "vocabulary": [*WORDS, "a"]},
        {"preset": "words", "vocabulary": [*WORDS, ""]},
        {"preset": "words", "vocabulary": [*WORDS, 7]},
        {"preset": "words", "vocabulary": [*WORDS, "\ud800"]},
        {"preset": ["words"], "vocabulary": WORDS},
        {"preset": "regex", "vocabulary": WORDS},
        {"preset": 7, "vocabulary": WORDS},
        {"preset": "bpe", "vocabulary": WORDS},
        {"preset": "bpe", "merges": [], "words": WORDS[1:]},
        {"preset": "bpe", "merges": [["a"]], "words": WORDS},
        {"preset": "bpe", "merges": [["a", "b", "c"]], "words": WORDS},
        {"preset": "bpe", "merges": ["ab"], "words": WORDS},
        {"preset": "bpe", "merges": [["a", "bc"]], "words": WORDS},
        {"preset": "bpe", "merges": [["a∎", "b"]], "words": WORDS},
        {"preset": "bpe", "merges": [["<unk>", "b"]], "words": WORDS},
        {"preset": "bpe", "merges": {"a": "b"}, "words": WORDS},
    ],
)
def test_what_describes_no_tokenizer_is_refused(data: object) -> None:
    with pytest.raises(CheckpointError, match="tokenizer"):
        read_tokenizer(data)


def test_unknown_preset_names_the_presets() -> None:
    with pytest.raises(ConfigError, match="words, seed"):
        WordTokenizer.train(["a"], preset="bytes")


def test_min_count_above_every_word_is_a_corpus_error() -> None:
    with pytest.raises(CorpusError, match="--min-count"):
        WordTokenizer.train(["a b c"], min_count=2)


@pytest.mark.parametrize(
    "text",
    [
        "first citizen: speak, speak.",
        "'tis well; o' course (so he said) it cost $5!",
        '"who goes there?" asks he; "a friend," says she.',
        "a well-known man",
        "one line.\nanother line.",
    ],
)
def test_joined_tokens_read_as_they_were_written(text: str) -> None:
    lines = []
    for line in text.split("\n"):
        lines += [*tokens(line), "<eol>"]
    assert join_tokens(lines[:-1]) == text
