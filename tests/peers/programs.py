"""A program on a port of its own, that can be killed and started again."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from support_environment import OUTER

__all__ = ["Program", "free_port"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class Program:
    """Runs ``command`` while open; started when somebody listens on ``port``."""

    def __init__(
        self, folder: Path, port: int, command: Sequence[object], environ: Mapping[str, str] = {}
    ) -> None:
        self._command = list(map(str, command))
        self._environ = {**OUTER, **environ}
        self._port = port
        self.said = folder / f"{Path(self._command[0]).name}-{port}.txt"
        """What it has written to its outputs."""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Program:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it listens: models are loaded first."""
        with self.said.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, env=self._environ, stdout=out, stderr=out, cwd=self.said.parent
            )
        deadline = time.monotonic() + 900
        while not self._listens():
            assert self._process.poll() is None, self.said.read_text()[-3000:]
            assert time.monotonic() < deadline, f"{self._command[0]} does not listen"
            time.sleep(0.1)

    def _listens(self) -> bool:
        with socket.socket() as tried:
            tried.settimeout(5)
            return tried.connect_ex(("127.0.0.1", self._port)) == 0

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
