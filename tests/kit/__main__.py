"""The table of planted faults: ``PYTHONPATH=tests python -m kit --runs 20``."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from kit.faults import FAULTS
from kit.planted import Caught, meet


def main() -> int:
    """Print a line a fault; 1 if one was not caught in each run, in the same words."""
    parser = argparse.ArgumentParser(prog="python -m kit", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="how often each fault is met")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--processes", type=int, default=1, help="how many faults at once")
    given = parser.parse_args()
    chosen = [place for place, fault in enumerate(FAULTS) if given.only in fault.name]
    print("| planted fault | caught | by | message |\n|---|---|---|---|")
    missed = 0
    with ProcessPoolExecutor(given.processes) as pool:
        for place, told in zip(chosen, pool.map(partial(_met, given.runs), chosen), strict=True):
            caught = sum(count for found, count in told.items() if found.message)
            checks = sorted({found.check for found in told})
            missed += caught < given.runs or len(checks) > 1
            message = max(told, key=lambda found: told[found]).message.replace("|", "\\|")
            times = f"{caught} of {given.runs}"
            print(f"| {FAULTS[place].name} | {times} | {', '.join(checks)} | {message} |")
            sys.stdout.flush()
    print(f"\n{len(chosen) - missed} of {len(chosen)} faults caught each time.")
    return 1 if missed else 0


def _met(runs: int, place: int) -> Counter[Caught]:
    """What the kit said of one fault, so many times."""
    told: Counter[Caught] = Counter()
    for _ in range(runs):
        with contextlib.redirect_stdout(io.StringIO()):
            told[meet(FAULTS[place])] += 1
    return told


if __name__ == "__main__":
    sys.exit(main())
