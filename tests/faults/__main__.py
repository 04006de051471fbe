"""``make faults``: every fault, met by real processes and servers on loopback, as a table."""

from __future__ import annotations

import argparse
import sys

from support_environment import own_environment


def main() -> int:
    """Print the table; 1 if something was lost."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("only", nargs="*", help="modules of tests/faults; none: all")
    parser.add_argument("--tries", type=int, default=10, help="of each kind, about")
    given = parser.parse_args()
    with own_environment("llmattn-faults-") as folder:
        from faults.table import HEAD, outcomes  # after the environment is the tests' own

        lost = 0
        sys.stdout.write(HEAD)
        for row in outcomes(folder, given.tries, given.only):
            sys.stdout.write(f"{row.line}\n")
            sys.stdout.flush()
            lost += row.lost
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
