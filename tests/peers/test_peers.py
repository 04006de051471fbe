"""``make test-peers``: llmattn with servers, gateways and proxies that others have written."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers.features import AGAIN, FEATURES, YES
from peers.kinds import PEERS
from peers.table import row

pytestmark = [pytest.mark.peers, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("name", PEERS)
def test_everything_works_with_a_peer_or_is_told(name: str, tmp_path: Path) -> None:
    cells = row(name, tmp_path)
    if cells[0].startswith("not here"):
        pytest.skip(cells[0])
    told = dict(zip(FEATURES, cells, strict=True))
    if name == "nginx, bodies of 1 kB":  # the text of a request alone is more
        assert all("413" in cell for cell in cells), told
    elif name == "transformers serve, tiny model":  # it holds nobody to a form
        assert all(cell in (YES, AGAIN) or "usable scores" in cell for cell in cells), told
    else:
        assert set(cells) <= {YES, AGAIN}, told
