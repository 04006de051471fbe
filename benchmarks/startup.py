"""How soon `python -m llmattn.train` takes its first step, with a warm cache of scores.

    python benchmarks/startup.py CORPUS [--runs 3] [-- OPTIONS OF llmattn train]

Each run is a fresh process that trains one step. Printed are seconds from its start: until it has
shown the model, until the validation before the first step, and until the one after it, which comes
later than the step itself. The first run fills the cache and is not counted.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MARKS = {"model shown": r"model ", "validated": r"\s+0 ", "first step done": r"\s+1 "}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("options", nargs="*", default=["--min-count", "5"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmattn-benchmark-") as folder:
        command = [sys.executable, "-m", "llmattn.train", "--corpus", str(options.corpus.resolve())]
        command += ["--provider", "cooccurrence", "--steps", "1", *options.options]
        runs = [timed(command, folder) for _ in range(options.runs + 1)][1:]
    for mark in MARKS:
        found = [run[mark] for run in runs]
        print(f"{mark:<16} {statistics.median(found):6.2f} s   (from {min(found):.2f})")


def timed(command: list[str], folder: str) -> dict[str, float]:
    """Seconds until each mark is printed."""
    environment = {**os.environ, "LLMATTN_CACHE_DIR": f"{folder}/scores", "PYTHONUNBUFFERED": "1"}
    began = time.perf_counter()
    found: dict[str, float] = {}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            for mark, pattern in MARKS.items():
                if mark not in found and re.match(pattern, line):
                    found[mark] = time.perf_counter() - began
    if process.returncode or len(found) < len(MARKS):
        sys.exit(f"{' '.join(command)} failed, or printed something else than expected.")
    return found


if __name__ == "__main__":
    main()
