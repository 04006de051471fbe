"""Maps as a page can carry them: a byte a number, compressed, with the book of what each means."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.errors import ConfigError
from llmattn.view.maps import Floats

__all__ = ["UNKNOWN", "Packed", "in_base64", "pack"]

UNKNOWN = 255
"""The byte of a number that is not known."""
_LEVELS = (255, 180, 127, 90, 63, 45, 31, 22, 15, 11)
"""How many numbers a map is told in: as many as there is room for."""
_BEND = 2.5
"""The numbers lie closer at 0, where most weights of a long text are."""
_ROOM = 2_700_000
"""Bytes of all maps together in base64; more only for more than 500 tokens with 30 channels."""
_ROOM_A_CELL = 0.72
_MOST_CELLS = 60_000_000


@frozen(eq=False)
class Packed:
    """One map. ``data``: zlib's stream of bytes in base64: key by key, the queries from the key
    on. ``book[byte]``: the number that a byte stands for.
    """

    data: str
    book: NDArray[np.float64]


def pack(matrices: Sequence[Floats]) -> list[Packed]:
    """Each of ``matrices`` ``(T, T)``, all as exactly as there is room for.

    Raises ConfigError for more than a browser can show.
    """
    cells = sum(len(matrix) * (len(matrix) + 1) // 2 for matrix in matrices)
    if cells > _MOST_CELLS:
        raise ConfigError(
            f"{len(matrices)} maps of {len(matrices[0])} tokens are too much for one page: name "
            "fewer channels with --channel, or give a shorter text."
        )
    room = max(_ROOM, _ROOM_A_CELL * cells)
    ways = [_flat(matrix) for matrix in matrices]
    for levels in _LEVELS:
        coded = [_coded(flat, levels) for flat in ways]
        blobs = [zlib.compress(codes.tobytes(), 6) for codes, _ in coded]
        if sum(map(len, blobs)) * 4 / 3 <= room:
            break
    return [Packed(in_base64(blob), book) for blob, (_, book) in zip(blobs, coded, strict=True)]


def in_base64(data: bytes) -> str:
    """``data`` as text."""
    return base64.b64encode(data).decode("ascii")


def _flat(matrix: Floats) -> NDArray[np.float64]:
    keys, queries = np.triu_indices(len(matrix))
    return matrix[queries, keys].astype(np.float64)


def _coded(values: NDArray[np.float64], levels: int) -> tuple[NDArray[np.uint8], Any]:
    known = np.isfinite(values)
    given = np.unique(values[known])
    if len(given) <= levels:
        codes = np.searchsorted(given, np.where(known, values, 0))
        book = given
    else:
        high = float(given[-1]) or 1.0
        share = np.clip(np.where(known, values, 0) / high, 0, 1)
        codes = np.round(share ** (1 / _BEND) * (levels - 1)).astype(np.int64)
        book = high * np.linspace(0, 1, levels) ** _BEND
    return np.where(known, codes, UNKNOWN).astype(np.uint8), book
