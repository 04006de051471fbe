"""A text file, one sentence a line, as token ids: to train on, to validate and to test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.data.config import TextConfig
from llmattn.data.long_words import LONG_WORDS, has_long_words
from llmattn.data.parts import split_lines, text_lines
from llmattn.data.text_tokenizer import TextTokenizer, train_tokenizer
from llmattn.data.tokenizer import WordTokenizer
from llmattn.errors import CorpusError
from llmattn.notices import notify
from llmattn.reading.files import read_text

__all__ = [
    "Corpus",
    "Pieces",
    "Split",
    "encode_lines",
    "load_corpus",
    "read_lines",
    "text_digest",
]


@frozen(eq=False)
class Pieces:
    """Stretches of a split that fit the model: piece p has the inputs
    ``ids[starts[p] : starts[p] + lengths[p]]``, and each one's target is the token after it.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)


@frozen(eq=False, slots=False)
class Split:
    """Token ids, end to end; no window reaches over the ends of a stretch, which are ``offsets``.

    Of lines each is a stretch ``<eol> w1 ... wn <eol>``, whose first mark stands for its start.
    A stream is one stretch, ``<eol> line <eol> line <eol>``: one mark between two lines.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    texts: tuple[str, ...]
    """The lines as their author wrote them; after one of a stream stand the blank lines."""
    tokenizer: TextTokenizer
    stream: bool = False
    """Whether windows run on over line ends."""

    def __len__(self) -> int:
        """How many lines there are."""
        return len(self.texts)

    @property
    def targets(self) -> int:
        """How many tokens there are to predict: the words and one ``<eol>`` a line."""
        return int(len(self.ids) - len(self.offsets) + 1)

    @property
    def unknown_share(self) -> float:
        """The share of them that is ``<unk>``: what a loss says nothing of."""
        predicted = np.ones(len(self.ids), np.bool_)
        predicted[self.offsets[:-1]] = False  # the mark at the start of a stretch
        unknown = predicted & (self.ids == self.tokenizer.unk_id)
        return float(unknown.sum() / max(1, self.targets))

    def lines(self) -> list[list[int]]:
        """The tokens of each line as ids, without ``<eol>``."""
        return self._cut(self.ids)

    def scored_lines(self) -> list[list[int]]:
        """The words of each line that scores are asked for, by their own ids; 0 where a token
        is none or does not end one.
        """
        return self._cut(self._word_ids(self.offsets[:-1]))

    def scored_windows(self, block_size: int) -> list[list[int]]:
        """The same of each window of :meth:`pieces`, ``<eol>`` included."""
        pieces = self.pieces(block_size)
        words = self._word_ids(pieces.starts)
        ends = pieces.starts + pieces.lengths
        return [
            words[start:end].tolist()
            for start, end in zip(pieces.starts.tolist(), ends.tolist(), strict=True)
        ]

    def _word_ids(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The words that end at each token, in stretches that begin at ``starts``."""
        begins = np.zeros(len(self.ids), np.bool_)
        begins[starts] = True
        return self.tokenizer.word_ids(self.ids.astype(np.int64), begins)[0]

    def _cut(self, values: NDArray[Any]) -> list[list[int]]:
        marks = np.flatnonzero(self.ids == self.tokenizer.eol_id).tolist()
        found = values.tolist()
        return [found[a + 1 : b] for a, b in pairwise(marks) if b > a + 1]

    @cached_property
    def written(self) -> list[str]:
        """Each token as its author wrote it, with what stands before it; aligned with ``ids``.

        ``<eol>`` is what its line ends with and "\\n", the first one of a stretch "\\n" alone: so
        together the pieces of a stretch are its text after a line end. A token that shares its
        only character with the one before (some characters are two by NFC) is empty.
        """
        found: list[str] = []
        for pieces in self.tokenizer.written(self.texts):
            if not (self.stream and found):
                found.append("\n")
            found += pieces
            found[-1] += "\n"
        return found

    def pieces(self, block_size: int) -> Pieces:
        """The windows of ``block_size`` inputs that follow each other in every stretch.

        A later window does not see the earlier ones. They are the same in every epoch: scores
        of words in context belong to windows.
        """
        inputs = np.diff(self.offsets) - 1
        count = -(-inputs // block_size)
        stretch = np.repeat(np.arange(len(inputs)), count)
        before = np.cumsum(count) - count
        skipped = (np.arange(len(stretch)) - before[stretch]) * block_size
        lengths = np.minimum(inputs[stretch] - skipped, block_size)
        return Pieces(self.offsets[stretch] + skipped, lengths)


@frozen(eq=False)
class Corpus:
    """A corpus, ready for training. ``digest``: what :func:`text_digest` gives for its lines.

    ``test``: what nothing is chosen by, or None if no part is held apart for it.
    """

    tokenizer: TextTokenizer
    train: Split
    val: Split
    test: Split | None
    digest: str

    @property
    def splits(self) -> tuple[Split, ...]:
        """All parts, in the order of the text."""
        return (self.train, self.val) if self.test is None else (self.train, self.val, self.test)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that scores are asked for, by their ids."""
        return self.tokenizer.scored_words

    def train_words(self, block_size: int | None = None) -> list[list[str]]:
        """What a provider may read: the words of each training line, unknown ones left out.

        With ``block_size``, of a stream: the words of each window. A provider that leaves out
        what it scores then leaves out all that the model sees together.
        """
        words, special = self.words, self.tokenizer.special_ids
        if block_size and self.train.stream:
            parts = self.train.scored_windows(block_size)
        else:
            parts = self.train.scored_lines()
        return [[words[index] for index in part if index not in special] for part in parts]


def read_lines(path: Path, *, keep_blank: bool = False) -> list[str]:
    """The lines of a text file that are not blank, without white space at their ends.

    ``keep_blank``: a line carries the "\\n" of each blank line after it. Raises CorpusError for
    what :func:`~llmattn.reading.files.read_text` does not read.
    """
    return text_lines(read_text(path), keep_blank=keep_blank)


def text_digest(lines: Sequence[str]) -> str:
    """The SHA-256 of what a run depends on in a text, its lines as :func:`read_lines` gives them.

    So the blank lines of a stream count, which providers are shown, and no others.
    """
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def encode_lines(lines: Sequence[str], tokenizer: TextTokenizer, *, stream: bool = False) -> Split:
    """Lines as ids, each between two ``<eol>``, or as one stream with one between two.

    A line without a single token is left out; in a stream the ``<eol>`` before it is written so.
    """
    texts: list[str] = []
    encoded: list[list[int]] = []
    for text, line in zip(lines, tokenizer.encode_batch(lines), strict=True):
        if line:
            texts.append(text)
            encoded.append(line)
        elif stream and texts:
            texts[-1] += "\n" + text
    eol = (tokenizer.eol_id,)
    opening = () if stream else eol
    ids = np.fromiter(
        chain(eol if stream else (), *(chain(opening, line, eol) for line in encoded)), np.int32
    )
    lengths = np.fromiter((len(line) + 2 for line in encoded), np.int64, len(encoded))
    ends = [len(ids)] if stream else np.cumsum(lengths)
    offsets = np.concatenate([np.zeros(1, np.int64), ends])
    return Split(ids, offsets, tuple(texts), tokenizer, stream)


def load_corpus(
    path: str | os.PathLike[str],
    config: TextConfig = TextConfig(),
    *,
    tokenizer: TextTokenizer | None = None,
    hint: bool = True,
) -> Corpus:
    """Read, split and encode a corpus; the vocabulary comes from the training lines alone.

    With ``tokenizer`` (from a checkpoint) none is made of ``config``. ``hint``: tell on stderr
    where another tokenizer would find better words. Raises CorpusError or ConfigError.
    """
    if not isinstance(path, str | os.PathLike):
        raise CorpusError(f"A corpus is named by a path, not a {type(path).__name__}.")
    lines = read_lines(Path(path), keep_blank=config.stream)
    parts = split_lines(lines, config, name=f"The corpus {path}")
    if tokenizer is None:
        tokenizer = train_tokenizer(
            parts[0],
            preset=config.tokenizer,
            min_count=config.min_count,
            vocab_size=config.vocab_size,
        )
        if hint and isinstance(tokenizer, WordTokenizer) and has_long_words(parts[0], tokenizer):
            notify(LONG_WORDS)
    splits = [encode_lines(part, tokenizer, stream=config.stream) for part in parts]
    for part, split, name in zip(parts, splits, ("training", "validation", "test"), strict=True):
        if part and not len(split):
            raise CorpusError(
                f"The {name} lines of {path} hold no token of the preset {tokenizer.preset!r}."
            )
    train, val, test = splits
    return Corpus(tokenizer, train, val, test if len(test) else None, text_digest(lines))
