"""Files in folders that may come from somebody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from llmattn.feeds.packed import open_packed
from llmattn.untrusted import from_toml, read_json
from llmattn.whole_files import open_file


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
