"""Files in folders that may come from somebody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from llmattn.data.packed import open_packed
from llmattn.untrusted import from_toml, read_json
from llmattn.whole_files import open_file, replacing


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_pipe_is_not_waited_for(pipe: Path) -> None:
    for read in (open_file, read_json, from_toml):
        with pytest.raises(OSError, match="a pipe or a device, not a file"):
            read(pipe)
    assert open_packed(pipe, {}) is None


def test_device_is_not_opened(tmp_path: Path) -> None:
    device = tmp_path / "device"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # zero
    except PermissionError:
        device.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="a pipe or a device, not a file"):
        open_file(device)


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with replacing(tmp_path / "link") as new:
        new.write_text("theirs")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "link").read_text() == "theirs"


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    def fail() -> None:
        with replacing(tmp_path / "file") as new:
            new.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_new_file_is_under_the_users_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "file") as new:
            new.write_text("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
