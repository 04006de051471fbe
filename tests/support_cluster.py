"""A Dask cluster on loopback: a scheduler and workers, each a process, and work for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen
from llmattn.errors import ConfigError

__all__ = ["Cluster", "Following"]

TESTS = Path(__file__).parent


class Cluster:
    """A scheduler on a free port. ``start_worker`` adds workers; ``close`` ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[str]] = []
        self._draining: list[threading.Thread] = []
        self._scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        self.address = self._told(self._scheduler, "Scheduler at:")

    def start_worker(self, **environ: str) -> subprocess.Popen[str]:
        """One more, which has a folder, a cache and an environment of its own; it is there."""
        worker = self._start("worker", self.address, "--nthreads", "1", "--no-nanny", **environ)
        self.workers.append(worker)
        self._told(worker, "Registered to:")
        return worker

    def close(self) -> None:
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()
        for thread in self._draining:
            thread.join()
        for process in (*self.workers, self._scheduler):
            assert process.stderr
            process.stderr.close()

    def _start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        own = self.folder / f"{arguments[0]}-{len(self.workers)}"
        own.mkdir()
        paths = os.pathsep.join(filter(None, [environ.pop("PYTHONPATH", ""), str(TESTS)]))
        plain = {"OMP_NUM_THREADS": "1", "LLMATTN_CACHE_DIR": str(own / "scores")}
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
            cwd=own,
            env={**os.environ, **plain, "PYTHONPATH": paths, **environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _told(self, process: subprocess.Popen[str], label: str) -> str:
        """What a process says after ``label``; what it says later is thrown away."""
        assert process.stderr
        for line in process.stderr:
            _, found, text = line.partition(label)
            if found:
                thread = threading.Thread(target=process.stderr.read, daemon=True)
                thread.start()
                self._draining.append(thread)
                return text.strip()
        raise AssertionError(f"it ended before it said {label}")


@frozen
class Following:
    """Work that writes into a file which process carries out an item; the item ``wait`` goes on
    until its first process has died, ``endless`` until nobody waits for it.
    """

    file: Path
    alone: bool = True

    def begin(self) -> Callable[[str], Any]:
        return self._carry

    def _carry(self, item: str) -> int:
        from llmattn.plugin import still_wanted

        before = len(self.began())
        with self.file.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if item == "fail":
            raise ConfigError("It cannot be done.")
        if item == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        while (item == "wait" and not before) or (item == "endless" and still_wanted()):
            pass
        return before

    def began(self) -> list[int]:
        """The processes that have begun an item, in order."""
        return [int(line) for line in self.file.read_text().split()] if self.file.exists() else []
