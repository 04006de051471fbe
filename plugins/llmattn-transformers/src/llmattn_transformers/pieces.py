"""Pieces of a text as the model's sub-words, each piece for itself, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from llmattn.plugin import ConfigError
from torch import Tensor

__all__ = ["Encoded", "PieceEncoder", "join_keys", "mean_queries"]

_LEAD = "\n"


@frozen
class Encoded:
    """A text as sub-words, behind the start token.

    Piece i has the sub-words ``ids[ends[i - 1] : ends[i]]``, piece 0 ``ids[1 : ends[0]]``.
    """

    ids: tuple[int, ...]
    ends: tuple[int, ...]


class PieceEncoder:
    """Turns pieces into ids without looking at their neighbours.

    A tokenizer that reads a whole text may cut its beginning otherwise than the beginning
    alone (``-`` and ``--``), so that later words would change earlier scores. Piece by piece
    that cannot be.
    """

    def __init__(self, tokenizer: Any, start_token: str = "") -> None:
        """``start_token``: as in the settings. Raises ConfigError if there is no such token."""
        self._tokenizer = tokenizer
        self._known: dict[str, tuple[int, ...]] = {}
        self._lead: list[int] = []
        self.start = self._start(start_token)
        # Some tokenizers put a space before whatever they are given; behind a line end they
        # don't.
        if tokenizer.convert_ids_to_tokens(self._plain("a"))[:1] in (["▁a"], ["▁"]):
            self._lead = self._plain(_LEAD)

    def encode(self, pieces: Sequence[str]) -> Encoded:
        """The sub-words of a text; every piece has at least one."""
        ids = [self.start]
        ends: list[int] = []
        for piece in pieces:
            ids.extend(self._ids(piece))
            ends.append(len(ids))
        return Encoded(tuple(ids), tuple(ends))

    def whole(self, text: str) -> list[int]:
        """The sub-words of a text as the tokenizer itself cuts it, without the start token."""
        return self._plain(text)

    def _ids(self, piece: str) -> tuple[int, ...]:
        known = self._known.get(piece)
        if known is None:
            ids = self._plain(_LEAD + piece if self._lead else piece)
            ids = ids[len(self._lead) :] if ids[: len(self._lead)] == self._lead else ids
            # A piece that leaves nothing (a control character) still takes its place.
            known = self._known[piece] = tuple(ids) or (self.start,)
        return known

    def _plain(self, text: str) -> list[int]:
        """Ids of ``text``; special tokens written in it are ordinary letters."""
        given = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(given["input_ids"])

    def _start(self, wanted: str) -> int:
        tokenizer = self._tokenizer
        vocabulary = tokenizer.get_vocab()
        if wanted:
            if wanted not in vocabulary:
                raise ConfigError(
                    f"transformers: the model has no token {wanted!r}; leave out "
                    "-o transformers.start_token, or name one of its special tokens: "
                    f"{', '.join(tokenizer.all_special_tokens)}."
                )
            return int(vocabulary[wanted])
        for token in ("<|endoftext|>", tokenizer.bos_token, tokenizer.eos_token):
            if token in vocabulary:
                return int(vocabulary[token])
        raise ConfigError(
            "transformers: the model's tokenizer has no start token; name a token of its "
            "vocabulary to stand before the text: -o transformers.start_token=..."
        )


def join_keys(ends: Sequence[Sequence[int]], size: int) -> Tensor:
    """``(B, size, L)``: 1 where sub-word s belongs to piece p. The start token belongs to none.

    ``ends``: of B texts; L is the number of pieces of the longest.
    """
    joined = torch.zeros(len(ends), size, max(map(len, ends)))
    for one, of_text in zip(joined, ends, strict=True):
        starts = (1, *of_text[:-1])
        for piece, (start, end) in enumerate(zip(starts, of_text, strict=True)):
            one[start:end, piece] = 1
    return joined


def mean_queries(ends: Sequence[Sequence[int]], first: int, start: int, size: int) -> Tensor:
    """``(B, L - first, size - start)``: the mean over the sub-words of each piece from ``first``
    on; the columns are the sub-words from ``start`` on.
    """
    joined = join_keys(ends, size)[:, start:, first:].transpose(1, 2)
    return joined / joined.sum(-1, keepdim=True).clamp(min=1)
