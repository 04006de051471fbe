"""The table of planted faults: ``PYTHONPATH=tests python -m kit --runs 20``."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections import Counter

from kit.faults import FAULTS
from kit.planted import Caught, meet


def main() -> int:
    """Print a line a fault; 1 if one was not caught in each run, in the same words."""
    parser = argparse.ArgumentParser(prog="python -m kit", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="how often each fault is met")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    given = parser.parse_args()
    chosen = [fault for fault in FAULTS if given.only in fault.name]
    print("| planted fault | caught | by | message |\n|---|---|---|---|")
    missed = 0
    for fault in chosen:
        told: Counter[Caught] = Counter()
        for _ in range(given.runs):
            with contextlib.redirect_stdout(io.StringIO()):
                told[meet(fault)] += 1
        caught = sum(count for found, count in told.items() if found.message)
        checks = sorted({found.check for found in told})
        missed += caught < given.runs or len(checks) > 1
        message = max(told, key=lambda found: told[found]).message.replace("|", "\\|")
        print(f"| {fault.name} | {caught} of {given.runs} | {', '.join(checks)} | {message} |")
        sys.stdout.flush()
    print(f"\n{len(chosen) - missed} of {len(chosen)} faults caught each time.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
