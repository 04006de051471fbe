"""A text file, one sentence a line, as token ids in a training and a validation part."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.data.tokenizer import WordTokenizer
from llmattn.errors import ConfigError, CorpusError

__all__ = ["Corpus", "Pieces", "Split", "encode_lines", "load_corpus", "read_lines", "split_lines"]


@frozen(eq=False)
class Pieces:
    """Stretches of a split that fit the model: piece p has the inputs
    ``ids[starts[p] : starts[p] + lengths[p]]``, and each one's target is the token after it.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)


@frozen(eq=False)
class Split:
    """Lines of token ids, end to end: line n is ``ids[offsets[n] : offsets[n + 1]]``.

    A line is ``<eol> w1 ... wn <eol>``; the first mark stands for its start.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def targets(self) -> int:
        """How many tokens there are to predict: the words and one ``<eol>`` a line."""
        return int(len(self.ids) - len(self))

    def lines(self) -> list[list[int]]:
        """The words of each line as ids, without ``<eol>``."""
        ids, offsets = self.ids.tolist(), self.offsets.tolist()
        return [ids[a + 1 : b - 1] for a, b in pairwise(offsets)]

    def pieces(self, block_size: int) -> Pieces:
        """The lines, those of more than ``block_size`` inputs cut into several pieces.

        A later piece does not see the earlier ones of its line.
        """
        inputs = np.diff(self.offsets) - 1
        count = -(-inputs // block_size)
        line = np.repeat(np.arange(len(inputs)), count)
        before = np.cumsum(count) - count
        skipped = (np.arange(len(line)) - before[line]) * block_size
        return Pieces(self.offsets[line] + skipped, np.minimum(inputs[line] - skipped, block_size))


@frozen(eq=False)
class Corpus:
    """A corpus, ready for training. ``digest`` is the SHA-256 of its lines."""

    tokenizer: WordTokenizer
    train: Split
    val: Split
    digest: str

    def train_words(self) -> list[list[str]]:
        """The words of each training line, unknown ones left out: what a provider may read."""
        vocabulary, special = self.tokenizer.vocabulary, self.tokenizer.special_ids
        return [
            [vocabulary[index] for index in line if index not in special]
            for line in self.train.lines()
        ]


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file that are not blank.

    Raises CorpusError if there is no such file, it is not UTF-8, or it holds no text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(
            f"There is no corpus at {path}: put a text there, one sentence a line, or name "
            "one with --corpus FILE."
        ) from None
    except OSError as error:
        raise CorpusError(
            f"The corpus {path} cannot be read ({error.strerror}): name a text file with --corpus."
        ) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{path} is not UTF-8: line {line} holds the byte 0x{data[error.start]:02x} (byte "
            f"{error.start + 1} of the file). Convert it, for example: "
            f"iconv -f latin1 -t utf-8 {path}"
        ) from None
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise CorpusError(f"The corpus {path} holds no text: it needs one sentence a line.")
    return lines


def split_lines(lines: Sequence[str], val_fraction: float) -> tuple[list[str], list[str]]:
    """The first lines for training, the last ``val_fraction`` of them for validation.

    The validation lines are contiguous, as in nanoGPT: a text's neighbouring lines resemble
    each other, and drawing lines at random would let the model see half of each passage.
    Raises CorpusError if either part would be empty.
    """
    if not 0 < val_fraction < 1:
        raise ConfigError(f"--val-fraction must lie between 0 and 1, not {val_fraction}.")
    count = round(len(lines) * val_fraction)
    if not 0 < count < len(lines):
        raise CorpusError(
            f"The corpus has {len(lines)} line{'s' * (len(lines) != 1)}, too few to keep "
            f"{val_fraction:.0%} of them for validation: add lines, or choose another "
            "--val-fraction."
        )
    return list(lines[:-count]), list(lines[-count:])


def encode_lines(lines: Sequence[str], tokenizer: WordTokenizer) -> Split:
    """Lines as ids, each between two ``<eol>``; a line without a single token is left out."""
    encoded = [ids for ids in tokenizer.encode_batch(lines) if ids]
    eol = (tokenizer.eol_id,)
    ids = np.fromiter(
        chain.from_iterable(chain(eol, line, eol) for line in encoded),
        dtype=np.int32,
        count=sum(map(len, encoded)) + 2 * len(encoded),
    )
    lengths = np.fromiter((len(line) + 2 for line in encoded), np.int64, len(encoded))
    return Split(ids, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))


def load_corpus(
    path: Path,
    *,
    preset: str = "words",
    min_count: int = 1,
    val_fraction: float = 0.1,
    tokenizer: WordTokenizer | None = None,
) -> Corpus:
    """Read, split and encode a corpus; the vocabulary comes from the training lines alone.

    With ``tokenizer`` (from a checkpoint) ``preset`` and ``min_count`` are not used.
    Raises CorpusError or ConfigError.
    """
    lines = read_lines(path)
    train_lines, val_lines = split_lines(lines, val_fraction)
    tokenizer = tokenizer or WordTokenizer.train(train_lines, preset=preset, min_count=min_count)
    train, val = encode_lines(train_lines, tokenizer), encode_lines(val_lines, tokenizer)
    for split, name in ((train, "training"), (val, "validation")):
        if not len(split):
            raise CorpusError(
                f"The {name} lines of {path} hold no token of the preset {tokenizer.preset!r}."
            )
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return Corpus(tokenizer, train, val, digest)
