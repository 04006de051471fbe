"""No flipped bit of a stored file is silent."""

from __future__ import annotations

import pytest
from faults.flips import KINDS, try_flips


@pytest.mark.parametrize("kind", KINDS)
def test_none_of_60_flipped_bits_is_silent(kind: str) -> None:
    found = try_flips(kind, 60)
    assert (found.tried, found.silent) == (60, 0)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_none_of_300_flipped_bits_is_silent(kind: str) -> None:
    assert try_flips(kind, 300, seed=1).silent == 0
