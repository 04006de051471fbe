"""Words of every script, and samples of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from llmattn.data.bpe import BpeTokenizer
from llmattn.data.config import TextConfig
from llmattn.data.corpus import encode_lines, load_corpus
from llmattn.data.tokenizer import WordTokenizer, text_pieces, text_words
from llmattn.matrix import get_attention_matrix
from support_cli import FAILED, run_cli, run_process
from support_engine import SMALL

WORDS = {
    "我们是Python程序员，2024年。": "我 们 是 python 程 序 员 ， 2024 年 。",
    "彼は学校へ行きました。": "彼 は 学 校 へ 行 きました 。",
    "カタカナー・テスト": "カタカナー ・ テスト",
    "大韓民國은 나라": "大 韓 民 國 은 나라",
    "𠀀𠮷葛\U000e0100城々〇": "𠀀 𠮷 葛\U000e0100 城 々 〇",
    "สวัสดีครับ ไทย": "สวัสดีครับ ไทย",
    "می\u200cخواهم، بخوانم": "می\u200cخواهم ، بخوانم",
    "क्\u200dष में।": "क्\u200dष में ।",
    "שלום \u200fעולם.": "שלום עולם .",
    "👩\u200d👩\u200d👧 👍🏽❤️ 🇩🇪🇫🇷 1️⃣": "👩\u200d👩\u200d👧 👍🏽 ❤️ 🇩🇪 🇫🇷 1️⃣",
    "؀123 ۝": "؀ 123 ۝",
    "Don\u2019t e\u0301te\u0301 so\u00adft a\u200bb": "don\u2019t été soft ab",
    "\u200b\u00ad\ufeff\u2060\x07": "",
    "«Oui», ¿qué?": "« oui » , ¿ qué ?",
}


@pytest.mark.parametrize(("text", "words"), WORDS.items())
def test_words_of_every_script_are_found(text: str, words: str) -> None:
    assert text_words(text) == words.split()


@pytest.mark.parametrize("text", [*WORDS, "a\r\nb\u2028\u2028c d"])
def test_pieces_of_every_script_are_the_text(text: str) -> None:
    pieces = text_pieces(text)
    assert text_pieces("".join(pieces)) == pieces
    assert not any("\u200b" in piece or "\ufeff" in piece for piece in pieces)


@pytest.mark.parametrize("text", [text for text, words in WORDS.items() if words])
def test_bpe_asks_for_the_words_of_every_script(tmp_path: Path, text: str) -> None:
    path = tmp_path / "text.txt"
    path.write_text(f"{text}\n" * 20, encoding="utf-8")
    corpus = load_corpus(path, TextConfig(tokenizer="bpe", vocab_size=600))
    assert isinstance(corpus.tokenizer, BpeTokenizer)
    assert corpus.train_words()[0] == WORDS[text].split()
    line = corpus.train.texts[0]
    assert corpus.tokenizer.detokenise(corpus.tokenizer.encode(line)) == line


@pytest.mark.parametrize(
    "text",
    [
        "我们使用python编程，“你好”——好！",
        "彼は学校へ行きました。「はい」",
        "สวัสดีครับ ผมชื่อสมชาย",
        "می\u200cخواهم کتاب\u200cها، بخوانم؟",
        "यह है। ठीक॥",
        "한국어 단어.",
        "i ❤️ 👩\u200d👩\u200d👧, and 👍🏽!",
        "«oui», “non”, ¿qué? ¡no!",
    ],
)
def test_words_are_joined_as_their_script_does(text: str) -> None:
    tokenizer = WordTokenizer.train([text])
    assert tokenizer.detokenise(tokenizer.encode(text)) == text
    line = tokenizer.line("")
    grown = "".join(line.add(token) for token in tokenizer.encode(text)) + line.rest()
    assert grown == text


def test_a_matrix_is_the_same_however_the_text_was_typed(tmp_path: Path) -> None:
    one, other = (
        get_attention_matrix(text, provider="random", cache="memory")
        for text in ("un café noir", "un\u200b cafe\u0301 noir\u00ad")
    )
    assert one.tolist() == other.tolist()


@pytest.fixture(scope="module", params=["words", "bpe"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint of a model that has read a text in NFC."""
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "corpus.txt").write_text("un café au lait\nle chat dort\n" * 20, encoding="utf-8")
    done = run_cli(
        *(folder, "train", "--corpus", "corpus.txt", "--steps", "20", "--provider", "random"),
        *("--block-size", "8", "--tokenizer", request.param, "--vocab-size", "600", *SMALL),
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_a_prompt_is_read_as_the_corpus_was(folder: Path) -> None:
    given = ("un café", "\ufeffun cafe\u0301", "un\nca\u00adfé\u200b")
    told = [run_cli(folder, "sample", "--prompt", prompt, "--seed", "1") for prompt in given]
    assert {done.returncode for done in told} == {0}
    assert {done.stdout for done in told} == {told[0].stdout}
    assert {done.stderr for done in told} == {told[0].stderr}
    piped = run_cli(folder, "sample", "--seed", "1", stdin="un cafe\u0301\r\n")
    assert piped.stdout == told[0].stdout


def test_a_text_to_show_is_read_as_the_corpus_was(folder: Path) -> None:
    one, other = (
        run_cli(folder, "show", "checkpoint.pt", "--json", "--text", text)
        for text in ("le café", "le\u200b cafe\u0301")
    )
    assert one.returncode == 0, one.stderr
    assert one.stdout == other.stdout


def test_text_that_was_typed_otherwise_is_still_the_text_that_was_trained_on(
    folder: Path,
) -> None:
    text = (folder / "corpus.txt").read_text(encoding="utf-8")
    (folder / "other.txt").write_bytes(
        b"\xef\xbb\xbf" + text.replace("é", "e\u0301").replace("\n", "\r").encode()
    )
    done = run_cli(folder, "eval", "checkpoint.pt", "other.txt", "--json")
    assert done.returncode == 0, done.stderr
    assert "trained on most of this text" in done.stderr


@pytest.mark.parametrize("prompt", ["a" * 5000, "ก" * 5000])
def test_too_long_a_word_in_a_prompt_is_told(folder: Path, prompt: str) -> None:
    for done in (
        run_cli(folder, "sample", "--prompt", prompt),
        run_cli(folder, "sample", stdin=f"{prompt}\n"),
        run_cli(folder, "show", "checkpoint.pt", "--text", prompt),
    ):
        assert done.returncode in FAILED
        assert "holds 5,000 or more letters in a row" in done.stderr


def test_a_line_of_stdin_without_end_is_told(folder: Path) -> None:
    done = run_cli(folder, "sample", "--seed", "1", stdin="un café\n" + "a " * (1 << 20))
    assert done.returncode in FAILED
    assert done.stdout.startswith("un café")
    assert "Line 2 of stdin has more than 1,048,576 bytes" in done.stderr


def test_a_text_from_a_pipe_is_evaluated(folder: Path) -> None:
    data = (folder / "corpus.txt").read_bytes()
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(data,))
    writer.start()
    done = run_cli(folder, "eval", "checkpoint.pt", "pipe")
    writer.join()
    (folder / "pipe").unlink()
    assert done.returncode == 0, done.stderr
    assert done.stdout == run_cli(folder, "eval", "checkpoint.pt", "corpus.txt").stdout
    assert "trained on most of this text" in done.stderr


def test_what_a_stream_of_one_line_is_cut_into_is_the_line(tmp_path: Path) -> None:
    text = " ".join(f"word{n}" for n in range(1000)) + "\n"
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    corpus = load_corpus(tmp_path / "text.txt", TextConfig(stream=True, test_fraction=0.1))
    assert corpus.test is not None
    parts = [part.texts[0] for part in corpus.splits]
    assert " ".join(parts) == text.strip()
    assert [round(len(part) / len(text), 2) for part in parts] == [0.8, 0.1, 0.1]


def test_written_emoji_add_up() -> None:
    text = "I ❤️ 👩\u200d👩\u200d👧 and 👍🏽!"
    split = encode_lines([text], WordTokenizer.train([text]))
    assert "".join(split.written) == f"\n{text}\n"


def test_a_letter_that_the_output_cannot_write_is_escaped(tmp_path: Path) -> None:
    done = run_process(
        *(tmp_path, "show", "--provider", "random", "--text", "ça 👍", "--cache", "memory"),
        PYTHONIOENCODING="ascii",
    )
    assert done.returncode == 0, done.stderr
    assert "\\xe7a" in done.stdout
    assert "\\U0001f44d" in done.stdout
