"""Fills a source's cache with the rows of a split's windows, and packs their scores in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.data.corpus import Pieces, Split
from llmattn.data.packed import PackedScores, entries, key_digest, open_packed, write_packed
from llmattn.data.text_fill import row_portions
from llmattn.data.texts import window_scores
from llmattn.data.transform import transformed
from llmattn.rows import Scores
from llmattn.scoring.report import FillReport
from llmattn.scoring.source import ScoreSource

__all__ = ["Reading", "pack_split"]

_LARGE = 1 << 30
"""Bytes above which a file of float16 becomes one of uint8, at an error of at most 0.002."""


@frozen
class Reading:
    """How stored scores of texts become the model's.

    ``transform``: see ``choose_transform``. ``context_words``: how many tokens before a window
    the provider sees. ``normalised``: scores add up to 1 over a row, and shall do so over the
    window's part of it; a tuple if that holds for some channels only.
    """

    transform: str = "identity"
    context_words: int = 0
    normalised: bool | tuple[bool, ...] = False


def pack_split(
    source: ScoreSource, split: Split, *, block_size: int, reading: Reading, folder: Path
) -> tuple[PackedScores, FillReport]:
    """The scores of all windows of ``split``, from a file in ``folder`` if it is whole.

    Else ``source`` is asked for what its cache lacks, and the file is written. A file with gaps
    is made anew, since the source may be able to fill them now. Raises what
    ``ScoreSource.fill`` raises, and CacheError.
    """
    pieces = split.pieces(block_size)
    positions = int(entries(pieces.lengths).sum())
    dtype = "uint8" if 2 * positions * len(source.identity.channels) > _LARGE else "float16"
    key = {
        "identity": source.identity.to_dict(),
        "text": _text_digest(split, pieces),
        "block_size": block_size,
        "transform": reading.transform,
        "context_words": reading.context_words,
        "normalised": reading.normalised if reading.context_words > 0 else False,
        "dtype": dtype,
    }
    path = folder / source.identity.namespace / f"{key_digest(key)}.tri"
    packed = open_packed(path, key)
    if packed is not None and packed.coverage == 1:
        return packed, FillReport(pairs=positions, cached=positions)
    work = _Pass(source, split, pieces, reading)
    packed = write_packed(
        path, key, source.identity.channels, pieces.lengths, dtype, work.triangles(), work.coverage
    )
    return packed, work.report


class _Pass:
    """One way through the windows of a split."""

    def __init__(self, source: ScoreSource, split: Split, pieces: Pieces, reading: Reading) -> None:
        self._source, self._split, self._pieces = source, split, pieces
        self._reading = reading
        self._known = self._wanted = 0
        self.report = FillReport()

    def coverage(self) -> float:
        """The share of the positions asked for that is known, of those passed so far."""
        return self._known / self._wanted if self._wanted else 1.0

    def triangles(self) -> Iterator[NDArray[np.float32]]:
        """Of each piece, ``(C, L (L + 1) / 2)``."""
        source, lengths = self._source, self._pieces.lengths.tolist()
        portions = row_portions(
            self._split,
            self._pieces,
            context_words=self._reading.context_words,
            channels=len(source.identity.channels),
        )
        for portion, rows in portions:
            if rows:
                self.report += source.fill(rows, beside=self.report)
            found = iter(source.cache.get(source.identity, rows) if rows else [])
            for piece in portion:
                yield self._triangle(lengths[piece], found)

    def _triangle(self, length: int, found: Iterator[Scores]) -> NDArray[np.float32]:
        channels = len(self._source.identity.channels)
        scores = np.empty((channels, length * (length + 1) // 2), np.float32)
        scores[:, 0] = 1  # the first token has none but itself to attend to
        start = 1
        for row in range(1, length):
            own = window_scores(next(found), row, normalised=self._reading.normalised)
            scores[:, start : start + row + 1] = own
            start += row + 1
        self._wanted += start - 1
        self._known += int((~np.isnan(scores[0, 1:])).sum())
        return transformed(scores, self._reading.transform)


def _text_digest(split: Split, pieces: Pieces) -> str:
    """Of the text as written and of the windows in it."""
    found = hashlib.sha256()
    numbers: list[NDArray[Any]] = [
        np.fromiter(map(len, split.written), np.int64, len(split.ids)),
        pieces.starts,
        pieces.lengths,
    ]
    for array in numbers:
        found.update(np.ascontiguousarray(array, np.int64).tobytes())
    found.update("".join(split.written).encode("utf-8", "surrogatepass"))
    return found.hexdigest()
