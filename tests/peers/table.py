"""What works with a peer, as a line of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from peers.features import FEATURES, tried
from peers.kinds import PEERS, Absent

__all__ = ["line", "row"]


def row(name: str, folder: Path) -> list[str]:
    """A cell for each feature, or one that says why the peer is not there."""
    try:
        with PEERS[name](folder) as peer:
            return [tried(peer, folder, feature) for feature in FEATURES]
    except Absent as missing:
        return [f"not here: {missing}"]


def line(name: str, cells: Sequence[str]) -> str:
    """In Markdown."""
    return f"| {name} | {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
