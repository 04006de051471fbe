from __future__ import annotations

from pathlib import Path

import pytest
from llmattn.providers.criteria import read_criteria


def test_built_in_criteria_need_only_their_names() -> None:
    found = read_criteria("syntax, topic")
    assert [criterion.name for criterion in found] == ["syntax", "topic"]
    assert all(criterion.wording for criterion in found)


def test_a_file_gives_names_and_wording(tmp_path: Path) -> None:
    path = tmp_path / "criteria.txt"
    path.write_text("# what I want\nrhyme: how well they rhyme\n\nsyntax\n")
    found = read_criteria(str(path))
    assert [criterion.name for criterion in found] == ["rhyme", "syntax"]
    assert found[0].wording == "how well they rhyme"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("rhyme how well", "line 1"),
        ("two words: how well", "'two words' is no name"),
        ("rhyme: a\nrhyme: b", "twice"),
        ("# nothing\n", "nothing to rate"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "criteria.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_criteria(str(path))


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="relevance, syntax, meaning, topic"):
        read_criteria("sense")


def test_a_file_is_read_as_a_corpus_is(tmp_path: Path) -> None:
    path = tmp_path / "criteria.txt"
    path.write_bytes(b"\xef\xbb\xbfrhyme: how we\xc2\xadll\rmetre: how e\xcc\x81ven\r")
    assert [(one.name, one.wording) for one in read_criteria(str(path))] == [
        ("rhyme", "how well"),
        ("metre", "how éven"),
    ]


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "criteria.txt"
    path.write_bytes("rhyme: how well\n".encode("utf-16"))
    with pytest.raises(ValueError, match=r"criteria file .* is UTF-16 text"):
        read_criteria(str(path))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "criteria.txt"
    path.write_bytes(b"rhyme: \xff\xfe")
    with pytest.raises(ValueError, match="cannot be read"):
        read_criteria(str(path))
