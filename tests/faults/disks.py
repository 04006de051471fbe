"""Disks that are full or read-only, on a file system of their own where one may be mounted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.runs import finish, repeated, score, wait, write_text
from faults.table import Outcome
from llmattn.testing.server import ScoreServer

__all__ = ["full_disk", "read_only_disk"]

_NOT_HERE = "not tried: no file system may be mounted here"


def full_disk(folder: Path, tries: int) -> Iterator[Outcome]:
    """The disk is full in mid-run; then there is room again."""
    fault = "`score`: the disk is full"
    write_text(folder)
    tried = lost = again = 0
    with _disk(folder, "2m") as disk:
        if disk is None:
            yield Outcome(fault, 0, 0, 0, note=_NOT_HERE)
            return
        for number in range(min(tries, 5)):
            cache = disk / f"cache{number}"
            with ScoreServer(latency=0.02) as server:
                run = score(folder, server, cache=str(cache))
                wait(server, 10 * (number + 1), run)
                _fill(disk / "rest")
                _, told = run.communicate(timeout=120)
                assert run.returncode in (0, 1, 6), told
                assert run.returncode == 0 or str(cache) in told, told
                assert "Traceback" not in told, told
                tried += run.returncode != 0
                (disk / "rest").unlink()
                lost += finish(folder, server, str(cache))
                again += repeated(server)
            shutil.rmtree(cache)
    yield Outcome(fault, tried, lost, again)


def read_only_disk(folder: Path, tries: int) -> Iterator[Outcome]:
    """The disk becomes read-only between two runs; then it may be written again."""
    fault = "`score`: the disk is read-only"
    write_text(folder)
    with _disk(folder, "8m") as disk:
        if disk is None:
            yield Outcome(fault, 0, 0, 0, note=_NOT_HERE)
            return
        cache = str(disk / "cache")
        with ScoreServer(latency=0.05) as server:
            run = score(folder, server, "--max-requests", 40, cache=cache)
            run.communicate(timeout=120)
            for _ in range(min(tries, 3)):
                _mount("-o", "remount,ro", str(disk))
                run = score(folder, server, cache=cache)
                _, told = run.communicate(timeout=120)
                _mount("-o", "remount,rw", str(disk))
                assert run.returncode == 1, told
                assert "Traceback" not in told, told
            lost = finish(folder, server, cache)
            yield Outcome(fault, min(tries, 3), lost, repeated(server))


@contextmanager
def _disk(folder: Path, size: str) -> Iterator[Path | None]:
    """A small file system in memory; None where mounting is not allowed."""
    place = folder / "disk"
    place.mkdir()
    if not _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)):
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _mount(*arguments: str) -> bool:
    if shutil.which("mount") is None:
        return False
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def _fill(path: Path) -> None:
    """Take what room there is."""
    try:
        with path.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        return
