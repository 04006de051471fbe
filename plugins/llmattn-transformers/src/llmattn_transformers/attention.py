"""Method `attention`: the model's own attention maps, folded from sub-words to pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from llmattn.plugin import Scores
from torch import Tensor

from llmattn_transformers.channels import Channel
from llmattn_transformers.pieces import Encoded, PieceEncoder, join_keys, mean_queries
from llmattn_transformers.teacher import Past, Teacher
from llmattn_transformers.texts import Text

__all__ = ["AttentionMaps", "shares"]

_FEW = 16
"""Up to so many texts are remembered, so that of each only what is new need be read."""


class AttentionMaps:
    """Maps of texts: for each query the share of its attention that each key gets.

    The attention of a head is summed over the sub-words of a key and averaged over those of a
    query; a layer's map is the mean of its heads. What falls on the start token, which takes
    the attention that goes nowhere, is left out, and the rest of each row made to sum to 1.
    """

    def __init__(
        self,
        teacher: Teacher,
        encoder: PieceEncoder,
        channels: Sequence[Channel],
        batch_tokens: int,
    ) -> None:
        self._teacher = teacher
        self._encoder = encoder
        self._batch_tokens = batch_tokens
        self._places: dict[int, list[tuple[int, int | None]]] = {}
        for place, channel in enumerate(channels):
            self._places.setdefault(channel.layer, []).append((place, channel.head))
        self._channels = len(channels)
        self._last = max(self._places)

    @torch.inference_mode()
    def maps(self, texts: Sequence[Text]) -> Iterator[tuple[Text, Scores]]:
        """``(C, L - text.first, L)`` of each text, in any order: the rows from ``first`` on."""
        encoded = [(text, self._encoder.encode(text.pieces)) for text in texts]
        for _, one in encoded:
            self._teacher.check(one)
        if len(encoded) <= _FEW:
            yield from self._remembering(encoded)
            return
        encoded.sort(key=lambda pair: len(pair[1].ids))
        for batch in self._batches(encoded):
            found = self._together([one for _, one in batch])
            for (text, _), map_ in zip(batch, found, strict=True):
                length = len(text.pieces)
                yield text, map_[:, text.first : length, :length]

    def _remembering(self, encoded: list[tuple[Text, Encoded]]) -> Iterator[tuple[Text, Scores]]:
        """Of each text only what has not been read before is read."""
        if len(encoded) == 1 or not self._teacher.grows_together:
            for text, one in encoded:
                yield text, self._alone(one, text.first)
            return
        pasts = [self._past(one, text.first) for text, one in encoded]
        news = [
            len(one.ids) - len(p.ids if p else ())
            for (_, one), p in zip(encoded, pasts, strict=True)
        ]
        order = sorted(range(len(encoded)), key=news.__getitem__)
        start = 0
        for end in range(1, len(order) + 1):
            if end < len(order) and news[order[end]] * (end + 1 - start) <= self._batch_tokens:
                continue
            yield from self._grown([(*encoded[i], pasts[i]) for i in order[start:end]])
            start = end

    def _grown(
        self, batch: Sequence[tuple[Text, Encoded, Past | None]]
    ) -> Iterator[tuple[Text, Scores]]:
        texts, ones, pasts = zip(*batch, strict=True)
        sizes = [len(past.ids) if past else 0 for past in pasts]
        before = max(sizes)
        new = max(len(one.ids) - size for one, size in zip(ones, sizes, strict=True))
        size, first = max(len(one.ids) for one in ones), min(text.first for text in texts)
        ends = [one.ends for one in ones]
        queries = mean_queries(ends, first, 0, size)
        keys = join_keys(ends, size)
        own_queries = queries.new_zeros(*queries.shape[:2], new)
        own_keys = keys.new_zeros(len(ones), before + new, keys.shape[2])
        for row, (one, known) in enumerate(zip(ones, sizes, strict=True)):
            count = len(one.ids) - known
            own_queries[row, :, :count] = queries[row, :, known : known + count]
            own_keys[row, :known] = keys[row, :known]
            own_keys[row, before : before + count] = keys[row, known : known + count]
        fold = self._folding(own_queries, own_keys)
        with self._teacher.attending(fold.take, self._last):
            self._teacher.go_on_together([one.ids for one in ones], pasts)
        found = self._finished(fold, first)
        for text, maps in zip(texts, found, strict=True):
            length = len(text.pieces)
            yield text, maps[:, text.first - first : length - first, :length]

    def _past(self, one: Encoded, first: int) -> Past | None:
        """What has been read of a text whose rows from ``first`` on are wanted."""
        known = one.ends[first - 1] if first else 1
        return self._teacher.remembered(one.ids, known, self._last + 1)

    def _batches(self, encoded: list[tuple[Text, Encoded]]) -> Iterator[list[tuple[Text, Encoded]]]:
        """Texts of like length, as many as make up ``batch_tokens``."""
        batch: list[tuple[Text, Encoded]] = []
        for pair in encoded:
            if batch and len(pair[1].ids) * (len(batch) + 1) > self._batch_tokens:
                yield batch
                batch = []
            batch.append(pair)
        yield batch

    def _together(self, batch: Sequence[Encoded]) -> Scores:
        """``(B, C, L, L)``. A shorter text is filled up behind, where it never looks."""
        size = max(len(one.ids) for one in batch)
        ids = torch.full((len(batch), size), self._encoder.start)
        for row, one in zip(ids, batch, strict=True):
            row[: len(one.ids)] = torch.tensor(one.ids)
        fold = self._fold([one.ends for one in batch], 0, 0, size)
        with self._teacher.attending(fold.take, self._last):
            self._teacher.read(ids)
        return self._finished(fold, 0)

    def _alone(self, one: Encoded, first: int) -> Scores:
        """``(C, L - first, L)``, reading only what has not been read before."""
        past = self._past(one, first)
        start = len(past.ids) if past else 0
        fold = self._fold([one.ends], first, start, len(one.ids))
        with self._teacher.attending(fold.take, self._last):
            self._teacher.go_on(one.ids, past)
        maps: Scores = self._finished(fold, first)[0]
        return maps

    def _fold(self, ends: Sequence[Sequence[int]], first: int, start: int, size: int) -> _Fold:
        return self._folding(mean_queries(ends, first, start, size), join_keys(ends, size))

    def _folding(self, queries: Tensor, keys: Tensor) -> _Fold:
        device = self._teacher.device
        maps = torch.zeros(len(keys), self._channels, queries.shape[1], keys.shape[2])
        return _Fold(queries.to(device), keys.to(device), self._places, maps.to(device))

    def _finished(self, fold: _Fold, first: int) -> Scores:
        """Without the start token's share, rows sum to 1 again."""
        finished: Scores = shares(fold.maps, first).cpu().numpy()
        return finished


def shares(maps: Tensor, first: int) -> Tensor:
    """``(..., L - first, L)``: rows that sum to 1, of rows that are not negative. A row of zeros
    becomes even over what it may see.
    """
    length = maps.shape[-1]
    seen = torch.ones(length, length, device=maps.device).tril()[first:]
    mass = maps.sum(-1, keepdim=True)
    return torch.where(mass > 0, maps / mass, seen / seen.sum(-1, keepdim=True)).clamp(0, 1)


class _Fold:
    """Takes the weights of one layer after the other, and keeps what the channels need."""

    def __init__(
        self,
        queries: Tensor,
        keys: Tensor,
        places: Mapping[int, Sequence[tuple[int, int | None]]],
        maps: Tensor,
    ) -> None:
        self._queries = queries
        self._keys = keys
        self._places = places
        self.maps = maps

    def take(self, layer: int, weights: Tensor) -> None:
        """``weights``: ``(B, H, S, keys)``."""
        wanted = self._places.get(layer, ())
        if not wanted:
            return
        heads = [weights.mean(1) if head is None else weights[:, head] for _, head in wanted]
        folded = self._queries[:, None] @ torch.stack(heads, 1) @ self._keys[:, None]
        self.maps[:, [place for place, _ in wanted]] = folded
