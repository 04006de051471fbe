"""A file of packed lower triangles: the PREFIX scores of a split's pieces, memory-mapped."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmattn.errors import CacheError
from llmattn.unfinished import is_left_over, unfinished_in
from llmattn.untrusted import MOST_BYTES, WRONG_DATA, from_json
from llmattn.whole_files import open_file
from llmattn.writing import Kind, written

__all__ = [
    "PackedScores",
    "entries",
    "from_file",
    "key_digest",
    "open_packed",
    "write_packed",
]

Triangle = NDArray[Any]
"""Scores of a piece of length L, ``(C, L (L + 1) / 2)``: row after row, up to the diagonal."""

_PACKED = Kind("a file of packed scores", None, CacheError, in_folder=True)
_MAGIC = b"llmattn-tri-1\0\0\0"
_TAIL = struct.Struct("<QI16s")  # length and checksum of the description, which stands before it
_PORTION = 1 << 24


def entries(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many scores a channel has for pieces of these lengths."""
    return lengths * (lengths + 1) // 2


def key_digest(key: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that stand for everything the file's scores depend on."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class PackedScores:
    """The triangles of the pieces of one split, mapped into memory; processes share it.

    uint8 scores stand for their 255th part. Pickled, it is its path. ``coverage``: the share of
    the positions right of the first column of each piece whose score a provider gave.
    ``checksum``: the CRC-32 of all scores.
    """

    def __init__(
        self,
        path: Path,
        data: NDArray[Any],
        lengths: NDArray[np.int64],
        description: Mapping[str, Any],
    ) -> None:
        self.path = path
        self.lengths = lengths
        self.channels = tuple(str(name) for name in description["channels"])
        self.coverage = float(description["coverage"])
        self.checksum = int(description["crc"])
        self._data = data
        sizes = entries(lengths) * len(self.channels)
        self._starts = np.cumsum(sizes) - sizes

    @property
    def dtype(self) -> np.dtype[Any]:
        """float16 or uint8."""
        return self._data.dtype

    def __len__(self) -> int:
        return len(self.lengths)

    def triangle(self, piece: int) -> Triangle:
        """The scores of a piece, not copied."""
        start = int(self._starts[piece])
        length = int(self.lengths[piece])
        count = length * (length + 1) // 2
        channels = len(self.channels)
        return self._data[start : start + channels * count].reshape(channels, count)

    def __reduce__(self) -> tuple[Callable[[Path], PackedScores], tuple[Path]]:
        return _reopen, (self.path,)

    def as_file(self) -> bytes:
        """The whole file, for a machine that cannot read it. Raises CacheError."""
        try:
            with open_file(self.path) as file:
                return file.read()
        except OSError as error:
            raise CacheError(f"{self.path} cannot be read ({error.strerror}).") from None


def open_packed(path: Path, key: Mapping[str, Any]) -> PackedScores | None:
    """The file if it is there, whole, and made for ``key``; else None."""
    try:
        description = _description(path)
        if description is None or description["key"] != from_json(json.dumps(key)):
            return None
        packed = _map(path, description)
        whole = _checksum(path, packed._data.nbytes) == description["crc"]
        return packed if whole and _are_scores(packed._data) else None
    except (OSError, *WRONG_DATA):
        return None


def write_packed(
    path: Path,
    key: Mapping[str, Any],
    channels: Sequence[str],
    lengths: NDArray[np.int64],
    dtype: str,
    triangles: Iterable[NDArray[np.float32]],
    coverage: Callable[[], float],
) -> PackedScores:
    """Write the triangles of all pieces, in order, to a file beside ``path``, then rename it.

    Each is float32 with values in [0, 1]. A row that is unknown in part gets its mean there, one
    that is wholly unknown the mean of its channel. ``coverage`` is called after the last one.
    Raises CacheError if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(
            f"No packed scores can be written to {path} ({error.strerror}): choose another "
            "--cache-dir."
        ) from None
    for left in unfinished_in(path.parent):
        is_left_over(left, remove=True)  # of other texts, too: these may never be read again
    with written(path, _PACKED, "--cache-dir") as file:
        filler = _Filler(len(channels))
        for number, (length, scores) in enumerate(zip(lengths, triangles, strict=True)):
            file.write(_coded(filler.fill(number, int(length), scores), dtype).tobytes())
        file.flush()
        size = file.tell()
        new = Path(file.name)
        _fill_empty_rows(new, filler, lengths, dtype)
        description = {
            "key": dict(key),
            "channels": list(channels),
            "dtype": dtype,
            "lengths": _runs(lengths),
            "coverage": coverage(),
            "crc": _checksum(new, size),
        }
        text = json.dumps(description).encode()
        file.write(text + _TAIL.pack(len(text), zlib.crc32(text), _MAGIC))
    return _map(path, description)


class _Filler:
    """Puts means where scores are unknown, and remembers the rows that have none at all.

    A position is known in all channels or in none: so caches keep it.
    """

    def __init__(self, channels: int) -> None:
        self._total = np.zeros(channels)
        self._count = 0
        self.empty: list[tuple[int, int]] = []
        """Piece and row; they wait for the means of the channels, which the last piece tells."""

    def fill(self, number: int, length: int, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        known = ~np.isnan(scores[0])
        self._total += scores[:, known].sum(axis=1)
        self._count += int(known.sum())
        if known.all():
            return scores
        filled = np.nan_to_num(scores)
        for row in range(length):
            place = slice(row * (row + 1) // 2, (row + 1) * (row + 2) // 2)
            there = known[place]
            if not there.any():
                self.empty.append((number, row))
            elif not there.all():
                part = filled[:, place]
                part[:, ~there] = part[:, there].mean(axis=1, keepdims=True)
        return filled

    def means(self) -> NDArray[np.float32]:
        """Of each channel, ``(C, 1)``."""
        found = self._total / max(self._count, 1)
        return found[:, None].astype(np.float32)


def _fill_empty_rows(path: Path, filler: _Filler, lengths: NDArray[np.int64], dtype: str) -> None:
    if not filler.empty:
        return
    means = filler.means()
    channels = len(means)
    data = np.memmap(path, dtype, mode="r+")
    sizes = entries(lengths) * channels
    starts = np.cumsum(sizes) - sizes
    coded = _coded(means, dtype)
    for number, row in filler.empty:
        start, count = row * (row + 1) // 2, int(lengths[number] * (lengths[number] + 1) // 2)
        piece = data[starts[number] : starts[number] + channels * count].reshape(channels, count)
        piece[:, start : start + row + 1] = coded
    data.flush()


def _coded(scores: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    if dtype == "uint8":
        return np.rint(scores * 255).astype(np.uint8)
    return scores.astype(np.float16)


def _runs(lengths: NDArray[np.int64]) -> list[list[int]]:
    """Lengths as ``[length, how many in a row]``: most pieces of a long text are equal."""
    if not len(lengths):
        return []
    cuts = np.flatnonzero(np.diff(lengths)) + 1
    firsts = np.concatenate([[0], cuts])
    counts = np.diff(np.append(firsts, len(lengths)))
    return [[int(lengths[f]), int(n)] for f, n in zip(firsts, counts, strict=True)]


def _description(path: Path) -> dict[str, Any] | None:
    with open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size < _TAIL.size:
            return None
        file.seek(size - _TAIL.size)
        length, checksum, magic = _TAIL.unpack(file.read(_TAIL.size))
        if magic != _MAGIC or length > min(size - _TAIL.size, MOST_BYTES):
            return None
        file.seek(size - _TAIL.size - length)
        text = file.read(length)
    if zlib.crc32(text) != checksum:
        return None
    found = from_json(text)
    return found if isinstance(found, dict) else None


def _map(path: Path, description: Mapping[str, Any]) -> PackedScores:
    """Raises ValueError if the file does not hold as many scores as it says."""
    pieces = description["lengths"]
    if not all(type(number) is int and number > 0 for run in pieces for number in run):
        raise ValueError("its pieces have no lengths")
    # In Python's numbers, and before anything is made of them: they may say anything.
    count = sum(n * length * (length + 1) // 2 for length, n in pieces)
    count *= len(description["channels"])
    if description["dtype"] not in ("float16", "uint8"):
        raise ValueError(f"its scores are {description['dtype']}")
    if count * np.dtype(description["dtype"]).itemsize > path.stat().st_size:
        raise ValueError("it is shorter than its pieces")
    runs = np.array(pieces, np.int64).reshape(-1, 2)
    lengths = np.repeat(runs[:, 0], runs[:, 1])
    # Copy on write, since torch warns of arrays that it could not write to.
    data = np.memmap(path, description["dtype"], mode="c", shape=(count,))
    return PackedScores(path, data, lengths, description)


def _are_scores(data: NDArray[Any]) -> bool:
    """Whether all lie in [0, 1]; as whole numbers, float16's bits of these are in order."""
    if data.dtype == np.uint8 or not len(data):
        return True
    return int(data.view(np.uint16).max()) <= int(np.float16(1).view(np.uint16))


def from_file(content: bytes, path: Path) -> PackedScores:
    """What ``as_file`` gave on another machine, kept here as ``path``. Raises CacheError."""
    with written(path, _PACKED, "TMPDIR") as file:
        file.write(content)
    return _reopen(path)


def _reopen(path: Path) -> PackedScores:
    """What another process of this machine has made."""
    try:
        description = _description(path)
        if description is not None:
            return _map(path, description)
    except (OSError, *WRONG_DATA):
        pass
    raise CacheError(
        f"The packed scores {path}, which another process has made, cannot be read here: give all "
        "machines one --cache-dir on a shared disk."
    )


def _checksum(path: Path, size: int) -> int:
    found = 0
    with open_file(path) as file:
        while size > 0:
            portion = file.read(min(size, _PORTION))
            if not portion:
                break
            found = zlib.crc32(portion, found)
            size -= len(portion)
    return found
