"""Pieces of words as token ids: byte-pair encoding that loses nothing of a text."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from llmattn.data.described import read_merges, read_words
from llmattn.data.joining import EOL, PieceLine
from llmattn.data.piece_words import PieceWords
from llmattn.data.tokenizer import MARK, UNK, WORD, WordTokenizer
from llmattn.errors import CheckpointDamaged, ConfigError

__all__ = ["BPE", "BpeTokenizer"]

BPE = "bpe"

_END = "∎"
"""Marks a word's last piece, which is another token than the same letters inside a word."""

_CHUNKS = rf" ?(?:{WORD})| ?(?:{MARK})|\s+(?!\S)|\s+"
"""The words and marks of the preset ``words``, with a space before them, and other white space."""

_PLAIN = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
_REST = [byte for byte in range(256) if byte not in _PLAIN]
_LETTERS = {byte: chr(byte) for byte in _PLAIN} | {
    byte: chr(256 + place) for place, byte in enumerate(_REST)
}
"""The character that stands for a byte in the library's tokens."""
_BYTES = {letter: byte for byte, letter in _LETTERS.items()}

_INSIDE = [*range(0xC0), *range(0xC2, 0xF5)]  # the bytes of UTF-8
_LAST = range(0xC0)  # those that may end a character
_ALPHABET = (*(_LETTERS[b] for b in _INSIDE), *(_LETTERS[b] + _END for b in _LAST))

LEAST = 512
"""The smallest vocabulary: the bytes, and room for pieces."""


class BpeTokenizer:
    """Pieces of words, learned from a text; any text is written with them, and none is lost.

    Id 0 is ``<unk>``, which no text contains, id 1 ``<eol>``; bytes follow, then pieces, those
    learned first before. White space at a line's ends is left out.

    Scores are asked for the words that the preset ``words`` would find. A word is known at its
    last piece and no sooner: a row at an earlier one would tell how the word goes on.
    """

    preset = BPE
    unk_id = 0
    eol_id = 1
    special_ids: tuple[int, ...] = (0, 1)
    tokens_are_words = False

    def __init__(self, merges: Sequence[tuple[str, str]], words: WordTokenizer) -> None:
        """``merges``: pairs of pieces, each of which is a byte or what an earlier pair made."""
        vocabulary = {token: index for index, token in enumerate((UNK, EOL, *_ALPHABET))}
        for one, other in merges:
            vocabulary.setdefault(one + other, len(vocabulary))
        model = models.BPE(vocabulary, list(merges), end_of_word_suffix=_END)
        self._tokenizer = tokenizer = _untrained(model)
        self._merges = tuple(merges)
        self._words = words
        size = tokenizer.get_vocab_size()
        self.vocabulary: tuple[str, ...] = tuple(
            tokenizer.id_to_token(index) or UNK for index in range(size)
        )
        """The token of each id, as the library writes it."""
        self.scored_words = words.vocabulary
        """The words that scores are asked for; a word has another id than its pieces."""
        self._bytes = (
            b"",
            b"\n",
            *(bytes(_BYTES[x] for x in t.removesuffix(_END)) for t in self.vocabulary[2:]),
        )
        final = [
            index == self.eol_id or t.endswith(_END) for index, t in enumerate(self.vocabulary)
        ]
        self._piece_words = PieceWords(self._bytes, final, self._word_of)

    def __len__(self) -> int:
        return len(self.vocabulary)

    @classmethod
    def train(
        cls, lines: Sequence[str], *, vocab_size: int = 4096, min_count: int = 1
    ) -> BpeTokenizer:
        """At most ``vocab_size`` tokens, each of which joins two that occur twice or more.

        Scores are asked for words that occur at least ``min_count`` times. Raises ConfigError
        for too small a vocabulary, CorpusError if no word is left.
        """
        if vocab_size < LEAST:
            raise ConfigError(
                f"--vocab-size must be at least {LEAST}, not {vocab_size}: a vocabulary of "
                "pieces has room for every byte, so that it can write any word."
            )
        words = WordTokenizer.train(lines, min_count=min_count)
        learner = _untrained(models.BPE(end_of_word_suffix=_END))
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size + 256,  # it counts letters that are not ours
            min_frequency=2,
            initial_alphabet=list(_LETTERS.values()),
            # Without a number beforehand they would get one by chance, which decides ties.
            special_tokens=[token for token in _ALPHABET if token.endswith(_END)],
            end_of_word_suffix=_END,
            show_progress=False,
        )
        learner.train_from_iterator(map(str.strip, lines), trainer)
        # Made anew, with every byte and no special token that a text could contain.
        pieces = {UNK, EOL, *_ALPHABET}
        merges: list[tuple[str, str]] = []
        learned = json.loads(learner.to_str())  # noqa: TID251  (our own, however large)
        for one, other in learned["model"]["merges"]:
            if len(pieces) == vocab_size:
                break
            merges.append((one, other))
            pieces.add(one + other)
        return cls(merges, words)

    def encode(self, text: str) -> list[int]:
        """The ids of the pieces of ``text``, without ``<eol>`` at either end."""
        return list(self._tokenizer.encode(text.strip(), add_special_tokens=False).ids)

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of many lines, in parallel."""
        stripped = [line.strip() for line in lines]
        encoded = self._tokenizer.encode_batch_fast(stripped, add_special_tokens=False)
        return [encoding.ids for encoding in encoded]

    def written(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The pieces of each line as written, then the rest of the line: together they are it.

        A character of several pieces stands at its last one; the others are empty.
        """
        for line in lines:
            text = line.strip()
            start = line.index(text)
            decoder = codecs.getincrementaldecoder("utf-8")()
            found = [decoder.decode(self._bytes[index]) for index in self.encode(text)]
            found.append(line[start + len(text) :])
            found[0] = line[:start] + found[0]
            yield found

    def word_ids(
        self, ids: NDArray[np.int64], begins: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The word that ends with each piece, and the one that it belongs to; both ``(N,)``.

        ``begins``: where a window begins. As a query a piece before the last of its word is
        ``<unk>``; so is each piece of a word that the window does not end, or does not hold.
        """
        return self._piece_words.at(ids, begins)

    def unknown_words(self, text: str) -> list[str]:
        """None: any word can be written in pieces."""
        return []

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ``ids``."""
        return [self.vocabulary[index] for index in ids]

    def detokenise(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; ``<eol>`` becomes a line break."""
        return b"".join(self._bytes[index] for index in ids).decode("utf-8", "replace")

    def line(self, prompt: str) -> PieceLine:
        """A line that begins with ``prompt`` and grows by pieces."""
        return PieceLine(prompt.strip(), self._bytes)

    def to_dict(self) -> dict[str, Any]:
        """The tokenizer as plain data, which :meth:`from_dict` reads: its vocabulary follows from
        the merges.
        """
        words = list(self._words.vocabulary)
        return {"preset": self.preset, "merges": list(map(list, self._merges)), "words": words}

    def library_json(self) -> str:
        """The tokenizer as the ``tokenizers`` library writes it, for other programs."""
        return str(self._tokenizer.to_str())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BpeTokenizer:
        """What :meth:`to_dict` described. Raises CheckpointDamaged for anything else."""
        merges = read_merges(data)
        known = {*_ALPHABET}
        for one, other in merges:
            if one not in known or other not in known or one.endswith(_END):
                raise CheckpointDamaged(
                    f"The tokenizer's merges join {one!r} and {other!r}, which are no pieces yet."
                )
            known.add(one + other)
        return cls(merges, WordTokenizer.of(read_words(data, "words", (UNK, EOL))))

    def __reduce__(self) -> tuple[Any, ...]:
        return BpeTokenizer.from_dict, (self.to_dict(),)

    def _word_of(self, spelled: bytes) -> int:
        """The id of the word that some pieces spell, 0 if scores are not asked for it."""
        ids = self._words.encode(spelled.decode("utf-8", "replace"))
        return ids[0] if len(ids) == 1 else self.unk_id


def _untrained(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CHUNKS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_END, ""), decoders.ByteLevel()])
    return tokenizer
