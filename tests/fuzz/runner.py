"""Runs many altered files, each in a process of its own with limits, forked from one that has
everything imported: what a case needs is milliseconds, not the seconds that torch takes to load.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import field, frozen

__all__ = ["Case", "Outcome", "Tally", "run_cases"]

SECONDS = 40
"""Of the processor: 20 s of two cores. A machine that has other work to do fails no case."""
WAIT = 300
"""Seconds until a case that does nothing is given up."""
MEMORY = 1 << 30
"""Bytes beyond what the process has before the case begins."""


@frozen
class Case:
    """``command`` runs in ``folder``, which ``prepare`` makes before; ``clean`` comes after."""

    name: str
    prepare: Callable[[], None]
    command: tuple[str, ...]
    folder: Path
    clean: Callable[[], None] = lambda: None


@frozen
class Outcome:
    """How a case ended: ``kind`` is ``success``, ``error`` or what went wrong."""

    case: str
    kind: str
    message: str

    @property
    def is_failure(self) -> bool:
        """Whether it ended neither in success nor in one of our errors."""
        return self.kind not in ("success", "error")


@frozen
class Tally:
    """All outcomes of one kind of file."""

    outcomes: list[Outcome] = field(factory=list)

    @property
    def failures(self) -> list[Outcome]:
        """The cases that must not be."""
        return [outcome for outcome in self.outcomes if outcome.is_failure]

    def table(self, title: str) -> str:
        """The counts, for people."""
        kinds = Counter(outcome.kind for outcome in self.outcomes)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        said = Counter(_shape(o.message) for o in self.outcomes if o.kind == "error")
        lines = [f"{title}: {len(self.outcomes)} cases: {counts}"]
        lines += [f"  {count:5}  {shape}" for shape, count in said.most_common(12)]
        return "\n".join(lines)


def _shape(message: str) -> str:
    """The beginning of a message without what differs from case to case."""
    words = message.replace("error: ", "").split()
    return " ".join(w for w in words if "/" not in w and not any(c.isdigit() for c in w))[:70]


def run_cases(cases: Iterable[Case], main: Callable[[list[str]], object], jobs: int = 2) -> Tally:
    """Run all cases, ``jobs`` at a time."""
    tally = Tally()
    running: dict[int, tuple[Case, float, Path]] = {}
    waiting = iter(cases)
    more = True
    while more or running:
        while more and len(running) < jobs:
            case = next(waiting, None)
            if case is None:
                more = False
                break
            case.prepare()
            said = case.folder / "stderr.txt"
            running[_start(case, main, said)] = (case, time.monotonic(), said)
        for pid, (case, began, said) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            late = time.monotonic() - began > WAIT
            if not done and not late:
                continue
            if not done:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            del running[pid]
            tally.outcomes.append(_outcome(case, None if not done else status, said))
            case.clean()
        time.sleep(0.001)
    return tally


def _start(case: Case, main: Callable[[list[str]], object], said: Path) -> int:
    outputs = {1: said.with_name("stdout.txt"), 2: said}
    for path in outputs.values():  # also of a child that is killed before it has begun
        path.write_bytes(b"")
    pid = os.fork()
    if pid:
        return pid
    code = 99
    with contextlib.suppress(BaseException):
        for number, path in outputs.items():
            os.dup2(os.open(path, os.O_WRONLY), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(case.folder)
        taken = _data_bytes()
        resource.setrlimit(resource.RLIMIT_DATA, (taken + MEMORY, taken + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
        try:
            main([*case.command])
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        except BaseException as error:
            os.write(2, f"escaped: {type(error).__name__}: {error}".encode("utf-8", "replace"))
            code = 98
        with contextlib.suppress(Exception):
            import sys

            sys.stdout.flush()
            sys.stderr.flush()
    os._exit(code)


def _data_bytes() -> int:
    """What counts towards RLIMIT_DATA so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0


def _outcome(case: Case, status: int | None, said: Path) -> Outcome:
    text = said.read_text(encoding="utf-8", errors="replace")
    results = said.with_name("stdout.txt").read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    last = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])
    if status is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return Outcome(case.name, "time-out", last)
    if os.WIFSIGNALED(status):
        return Outcome(case.name, f"signal {os.WTERMSIG(status)}", last)
    code = os.WEXITSTATUS(status)
    shown = text if case.command[0] == "sample" else text + results  # a sample goes as it is
    if any(char in shown for char in "\x1b\x9b\x07\u202e\u2066"):
        return Outcome(case.name, "control character", last)
    if "Traceback" in text or "a fault in llmattn" in text or "Warning:" in text:
        return Outcome(case.name, "fault", last)
    if code == 0:
        return Outcome(case.name, "success", last)
    if 1 <= code <= 6 and last.startswith("error: "):
        return Outcome(case.name, "error", last)
    if code == 6 and case.command[:2] == ("cache", "verify") and "problem" in results:
        return Outcome(case.name, "error", results.splitlines()[0])
    return Outcome(case.name, f"exit {code}", last)
