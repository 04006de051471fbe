"""Draws tokens one after another; each step computes the new row of attention alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from llmattn.model.attention import KVCache
from llmattn.model.attn_gpt import AttnGPT, check_finite
from llmattn.sampling.options import SampleOptions

__all__ = ["Decoder", "RowScores", "draw", "generate"]


class RowScores(Protocol):
    """Gives the scores of the newest rows of texts."""

    def rows(self, text: Tensor, last: int, start: int = 0) -> Tensor | None:
        """Of the window ``text[:, start:]``, T tokens long, the last rows.

        ``text``: ``(B, n)``, all tokens so far. Returns ``(B, C, last, T)``, or None for models
        without scores.
        """
        ...


class Decoder:
    """B texts that grow by one token at a time.

    Up to ``block_size`` tokens it keeps each layer's values, so that a token costs one row.
    When the window is full it moves on by half of its size and is read anew: the result is always
    that of a full forward pass over :attr:`window`. Where it begins depends on the number of
    tokens alone, and every other window is one of those that training cuts a text into.
    """

    def __init__(self, model: AttnGPT, scores: RowScores, *, block_size: int | None = None) -> None:
        self._model = model
        self._scores = scores
        self._block_size = block_size or model.config.block_size
        self._cache: KVCache | None = None
        device = model.token_embedding.weight.device
        self._text = torch.zeros((1, 0), dtype=torch.int64, device=device)
        self._start = 0

    @property
    def window(self) -> Tensor:
        """The tokens that the next one depends on, ``(B, T)``."""
        return self._text[:, self._start :]

    @torch.no_grad()
    def push(self, ids: Tensor) -> Tensor:
        """Append ``ids`` ``(B, n)``; returns the logits of what follows, ``(B, V)``.

        Raises CheckpointError if these are no numbers.
        """
        new = ids.to(self._text.device)
        self._text = torch.cat([self._text.expand(len(new), -1), new], dim=1)
        start = _window_start(self._text.shape[1], self._block_size)
        if self._cache is None:
            self._cache = KVCache(
                self._model.config,
                len(new),
                device=new.device,
                dtype=self._model.token_embedding.weight.dtype,
            )
        if start > self._start:
            self._start, self._cache.length = start, 0
            new = self.window
        scores = self._scores.rows(self._text, new.shape[1], start)
        hidden = self._model.hidden(new, scores, self._cache)
        logits = self._model.logits(hidden[:, -1])
        check_finite(logits)
        return logits


def _window_start(length: int, block_size: int) -> int:
    """Where the window of a text of ``length`` tokens begins: at a multiple of ``block_size`` or
    half a block after one, the first of these from which a window reaches the text's end.
    """
    blocks, rest = divmod(max(0, length - block_size), block_size)
    steps = 0, (block_size + 1) // 2, block_size
    return blocks * block_size + min(step for step in steps if step >= rest)


def draw(logits: Tensor, options: SampleOptions, randoms: Sequence[torch.Generator]) -> Tensor:
    """One token a row of ``logits`` ``(B, V)``, each with its own generator; ``(B,)``."""
    logits = logits.float().cpu()
    if options.temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits / options.temperature
    if options.top_k:
        least = logits.topk(min(options.top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if options.top_p < 1:
        ranked, order = logits.sort(dim=-1, descending=True)
        share = ranked.softmax(dim=-1)
        # A token stays while those before it have not filled top_p: the first always does.
        beyond = share.cumsum(dim=-1) - share >= options.top_p
        logits = logits.masked_fill(beyond.gather(-1, order.argsort(dim=-1)), float("-inf"))
    shares = logits.softmax(dim=-1)
    drawn = [
        torch.multinomial(row, 1, generator=random)
        for row, random in zip(shares, randoms, strict=True)
    ]
    return torch.cat(drawn)


def generate(
    decoder: Decoder,
    prompt: Sequence[int],
    options: SampleOptions,
    randoms: Sequence[torch.Generator],
    *,
    unk_id: int,
    eol_id: int,
) -> Iterator[list[int]]:
    """``options.num`` continuations of a line that begins with ``prompt``.

    Yields the next token of each sample; ``eol_id`` from the end of its last line on. Stops when
    all samples have ended, or after ``options.max_new`` tokens. Never yields ``unk_id``.
    """
    start = torch.tensor([[eol_id, *prompt]]).expand(options.num, -1)
    logits = decoder.push(start)
    lines_left = torch.full((options.num,), options.lines)
    for place in range(options.max_new):
        logits[:, unk_id] = float("-inf")
        if place == 0 and not prompt:
            logits[:, eol_id] = float("-inf")  # a line has at least one word
        tokens = draw(logits, options, randoms).masked_fill(lines_left == 0, eol_id)
        lines_left = (lines_left - (tokens == eol_id).long()).clamp(min=0)
        yield tokens.tolist()
        if not lines_left.any() or place + 1 == options.max_new:
            return
        logits = decoder.push(tokens[:, None])
