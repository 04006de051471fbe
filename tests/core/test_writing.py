"""The one way in which files are written: whole, and never in a foreign one's place."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from llmattn.drawing import save_picture
from llmattn.errors import CacheError, ConfigError
from llmattn.unfinished import scratch_folder, unfinished, unfinished_in
from llmattn.writing import Kind, check_output, keep_beside, make_folder, written

OURS = Kind("a letter", lambda head, _: head.startswith(b"dear"))
STREAM = Kind("a letter", OURS.is_ours, CacheError, streams=True)

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes devices and owners"
)


def write(path: Path, data: bytes = b"dear reader", kind: Kind = OURS) -> None:
    with written(path, kind, "--out") as file:
        file.write(data)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(b"dear all")
    return path


def test_a_file_of_ours_is_replaced(old: Path) -> None:
    write(old)
    assert old.read_bytes() == b"dear reader"
    assert os.listdir(old.parent) == [old.name]


def test_a_foreign_file_is_left_as_it_is(old: Path) -> None:
    old.write_bytes(b"my diary")
    with pytest.raises(ConfigError, match=r"--out .*is not a letter of llmattn.*another file"):
        write(old)
    assert old.read_bytes() == b"my diary"


def break_off(path: Path, error: Exception) -> None:
    with written(path, OURS) as file:
        file.write(b"dear half")
        raise error


def test_an_error_leaves_the_old_file_and_nothing_else(old: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        break_off(old, ZeroDivisionError())
    assert old.read_bytes() == b"dear all"
    assert os.listdir(old.parent) == [old.name]


def test_a_link_stays_and_its_target_is_written(old: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "target.txt"
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    write(link)  # a target that is not there yet is made
    write(link, b"dear again")
    assert link.is_symlink()
    assert target.read_bytes() == b"dear again"


def test_a_link_to_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "link.txt").symlink_to("notes")
    with pytest.raises(ConfigError, match="is not a letter"):
        check_output(tmp_path / "link.txt", OURS)


def test_a_link_in_a_folder_that_may_be_a_strangers_is_replaced_and_not_followed(old: Path) -> None:
    link = old.parent / "link"
    link.symlink_to(old)
    for kind in (Kind("a letter", None, in_folder=True), evolve(OURS, in_folder=True)):
        write(link, b"dear theirs", kind)
        assert not link.is_symlink()
        assert (link.read_bytes(), old.read_bytes()) == (b"dear theirs", b"dear all")


def test_a_new_file_is_under_the_users_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "device.txt"
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    yield path
    assert stat.S_ISCHR(path.stat().st_mode), "the device is gone"


@needs_root
def test_a_device_is_refused_for_what_must_be_a_file(device: Path) -> None:
    with pytest.raises(ConfigError, match="is a device or a pipe"):
        write(device)


@needs_root
def test_a_device_is_written_to_by_what_can_be_a_stream(device: Path) -> None:
    write(device, kind=STREAM)


@needs_root
def test_a_disk_is_never_written_to(tmp_path: Path) -> None:
    disk = tmp_path / "disk.txt"
    os.mknod(disk, stat.S_IFBLK | 0o666, os.makedev(7, 250))
    with pytest.raises(CacheError, match="is a disk"):
        write(disk, kind=STREAM)


def test_a_pipe_is_written_to_by_what_can_be_a_stream(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pipe, kind=STREAM)
    assert os.read(reader, 100) == b"dear reader"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_standard_output_is_no_file_of_this_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="is no file"):
        write(Path("-"))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No letter can be written .*none is not there.*--out"):
        check_output(tmp_path / "none" / "a.txt", OURS, "--out")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        check_output(tmp_path, OURS)


def test_a_file_that_is_protected_stays(old: Path) -> None:
    old.chmod(0o444)
    with pytest.raises(ConfigError, match="protected"):
        write(old)
    assert old.read_bytes() == b"dear all"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_the_new_file_has_the_mode_of_the_old_one(old: Path, mode: int) -> None:
    old.chmod(mode)
    write(old)
    assert stat.S_IMODE(old.stat().st_mode) == mode


def test_a_file_that_was_not_there_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


@needs_root
def test_root_leaves_a_file_to_its_owner(old: Path) -> None:
    os.chown(old, 1234, 2345)
    write(old)
    assert (old.stat().st_uid, old.stat().st_gid) == (1234, 2345)


_KILLED = """
import os, signal, sys
from pathlib import Path
from llmattn.writing import Kind, written
with written(Path(sys.argv[1]), Kind("a letter", None)) as file:
    file.write(b"dear")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_with_the_next_file(old: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(old)], timeout=60)
    assert len(unfinished_in(old.parent)) == 1
    assert old.read_bytes() == b"dear all"
    check_output(old, OURS)
    assert os.listdir(old.parent) == [old.name]


def test_what_a_process_is_writing_stays(old: Path) -> None:
    with unfinished(old) as file:
        write(old)
        assert unfinished_in(old.parent) == [Path(file.name)]


def test_leftovers_of_other_files_stay(tmp_path: Path) -> None:
    for name in (".a.txt.b.0123.tmp", ".a.0123.tmp", "a.txt.0123.tmp"):
        (tmp_path / name).write_bytes(b"")
    write(tmp_path / "a.txt")
    assert len(os.listdir(tmp_path)) == 4


def test_a_name_as_long_as_any_is_written(tmp_path: Path) -> None:
    write(tmp_path / ("é" * 120 + ".txt"))


def test_a_full_disk_is_told_as_such(old: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(ConfigError, match=r"No letter can be written .*No space left"):
        break_off(old, full)
    assert old.read_bytes() == b"dear all"


def test_a_file_is_kept_under_the_next_free_name(old: Path) -> None:
    (old.parent / "a.1.txt").write_bytes(b"another")
    assert keep_beside(old) == old.parent / "a.2.txt"
    write(old)
    assert (old.parent / "a.2.txt").read_bytes() == b"dear all"
    assert (old.parent / "a.1.txt").read_bytes() == b"another"


def test_a_folder_for_files_is_made_and_tried(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="is a file of this name"):
        make_folder(tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be made"):
        make_folder(tmp_path / "file" / "below")


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "eps", "jpg", "tif", "webp"])
def test_a_picture_of_ours_is_drawn_again_and_another_stays(tmp_path: Path, ending: str) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(1, 1))
    path = tmp_path / f"picture.{ending}"
    save_picture(figure, path)
    save_picture(figure, path)
    figure.savefig(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="is not a picture of llmattn"):
        save_picture(figure, path)
    assert path.read_bytes() == before


def test_a_picture_of_no_known_format_is_refused_beforehand(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(1, 1))
    with pytest.raises(ConfigError, match=r"picture\.doc: the name's end .*png"):
        save_picture(figure, tmp_path / "picture.doc")


def test_temporary_folders_of_killed_processes_go_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / ".llmattn-scratch-killed").mkdir()
    (tmp_path / ".llmattn-scratch-killed" / "table").write_bytes(b"left")
    (tmp_path / "llmattn-mine").mkdir()
    with scratch_folder() as one, scratch_folder() as two:
        assert {*tmp_path.iterdir()} == {one, two, tmp_path / "llmattn-mine"}
    assert os.listdir(tmp_path) == ["llmattn-mine"]
