"""What is tried with each peer, one function a column of the table; each ends with AssertionError
where it does not work.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peers.kinds import Peer
from support_cli import Done, run_cli, start_process

__all__ = ["AGAIN", "FEATURES", "YES", "tried"]

TEXT = "\n".join(" ".join(f"w{(7 * i + j) % 23}" for j in range(8)) for i in range(12)) + "\n"
SHORT = "the cat\n" * 4 + "a dog ran\n" * 6
YES, AGAIN = "yes", "by the same command again"
SMALL = ("-o", "custom.pairs_per_request=20", "-o", "custom.requests_at_once=2")


def score(peer: Peer, folder: Path) -> None:
    """Every pair has a score, and nothing is asked again."""
    assert _run(peer, folder).returncode == 0
    assert ", 0 scored now" in _run(peer, folder).stdout
    peer.check()


def prefix(peer: Peer, folder: Path) -> None:
    """The same in the context of the text."""
    assert _run(peer, folder, "--scope", "prefix").returncode == 0


def probe(peer: Peer, folder: Path) -> None:
    """A few requests tell whether the scores are of use; of a tiny model they need not be."""
    done = _run(peer, folder, "--probe")
    assert done.returncode == 0 or peer.model, done.stderr


def criteria(peer: Peer, folder: Path) -> None:
    """Two channels come back in one reply."""
    assert _run(peer, folder, "--criteria", "syntax,meaning").returncode == 0


def limits(peer: Peer, folder: Path) -> None:
    """Two requests are allowed, two are sent; then it goes on from there."""
    done = _run(peer, folder, *SMALL, "--max-requests", "2")
    assert done.returncode in (0, 5), done.stderr
    assert _run(peer, folder, *SMALL).returncode == 0


def stop(peer: Peer, folder: Path) -> None:
    """Ctrl-C ends a run, which the same command takes up."""
    run = _started(peer, folder)
    run.send_signal(signal.SIGINT)
    assert _ended(run, folder) in (0, 130)
    assert _run(peer, folder, *SMALL).returncode == 0


def restart(peer: Peer, folder: Path) -> str:
    """The server is killed and started again meanwhile: the run goes on by itself, or, if it takes
    long to start and had not answered before, ends with an error; then the same command goes on.
    """
    run = _started(peer, folder)
    peer.program.kill()
    peer.program.start()
    code = _ended(run, folder)
    assert code in (0, 4)
    assert _run(peer, folder, *SMALL).returncode == 0
    return AGAIN if code else YES


FEATURES: dict[str, Callable[[Peer, Path], str | None]] = {
    "score": score,
    "prefix": prefix,
    "probe": probe,
    "criteria": criteria,
    "limits": limits,
    "Ctrl-C": stop,
    "killed, restarted": restart,
}


def tried(peer: Peer, folder: Path, feature: str) -> str:
    """``yes``, ``by the same command again``, or what llmattn said in one line."""
    place = folder / feature.replace(", ", "-")
    place.mkdir()
    try:
        return FEATURES[feature](peer, place) or YES
    except (AssertionError, subprocess.TimeoutExpired) as failed:
        said = (place / "said.txt").read_text().strip().splitlines() or [str(failed)]
        return f"no: {said[-1]}"


def _command(peer: Peer, folder: Path, *more: str) -> tuple[str, ...]:
    (folder / "corpus.txt").write_text(SHORT if peer.model else TEXT)
    where = ("--cache-dir", str(folder / "scores"))
    return ("score", "corpus.txt", "--provider", "custom", *where, *peer.options, *more)


def _run(peer: Peer, folder: Path, *more: str) -> Done:
    done = run_cli(folder, *_command(peer, folder, *more), **peer.environ)
    (folder / "said.txt").write_text(done.stderr)
    assert "Traceback" not in done.stderr
    return done


def _started(peer: Peer, folder: Path) -> subprocess.Popen[str]:
    """A run of small requests, which has said whom it asks."""
    said = folder / "said.txt"
    with said.open("w") as err:
        environ: dict[str, Any] = {**peer.environ}
        run = start_process(folder, *_command(peer, folder, *SMALL), stderr=err, **environ)
    while "asking http" not in said.read_text() and run.poll() is None:
        time.sleep(0.01)
    return run


def _ended(run: subprocess.Popen[str], folder: Path) -> int:
    run.communicate(timeout=900)
    assert "Traceback" not in (folder / "said.txt").read_text()
    return run.returncode
