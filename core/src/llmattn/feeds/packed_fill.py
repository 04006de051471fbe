"""Fills a source's cache with the rows of the windows of splits, and packs their scores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmattn.data.corpus import Pieces, Split
from llmattn.feeds.channels import Reading
from llmattn.feeds.fill import fill_splits
from llmattn.feeds.packed import PackedScores, entries, key_digest, open_packed, write_packed
from llmattn.feeds.transform import transformed
from llmattn.feeds.windows import row_portions, window_scores
from llmattn.rows import Scores
from llmattn.scoring.report import FillReport
from llmattn.scoring.source import ScoreSource

__all__ = ["pack_split", "pack_splits"]

_LARGE = 1 << 30
"""Bytes above which a file of float16 becomes one of uint8, at an error of at most 0.002."""


def pack_split(
    source: ScoreSource, split: Split, *, block_size: int, reading: Reading, folder: Path
) -> tuple[PackedScores, FillReport]:
    """:func:`pack_splits` of one."""
    (packed,), report = pack_splits(
        source, [split], block_size=block_size, reading=reading, folder=folder
    )
    return packed, report


def pack_splits(
    source: ScoreSource,
    splits: Sequence[Split],
    *,
    block_size: int,
    reading: Reading,
    folder: Path,
) -> tuple[list[PackedScores], FillReport]:
    """The scores of all windows of each split, from a file in ``folder`` if it is whole.

    Else ``source`` is asked for what its cache lacks, of all splits in one run, and the files are
    written. A file with gaps is made anew, since the source may be able to fill them now. Raises
    what ``ScoreSource.fill`` raises, and CacheError.
    """
    works = [_Packing(source, split, block_size, reading, folder) for split in splits]
    whole = [work.find() for work in works]
    report = FillReport()
    for work, found in zip(works, whole, strict=True):
        if found is not None:
            report += FillReport(pairs=work.positions, cached=work.positions)
    if open_ones := [split for split, found in zip(splits, whole, strict=True) if found is None]:
        report += fill_splits(
            source, open_ones, block_size=block_size, context_words=reading.context_words
        )
    packed = [work.write() if p is None else p for work, p in zip(works, whole, strict=True)]
    return packed, report


class _Packing:
    """One split on its way into a file, in one pass through its windows."""

    def __init__(
        self, source: ScoreSource, split: Split, block_size: int, reading: Reading, folder: Path
    ) -> None:
        self._source, self._split, self._reading = source, split, reading
        self._pieces = split.pieces(block_size)
        self._known = self._wanted = 0
        self._block_size = block_size
        self._folder = folder
        triangles = entries(self._pieces.lengths)
        self._numbers = int(triangles.sum())
        self.positions = self._numbers - len(triangles)
        """Positions with a score: all but the first of each window."""

    def find(self) -> PackedScores | None:
        """The file, if it is whole."""
        packed = open_packed(*self._file())
        return packed if packed is not None and packed.coverage == 1 else None

    def write(self) -> PackedScores:
        """Write the file from what the cache holds."""
        path, key = self._file()
        return write_packed(
            path,
            key,
            self._source.identity.channels,
            self._pieces.lengths,
            key["dtype"],
            self._triangles(),
            self._coverage,
        )

    def _file(self) -> tuple[Path, dict[str, Any]]:
        """Where the file is, and what it has to say of itself."""
        source, reading = self._source, self._reading
        size = 2 * self._numbers * len(source.identity.channels)
        key = {
            "identity": source.identity.to_dict(),
            "text": _text_digest(self._split, self._pieces),
            "block_size": self._block_size,
            "transform": reading.transform,
            "context_words": reading.context_words,
            "normalised": reading.normalised if reading.context_words > 0 else False,
            "dtype": "uint8" if size > _LARGE else "float16",
        }
        return self._folder / source.identity.namespace / f"{key_digest(key)}.tri", key

    def _coverage(self) -> float:
        """The share of the positions asked for that is known, of those passed so far."""
        return self._known / self._wanted if self._wanted else 1.0

    def _triangles(self) -> Iterator[NDArray[np.float32]]:
        """Of each piece, ``(C, L (L + 1) / 2)``."""
        source, lengths = self._source, self._pieces.lengths.tolist()
        portions = row_portions(
            self._split,
            self._pieces,
            context_words=self._reading.context_words,
            channels=len(source.identity.channels),
        )
        for portion, rows in portions:
            found = iter(source.stored(rows) if rows else [])
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
