"""Reading a corpus, and the word pairs in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmattn.data.config import TextConfig
from llmattn.data.corpus import encode_lines, load_corpus
from llmattn.data.tokenizer import WordTokenizer
from llmattn.errors import ConfigError, CorpusError
from llmattn.feeds.pairs import corpus_pairs, count_pairs
from llmattn.rows import Row
from support_engine import small_corpus

untimed = settings(deadline=None)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "text.txt"
    path.write_bytes(data)
    return path


def test_missing_corpus_says_where_to_put_one(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="one sentence a line"):
        load_corpus(tmp_path / "data" / "corpus.txt")


def test_folder_as_corpus_is_a_corpus_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="directory"):
        load_corpus(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\n \n\t\n", "\ufeff\n".encode()])
def test_empty_corpus_is_a_corpus_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CorpusError, match="holds no text"):
        load_corpus(write(tmp_path, data))


def test_text_that_is_not_utf8_names_line_and_byte(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"line 3 holds the byte 0xe9 \(byte 9 of"):
        load_corpus(write(tmp_path, b"one\ntwo\n\xe9t\xe9\n"))


@pytest.mark.parametrize(("lines", "fraction"), [(1, 0.5), (4, 0.1), (3, 0.9)])
def test_corpus_too_small_for_both_parts_says_so(
    tmp_path: Path, lines: int, fraction: float
) -> None:
    path = write(tmp_path, b"a b c\n" * lines)
    with pytest.raises(CorpusError, match="--val-fraction"):
        load_corpus(path, TextConfig(val_fraction=fraction))


def test_val_fraction_outside_0_to_1_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        load_corpus(write(tmp_path, b"a\nb\n"), TextConfig(val_fraction=1.0))


def test_validation_takes_the_last_lines(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path, b"a a\nb b\na b\nb a\n"), TextConfig(val_fraction=0.25))
    assert [corpus.tokenizer.decode(line) for line in corpus.val.lines()] == [["b", "a"]]


def test_parts_follow_each_other_train_validation_test(tmp_path: Path) -> None:
    corpus = load_corpus(
        write(tmp_path, b"a\nb\na b\nb a\n"), TextConfig(val_fraction=0.25, test_fraction=0.25)
    )
    assert corpus.test is not None
    told = [[corpus.tokenizer.decode(line) for line in split.lines()] for split in corpus.splits]
    assert told == [[["a"], ["b"]], [["a", "b"]], [["b", "a"]]]


def test_no_test_part_is_held_apart_unless_asked_for(tmp_path: Path) -> None:
    assert small_corpus(tmp_path).test is None


@pytest.mark.parametrize(("val", "test", "part"), [(0.5, 0.1, "the test"), (0.5, 0.5, "training")])
def test_corpus_too_small_for_three_parts_names_the_empty_one(
    tmp_path: Path, val: float, test: float, part: str
) -> None:
    with pytest.raises(CorpusError, match=f"for {part}: .* --test-fraction"):
        load_corpus(
            write(tmp_path, b"a\nb\na b\nb a\n"), TextConfig(val_fraction=val, test_fraction=test)
        )


def test_test_fraction_outside_0_to_1_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--test-fraction"):
        load_corpus(write(tmp_path, b"a\nb\n"), TextConfig(test_fraction=-0.1))


TEXT = "First Citizen:\n\nWe  are (all) resolv'd -- O'er it ;\n\n\n ...  'Tis \u0130!\n"


def test_written_tokens_of_a_line_are_the_line(tmp_path: Path) -> None:
    corpus = load_corpus(
        write(tmp_path, TEXT.encode()), TextConfig(val_fraction=0.34, tokenizer="seed")
    )
    assert corpus.train.written == [
        *("\n", "First", " Citizen", ":\n"),
        *("\n", "We", "  are", " (all", ") resolv", "'d", " -- O", "'er", " it", " ;\n"),
    ]
    assert len(corpus.train.written) == len(corpus.train.ids)


def test_written_tokens_of_a_stream_are_the_text_with_its_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path, (TEXT + "!\nend\n\n\n").encode())
    corpus = load_corpus(path, TextConfig(val_fraction=0.2, stream=True, tokenizer="seed"))
    assert "".join(corpus.train.written) == "\n" + TEXT.replace("\n ...", "\n...") + "!\n"
    assert "".join(corpus.val.written) == "\nend\n\n\n"
    assert [len(split.written) for split in corpus.splits] == [
        len(split.ids) for split in corpus.splits
    ]


@untimed
@given(st.lists(st.text(min_size=1), min_size=1), st.sampled_from(["words", "seed"]))
def test_written_tokens_add_up_whatever_the_characters(lines: list[str], preset: str) -> None:
    tokenizer = WordTokenizer.train(["a"], preset=preset)
    split = encode_lines([*lines, "a"], tokenizer)
    assert "".join(split.written) == "".join(f"\n{line}\n" for line in split.texts)
    assert len(split.written) == len(split.ids)


def test_a_stream_has_one_mark_between_two_lines(tmp_path: Path) -> None:
    corpus = load_corpus(
        write(tmp_path, b"a b\n\nb\na\na\n"), TextConfig(val_fraction=0.25, stream=True)
    )
    a, b, eol = *corpus.tokenizer.encode("a b"), corpus.tokenizer.eol_id
    assert corpus.train.ids.tolist() == [eol, a, b, eol, b, eol, a, eol]
    assert corpus.train.lines() == [[a, b], [b], [a]]
    assert (len(corpus.train), corpus.train.targets) == (3, 7)


def test_windows_of_a_stream_follow_each_other_over_line_ends(tmp_path: Path) -> None:
    corpus = load_corpus(
        write(tmp_path, b"a b\nb\na\na\n"), TextConfig(val_fraction=0.25, stream=True)
    )
    windows = corpus.train.pieces(3)
    assert windows.starts.tolist() == [0, 3, 6]
    assert windows.lengths.tolist() == [3, 3, 1]
    assert windows.lengths.sum() == corpus.train.targets


def test_pairs_of_a_stream_reach_over_line_ends(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path, b"a\nb\na\n"), TextConfig(val_fraction=0.34, stream=True))
    pairs, _ = corpus_pairs(corpus, 4)
    assert Row("b", ("a", "b")) in pairs.rows(corpus.tokenizer.vocabulary)


def test_lines_and_stream_have_the_same_vocabulary(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT.encode())
    one, other = (
        load_corpus(path, TextConfig(val_fraction=0.34, stream=kind)) for kind in (False, True)
    )
    assert one.tokenizer.vocabulary == other.tokenizer.vocabulary


def test_blank_lines_change_the_digest_of_a_stream_which_shows_them_to_providers(
    tmp_path: Path,
) -> None:
    plain, other = write(tmp_path, b"a b\nb\na\n"), tmp_path / "other.txt"
    other.write_bytes(b"a b\n\nb\na\n")
    one, two = (
        load_corpus(path, TextConfig(val_fraction=0.34, stream=True)) for path in (plain, other)
    )
    assert one.train.written != two.train.written
    assert one.digest != two.digest


def test_blank_lines_do_not_change_the_digest_of_lines_which_leave_them_out(
    tmp_path: Path,
) -> None:
    plain, other = write(tmp_path, b"a b\nb\na\n"), tmp_path / "other.txt"
    other.write_bytes(b"\na b\n\nb\n\n\na\n\n")
    one, two = (load_corpus(path, TextConfig(val_fraction=0.34)) for path in (plain, other))
    assert one.digest == two.digest


def test_vocabulary_comes_from_the_training_lines_alone(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path, b"a\nb\na\nsecret\n"), TextConfig(val_fraction=0.25))
    assert "secret" not in corpus.tokenizer.vocabulary
    assert corpus.val.lines() == [[corpus.tokenizer.unk_id]]


def test_unknown_words_are_kept_from_providers(tmp_path: Path) -> None:
    corpus = load_corpus(
        write(tmp_path, b"a a rare\na b b\n"), TextConfig(min_count=2, val_fraction=0.5)
    )
    assert corpus.train_words() == [["a", "a"]]


def test_what_is_read_of_a_stream_are_the_windows_of_the_model(tmp_path: Path) -> None:
    path = write(tmp_path, b"a rare a b\nb b a\na b\n")
    corpus = load_corpus(path, TextConfig(min_count=2, val_fraction=0.34, stream=True))
    # <eol> a rare a | b <eol> b b | a
    assert corpus.train_words(4) == [["a", "a"], ["b", "b", "b"], ["a"]]
    lines = load_corpus(path, TextConfig(min_count=2, val_fraction=0.34))
    assert lines.train_words(4) == lines.train_words() == corpus.train_words()


def test_what_is_read_of_a_stream_of_one_line_are_its_windows_too(tmp_path: Path) -> None:
    corpus = load_corpus(
        write(tmp_path, b"a b b a b\na b\n"), TextConfig(val_fraction=0.5, stream=True)
    )
    # <eol> a b b | a b
    assert corpus.train_words(4) == [["a", "b", "b"], ["a", "b"]]


def test_windows_line_ends_and_a_byte_order_mark_leave_no_trace(tmp_path: Path) -> None:
    corpus = load_corpus(
        write(tmp_path, "\ufeffa b\r\nb a\r\n".encode()), TextConfig(val_fraction=0.5)
    )
    assert corpus.train_words() == [["a", "b"]]


def test_lines_longer_than_the_block_are_cut_without_losing_a_target() -> None:
    tokenizer = WordTokenizer.train(["a b c d e f g"])
    split = encode_lines(["a b c d e f g", "a", "b c d"], tokenizer)
    pieces = split.pieces(3)
    assert pieces.lengths.tolist() == [3, 3, 2, 2, 3, 1]
    targets: list[int] = []
    for start, length in zip(pieces.starts, pieces.lengths, strict=True):
        targets += split.ids[start + 1 : start + length + 1].tolist()
    assert targets == [index for line in split.lines() for index in [*line, tokenizer.eol_id]]


# A query with many keys is counted in another way than one with few.
SOME = ["a", "b", *(f"w{n}" for n in range(20))]
words = st.sampled_from(["a", "b", "a", "b", "rare", *SOME])


@untimed
@given(
    st.lists(st.lists(words, min_size=1, max_size=9), min_size=1, max_size=6),
    st.integers(1, 6),
)
def test_pairs_are_those_of_a_plain_double_loop(texts: list[list[str]], block: int) -> None:
    tokenizer = WordTokenizer.train([" ".join(SOME * 2), "rare"], min_count=2)
    split = encode_lines([" ".join(text) for text in texts], tokenizer)
    size = len(tokenizer)
    found = count_pairs(split, block_size=block)
    expected = np.zeros((size, size), int)
    for text in texts:
        line = [tokenizer.eol_id, *tokenizer.encode(" ".join(text))]
        for start in range(0, len(line), block):
            piece = line[start : start + block]
            for i, query in enumerate(piece):
                for key in piece[: i + 1]:
                    expected[query, key] += 1
    expected[list(tokenizer.special_ids)] = 0
    expected[:, list(tokenizer.special_ids)] = 0
    where = np.nonzero(expected)
    assert found.query_ids.tolist() == where[0].tolist()
    assert found.key_ids.tolist() == where[1].tolist()
    assert found.counts.tolist() == expected[where].tolist()


def test_rows_ask_each_query_once_and_never_about_special_tokens(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    pairs = count_pairs(corpus.train, block_size=64)
    rows = pairs.rows(corpus.tokenizer.vocabulary)
    queries = [row.query for row in rows]
    assert sorted(queries) == sorted(set(corpus.tokenizer.vocabulary) - {"<unk>", "<eol>"})
    assert sum(len(row.keys) for row in rows) == len(pairs)
    assert not {"<unk>", "<eol>"} & {key for row in rows for key in row.keys}
