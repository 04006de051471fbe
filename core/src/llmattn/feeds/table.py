"""Pair scores by token id, on the device of the model: what a provider said, and fills."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from llmattn.errors import CacheError, CheckpointDamaged
from llmattn.feeds.known_pairs import CodedPairs, KnownPairs, join_channels
from llmattn.untrusted import WRONG_DATA

__all__ = ["KnownPairs", "ScoreTable", "TableKind", "join_channels"]

DENSE_SHARE = 0.25
"""A dense table may take this share of the device's memory; above it the table is sparse."""

_MOST_ADDED = 1 << 14
"""Pairs that :meth:`ScoreTable.add` keeps beside the table before it takes them in."""

TableKind = Literal["float16", "uint8", "sparse"]
"""Dense in float16, dense in 255ths (off by at most 0.002), or the known pairs alone."""


class ScoreTable:
    """Scores of all pairs of a vocabulary, ``C`` channels.

    A pair that was never scored is worth ``absent[c]`` where the provider states that, else
    the mean of its query's known scores, else the mean of the channel. ``kind`` None: float16
    while that fits the memory, else uint8 while that does, else sparse. A dense table is read by
    ``index_select``, a sparse one by a search, which takes twenty times as long.
    """

    def __init__(
        self,
        known: KnownPairs,
        *,
        vocab_size: int,
        channels: Sequence[str],
        absent: Sequence[float | None],
        device: torch.device | str = "cpu",
        kind: TableKind | None = None,
    ) -> None:
        if known.scores.shape != (len(channels), len(known.query_ids)):
            raise ValueError(f"{len(channels)} channels, but scores of shape {known.scores.shape}")
        self.vocab_size = vocab_size
        self.channels = tuple(channels)
        self.absent = tuple(absent)
        self.device = torch.device(device)
        self._known = known
        self.kind = kind or _kind_for(len(channels) * vocab_size**2, self.device)
        self._file: Path | None = None
        self._derive()
        self._build()

    def _derive(self) -> None:
        """What follows from the known pairs, and costs less to work out than to carry along."""
        self._codes = self._known.codes(self.vocab_size)
        self._fill = _row_fill(self._known, self.vocab_size, self.absent)  # (C, V)
        self._keep_beside(CodedPairs.none(len(self.channels)))

    @property
    def known(self) -> KnownPairs:
        """All pairs that it was made from, and those that were added."""
        if len(self._added):
            whole = CodedPairs(self._codes, self._known.scores).update(self._added)
            self._codes = whole.codes
            query, key = np.divmod(whole.codes, self.vocab_size)
            self._known = KnownPairs(query.astype(np.int32), key.astype(np.int32), whole.scores)
            self._keep_beside(CodedPairs.none(len(self.channels)))
            if self.kind == "sparse":
                self._build()
        return self._known

    def _keep_beside(self, pairs: CodedPairs) -> None:
        """Hold ``pairs`` beside the table; a sparse one looks them up there."""
        self._added = pairs
        if self.kind == "sparse":
            self._added_sorted, self._added_scores = self._searchable(pairs)

    def _searchable(self, pairs: CodedPairs) -> tuple[Tensor, Tensor]:
        """Codes and scores on the device, every score known."""
        queries = pairs.codes // self.vocab_size
        scores = np.where(np.isnan(pairs.scores), self._fill[:, queries], pairs.scores)
        # A last code that no pair has keeps searchsorted's answers inside the array.
        codes = torch.from_numpy(np.append(pairs.codes, np.iinfo(np.int64).max))
        padded = torch.from_numpy(np.pad(scores, ((0, 0), (0, 1))))
        return codes.to(self.device), padded.to(self.device)

    def _build(self) -> None:
        known, size = self._known, self.vocab_size
        if self.kind == "sparse":
            pairs = CodedPairs(self._codes, known.scores)
            self._sorted, self._scores = self._searchable(pairs)
            self._fill_on_device = torch.from_numpy(self._fill).to(self.device)
            return
        fill_of_known = self._fill[:, known.query_ids]
        scores = np.where(np.isnan(known.scores), fill_of_known, known.scores)
        table = np.repeat(self._coded(self._fill), size, axis=1)
        for channel, coded in zip(table, self._coded(scores), strict=True):
            channel[self._codes] = coded
        self._table = torch.from_numpy(table).to(self.device)

    def _coded(self, scores: NDArray[np.float16]) -> NDArray[Any]:
        """Scores as the dense table holds them."""
        if self.kind == "uint8":
            return np.rint(scores.astype(np.float32) * 255).astype(np.uint8)
        return scores

    def share(self, folder: Path | None = None) -> None:
        """Move a dense table on the CPU into a file that is mapped into memory.

        Pickles then name the file, so that the processes of a machine hold the table once
        together; where the file is not found, the table is built anew. It goes with this object.
        ``folder`` None is the system's for temporary files. Raises CacheError if it has no room.
        """
        if self.kind == "sparse" or self.device.type != "cpu" or self._file is not None:
            return
        name = ""
        try:
            handle, name = tempfile.mkstemp(prefix="llmattn-table-", dir=folder)
            weakref.finalize(self, Path(name).unlink, missing_ok=True)
            table = self._table.numpy()
            with os.fdopen(handle, "wb") as file:
                table.tofile(file)
            self._map(Path(name))
        except OSError as error:
            raise CacheError(
                f"The score table cannot be shared between processes through {name or folder} "
                f"({error.strerror or error}): make room, or name another folder with TMPDIR."
            ) from None

    def _map(self, file: Path) -> None:
        """Take the dense table from ``file``. Raises OSError or ValueError if it is not there."""
        shape = len(self.channels), self.vocab_size**2
        # Copy on write: what sampling adds to it is this process's own.
        self._table = torch.from_numpy(np.memmap(file, self.kind, mode="c", shape=shape))
        self._file = file

    def __getstate__(self) -> dict[str, Any]:
        _ = self.known  # what was added goes with it
        built = {"_codes", "_fill", "_table", "_sorted", "_scores", "_fill_on_device"}
        built |= {"_added", "_added_sorted", "_added_scores"}
        return {name: value for name, value in self.__dict__.items() if name not in built}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.device.type == "cuda":  # that of the process which reads the pickle
            self.device = torch.device("cuda", torch.cuda.current_device())
        self._derive()
        file, self._file = self._file, None
        try:
            if file is None:
                self._build()
            else:
                self._map(file)
        except (OSError, ValueError):
            self._build()

    def gather(
        self, ids: Tensor, last: int | None = None, *, queries: Tensor | None = None
    ) -> Tensor:
        """Scores of a batch of texts.

        ``ids``: ``(B, T)``. Returns ``(B, C, T, T)``, entry ``[b, c, i, j]`` for query
        ``ids[b, i]`` and key ``ids[b, j]``; with ``last`` only the last rows, ``(B, C, last, T)``.
        They are float16, or 255ths in uint8 from a table of that kind. ``queries``: what the
        tokens are as queries, if not the same.
        """
        queries = ids if queries is None else queries
        batch, length = ids.shape
        rows = length if last is None else last
        small = self.kind != "sparse" and self.vocab_size**2 <= torch.iinfo(torch.int32).max
        kind = torch.int32 if small else torch.int64
        rising = queries[:, length - rows :, None].to(kind) * self.vocab_size
        codes = (rising + ids[:, None, :].to(kind)).reshape(-1)
        if self.kind != "sparse":
            # One channel after another: in one go index_select takes twice as long.
            picked = self._table.new_empty(len(self._table), len(codes))
            for channel, out in zip(self._table, picked, strict=True):
                torch.index_select(channel, 0, codes, out=out)
        else:
            where = torch.searchsorted(self._sorted, codes)
            fill = self._fill_on_device.index_select(1, codes // self.vocab_size)
            hit = self._sorted[where] == codes
            picked = torch.where(hit, self._scores.index_select(1, where), fill)
            if len(self._added):
                where = torch.searchsorted(self._added_sorted, codes)
                hit = self._added_sorted[where] == codes
                picked = torch.where(hit, self._added_scores.index_select(1, where), picked)
        return picked.view(len(self.channels), batch, rows, length).transpose(0, 1)

    def is_known(
        self, query_ids: ArrayLike, key_ids: ArrayLike, channels: slice = slice(None)
    ) -> NDArray[np.bool_]:
        """Which pairs have been scored in all of ``channels``; the ids are broadcast."""
        codes = np.asarray(query_ids, np.int64) * self.vocab_size + np.asarray(key_ids, np.int64)
        unknown = np.asarray(np.isnan(self._stored(codes.ravel(), channels)).any(axis=0))
        return ~unknown.reshape(codes.shape)

    def _stored(
        self, codes: NDArray[np.int64], channels: slice = slice(None)
    ) -> NDArray[np.float16]:
        """The scores of pairs, ``(C, N)``; NaN where there is none."""
        found = np.full((len(self.channels[channels]), len(codes)), np.nan, np.float16)
        for pairs in (CodedPairs(self._codes, self._known.scores), self._added):
            there, where = pairs.find(codes)
            found[:, there] = pairs.scores[channels, where[there]]
        return found

    def add(self, query_id: int, key_ids: Sequence[int], scores: NDArray[Any]) -> None:
        """Take in scores ``(C, N)`` of one query, replacing what was known of these pairs.

        NaN leaves a channel as it was. What other pairs are worth does not change. What it costs
        does not grow with the table: see ``_MOST_ADDED``.
        """
        keys, first = np.unique(np.asarray(key_ids, np.int32), return_index=True)
        codes = query_id * self.vocab_size + keys.astype(np.int64)
        new = np.asarray(scores, np.float16)[:, first]
        merged = np.where(np.isnan(new), self._stored(codes), new)
        self._keep_beside(self._added.update(CodedPairs(codes, merged)))
        if len(self._added) > _MOST_ADDED:
            _ = self.known  # takes them in
        if self.kind == "sparse":
            return
        final = self._coded(np.where(np.isnan(merged), self._fill[:, [query_id]], merged))
        where = torch.from_numpy(codes).to(self.device)
        self._table[:, where] = torch.from_numpy(final).to(self.device)

    def state(self) -> dict[str, Any]:
        """The known pairs as tensors and plain values, for a checkpoint."""
        return {
            "vocab_size": self.vocab_size,
            "channels": list(self.channels),
            "absent": list(self.absent),
            "query_ids": torch.from_numpy(self.known.query_ids),
            "key_ids": torch.from_numpy(self.known.key_ids),
            "scores": torch.from_numpy(self.known.scores),
        }

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        *,
        vocab_size: int,
        channels: int,
        device: torch.device | str = "cpu",
    ) -> ScoreTable:
        """The table that :meth:`state` described, of so many words and channels.

        Raises CheckpointDamaged for any other.
        """
        try:
            known = _checked_pairs(state, vocab_size, channels)
            names, absent = state["channels"], state["absent"]
            if not all(isinstance(name, str) for name in names) or len(absent) != channels:
                raise ValueError("its channels have no names")
            if not all(value is None or 0 <= value <= 1 for value in absent):
                raise ValueError("what absent pairs are worth is no score")
            return cls(known, vocab_size=vocab_size, channels=names, absent=absent, device=device)
        except WRONG_DATA as error:
            raise CheckpointDamaged(f"The checkpoint's score table is damaged: {error}.") from None


def _checked_pairs(state: Mapping[str, Any], vocab_size: int, channels: int) -> KnownPairs:
    """Raises LookupError, TypeError, ValueError or AttributeError unless they are what they should
    be, so that nothing in them leads outside of a table.
    """
    parts = [state[name] for name in ("query_ids", "key_ids", "scores")]
    if state["vocab_size"] != vocab_size:
        raise ValueError(f"it has {state['vocab_size']} words, and not {vocab_size}")
    if [part.dtype for part in parts] != [torch.int32, torch.int32, torch.float16]:
        raise ValueError("its pairs and scores are numbers of another kind")
    query, key, scores = (np.ascontiguousarray(part.numpy()) for part in parts)
    count = query.size
    if (query.shape, key.shape, scores.shape) != ((count,), (count,), (channels, count)):
        raise ValueError("its pairs and scores are not of one length")
    if count and (min(query.min(), key.min()) < 0 or max(query.max(), key.max()) >= vocab_size):
        raise ValueError("its pairs are not of the vocabulary")
    if ((scores < 0) | (scores > 1)).any():
        raise ValueError("a score is not in [0, 1]")
    known = KnownPairs(query, key, scores)
    if (np.diff(known.codes(vocab_size)) <= 0).any():
        raise ValueError("its pairs are not sorted, each once")
    return known


def _row_fill(
    known: KnownPairs, vocab_size: int, absent: Sequence[float | None]
) -> NDArray[np.float16]:
    """What an unknown pair of each query is worth, ``(C, V)``."""
    fill = np.zeros((len(absent), vocab_size), np.float16)
    for channel, value in enumerate(absent):
        if value is not None:
            fill[channel] = value
            continue
        scores = known.scores[channel].astype(np.float64)
        there = ~np.isnan(scores)
        queries = known.query_ids[there]
        total = np.bincount(queries, scores[there], minlength=vocab_size)
        count = np.bincount(queries, minlength=vocab_size)
        mean = total.sum() / max(count.sum(), 1)
        fill[channel] = np.where(count > 0, total / np.maximum(count, 1), mean)
    return fill


def _kind_for(scores: int, device: torch.device) -> TableKind:
    """The most exact kind of table that fits the memory."""
    room = DENSE_SHARE * _memory(device)
    if 2 * scores <= room:
        return "float16"
    return "uint8" if scores <= room else "sparse"


def _memory(device: torch.device) -> int:
    """Bytes of memory of the device, as far as this process may take them."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        import resource
    except (AttributeError, ImportError, ValueError, OSError):  # not on Windows
        return 8 * 2**30
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min([found, *(limit for limit in limits if limit != resource.RLIM_INFINITY)])
