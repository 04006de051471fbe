"""``make peers``: servers, gateways and proxies of others, by what works with each, as a table."""

from __future__ import annotations

import argparse
import sys

from support_environment import own_environment


def main() -> int:
    """Print a line a peer; 1 if something does not work that should."""
    parser = argparse.ArgumentParser(prog="python -m peers", description=__doc__)
    parser.add_argument("--only", default="", help="peers whose name holds this")
    given = parser.parse_args()
    with own_environment("llmattn-peers-") as folder:
        from peers.features import FEATURES  # after the environment is the tests' own
        from peers.kinds import PEERS
        from peers.table import line, row

        sys.stdout.write(f"| peer | {' | '.join(FEATURES)} |\n|---|{'---|' * len(FEATURES)}\n")
        failed = 0
        for place, peer in enumerate(PEERS):
            if given.only in peer:
                here = folder / str(place)
                here.mkdir()
                cells = row(peer, here)
                failed += any(cell.startswith("no:") for cell in cells)
                sys.stdout.write(f"{line(peer, cells)}\n")
                sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
