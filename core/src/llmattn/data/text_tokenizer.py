"""What every tokenizer offers, and how one is trained by name or read from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llmattn.data.bpe import BPE, BpeTokenizer
from llmattn.data.joining import GrowingLine
from llmattn.data.tokenizer import PRESETS, WordTokenizer
from llmattn.errors import CheckpointDamaged, ConfigError

__all__ = ["TOKENIZERS", "TextTokenizer", "read_tokenizer", "train_tokenizer"]

TOKENIZERS = (*PRESETS, BPE)
"""The names that ``--tokenizer`` takes."""


class TextTokenizer(Protocol):
    """Text as token ids, and the words that scores are asked for.

    Of tokens, as of words, id 0 is ``<unk>`` and id 1 ``<eol>``.
    """

    preset: str
    unk_id: int
    eol_id: int
    special_ids: tuple[int, ...]
    tokens_are_words: bool
    vocabulary: tuple[str, ...]

    @property
    def scored_words(self) -> tuple[str, ...]:
        """The words that scores are asked for, by their ids; they may differ from tokens."""
        ...

    def __len__(self) -> int: ...

    def encode(self, text: str) -> list[int]:
        """The ids of a line's tokens, without ``<eol>`` at either end."""
        ...

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of many lines, in parallel."""
        ...

    def written(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The tokens of each line as written, with what stands before them, then the rest."""
        ...

    def word_ids(
        self, ids: NDArray[np.int64], begins: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The scored word that each token is as a query, and as a key; both ``(N,)``.

        ``begins``: where a window begins. What a token is as a query follows from the tokens of
        its window up to it, and so does what the earlier ones are to it as keys.
        """
        ...

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that are read as ``<unk>``, each once."""
        ...

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ``ids``."""
        ...

    def detokenise(self, ids: Iterable[int]) -> str:
        """Readable text; ``<eol>`` becomes a line break."""
        ...

    def line(self, prompt: str) -> GrowingLine:
        """A line that begins with ``prompt`` and grows by tokens."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The tokenizer as plain data, which ``read_tokenizer`` reads."""
        ...

    def library_json(self) -> str:
        """The tokenizer as the ``tokenizers`` library writes it, for other programs."""
        ...


def train_tokenizer(
    lines: Sequence[str], *, preset: str, min_count: int, vocab_size: int
) -> TextTokenizer:
    """The tokenizer ``preset`` of a text. Scores are asked for words that occur ``min_count``
    times; ``bpe`` has ``vocab_size`` tokens, the others those words.

    Raises ConfigError for an unknown preset, CorpusError if no word is left.
    """
    if preset not in TOKENIZERS:
        raise ConfigError(
            f"No tokenizer is called {preset!r}; choose one of: {', '.join(TOKENIZERS)}."
        )
    if preset == BPE:
        return BpeTokenizer.train(lines, vocab_size=vocab_size, min_count=min_count)
    return WordTokenizer.train(lines, preset=preset, min_count=min_count)


def read_tokenizer(data: object) -> TextTokenizer:
    """The tokenizer that its ``to_dict`` described. Raises CheckpointDamaged for anything else."""
    if not isinstance(data, dict):
        raise CheckpointDamaged("The tokenizer is not described by a preset and its words.")
    return (BpeTokenizer if data.get("preset") == BPE else WordTokenizer).from_dict(data)
