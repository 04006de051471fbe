"""What the command line cannot try of reading a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from llmattn.errors import CorpusError
from llmattn.reading.files import is_pipe, read_text


def test_a_name_that_no_file_can_have_is_a_corpus_error() -> None:
    with pytest.raises(CorpusError, match="cannot be read"):
        read_text(Path("te\0xt"))


def test_a_file_that_may_not_be_read_is_a_corpus_error(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.touch(mode=0)
    is_root = os.geteuid() == 0
    if is_root:  # who may read everything, so be somebody else
        path = Path("/proc/1/environ")
        os.seteuid(65534)
    try:
        with pytest.raises(CorpusError, match=r"cannot be read \(Permission denied\)"):
            read_text(path)
    finally:
        if is_root:
            os.seteuid(0)


def test_what_a_shell_makes_of_a_command_is_a_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"one\r\ntwo")
        os.close(writing)
        assert is_pipe(Path(f"/dev/fd/{reading}"))
        assert read_text(Path(f"/dev/fd/{reading}")) == "one\ntwo"
    finally:
        os.close(reading)
    assert not is_pipe(tmp_path)
