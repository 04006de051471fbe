"""Words and punctuation marks as token ids, through the ``tokenizers`` library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from llmattn.data.described import read_words
from llmattn.data.joining import EOL, WordLine, join_tokens
from llmattn.errors import CheckpointDamaged, ConfigError, CorpusError
from llmattn.reading.plain import plain_text

__all__ = [
    "EOL",
    "MARK",
    "PRESETS",
    "UNK",
    "WORD",
    "WordTokenizer",
    "count_words",
    "text_pieces",
    "text_words",
    "written_words",
]

UNK = "<unk>"

_LETTER = r"[\w&&[^\p{Han}]]"
_JOINER = "\u200c\u200d\u180e"
"""What shapes the letters beside it, in Persian, Indic and Mongolian scripts."""
_RUN = rf"{_LETTER}(?:[{_JOINER}]*{_LETTER})*\u200d?"
WORD = rf"\p{{Han}}\p{{M}}*|{_RUN}(?:['’]{_RUN})*"
"""A Han character, which is a word of its own, or a word with apostrophes inside it (don't, o'er).
In the syntax of Oniguruma, which ``tokenizers`` reads."""
MARK = (
    r"[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2]"
    # \X would count the letters of all flags before each: time with the square of their number.
    "|[\U0001f1e6-\U0001f1ff]{2}[\\p{M}\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*"
    r"|(?=[^\w\s\p{Cc}\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff])\X"
)
"""A mark that one can see, with all that combines with it: an emoji of several characters is one
token. (A few Arabic signs would combine with the number behind them.)"""

PRESETS = {
    "words": f"{WORD}|{MARK}",
    # LLM-Computing's own expression: words and full stops, nothing else.
    "seed": r"\w+|\.",
}


class WordTokenizer:
    """A lower-casing word tokenizer with ``<unk>`` and ``<eol>``.

    Id 0 is ``<unk>``, id 1 ``<eol>``; the words follow, the most frequent first. Scores are
    asked for these words.
    """

    unk_id = 0
    eol_id = 1
    special_ids: tuple[int, ...] = (0, 1)
    tokens_are_words = True

    def __init__(self, tokenizer: Tokenizer, preset: str) -> None:
        self.preset = preset
        self._tokenizer = tokenizer
        size = tokenizer.get_vocab_size()
        self.vocabulary: tuple[str, ...] = tuple(
            tokenizer.id_to_token(index) or UNK for index in range(size)
        )
        """The token of each id."""

    @property
    def scored_words(self) -> tuple[str, ...]:
        """The words that scores are asked for: all."""
        return self.vocabulary

    @property
    def spelled(self) -> tuple[str, ...]:
        """See ``TextTokenizer.spelled``."""
        words = enumerate(self.vocabulary)
        return tuple("" if index in self.special_ids else f" {word}" for index, word in words)

    def __len__(self) -> int:
        return len(self.vocabulary)

    @classmethod
    def train(
        cls, lines: Iterable[str], *, preset: str = "words", min_count: int = 1
    ) -> WordTokenizer:
        """The tokenizer of the words that occur at least ``min_count`` times in ``lines``.

        Raises ConfigError for an unknown preset, CorpusError if no word is left.
        """
        if preset not in PRESETS:
            raise ConfigError(
                f"No tokenizer is called {preset!r}; choose one of: {', '.join(PRESETS)}."
            )
        learner = _untrained(models.WordLevel(unk_token=UNK), preset)
        trainer = trainers.WordLevelTrainer(
            vocab_size=2**31 - 1,
            min_frequency=min_count,
            special_tokens=[UNK, EOL],
            show_progress=False,
        )
        learner.train_from_iterator(lines, trainer)
        # Made anew from the words: the learner finds special tokens written out in a text.
        found = learner.get_vocab()
        if len(found) <= len(cls.special_ids):
            if min_count > 1:
                raise CorpusError(
                    f"No word of the training lines occurs {min_count} times or more: lower "
                    "--min-count, or add text."
                )
            raise CorpusError(
                f"The training lines hold no token of the preset {preset!r}: choose another "
                "--tokenizer, or add text."
            )
        return cls.of(sorted(found, key=found.__getitem__), preset=preset)

    def encode(self, text: str) -> list[int]:
        """The ids of the words of ``text``, without ``<eol>`` at either end."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of many lines, in parallel."""
        return [
            encoding.ids
            for portion in _portions(lines, 10_000)  # an encoding takes much more than its ids
            for encoding in self._tokenizer.encode_batch_fast(portion, add_special_tokens=False)
        ]

    def written(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The tokens of each line as written, with what stands before them, then the rest of
        the line: together they are the line.
        """
        for portion in _portions(lines, 1000):
            encoded = self._tokenizer.encode_batch(portion, add_special_tokens=False)
            for line, encoding in zip(portion, encoded, strict=True):
                # Of one character that is two tokens, the first has all.
                ends = [0, *(end for _, end in encoding.offsets), len(line)]
                yield [line[a:b] for a, b in pairwise(ends)]

    def words(self, text: str) -> list[str]:
        """The tokens of ``text`` as they were before the vocabulary was applied."""
        normal = self._tokenizer.normalizer.normalize_str(text)
        return [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(normal)]

    def word_ids(
        self, ids: NDArray[np.int64], begins: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The scored word that each token is as a query, and as a key: itself."""
        return ids, ids

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that are read as ``<unk>``, each once."""
        known = set(self.vocabulary) - {UNK}
        return [word for word in dict.fromkeys(self.words(text)) if word not in known]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ``ids``."""
        return [self.vocabulary[index] for index in ids]

    def detokenise(self, ids: Iterable[int]) -> str:
        """Readable text: no space before punctuation; ``<eol>`` becomes a line break."""
        return join_tokens(self.decode(ids))

    def line(self, prompt: str) -> WordLine:
        """A line that begins with ``prompt`` and grows by words."""
        return WordLine(self.words(prompt), self.vocabulary)

    def to_dict(self) -> dict[str, Any]:
        """The tokenizer as plain data, which :meth:`from_dict` reads."""
        return {"preset": self.preset, "vocabulary": list(self.vocabulary)}

    def library_json(self) -> str:
        """The tokenizer as the ``tokenizers`` library writes it, for other programs."""
        return str(self._tokenizer.to_str())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WordTokenizer:
        """What :meth:`to_dict` described. Raises CheckpointDamaged for anything else."""
        preset = data.get("preset")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise CheckpointDamaged(f"No tokenizer is called {preset!r}.")
        return cls.of(read_words(data, "vocabulary", (UNK, EOL)), preset=preset)

    @classmethod
    def of(cls, vocabulary: Sequence[str], *, preset: str = "words") -> WordTokenizer:
        """The tokenizer of these words, ``<unk>`` and ``<eol>`` first."""
        words = {word: index for index, word in enumerate(vocabulary)}
        return cls(_untrained(models.WordLevel(words, unk_token=UNK), preset), preset)


def text_words(text: str) -> list[str]:
    """The words of a text as the preset ``words`` finds them, in lower case."""
    return _of_no_words().words(plain_text(text))


def lines_of_words(
    text: str | Sequence[str] | Sequence[Sequence[str]],
) -> Sequence[Sequence[str]]:
    """The lines of a text as lists of words. A string is a text, and a string among its lines is a
    line: :func:`text_words` takes both apart. Raises ConfigError for anything else.
    """
    lines = plain_text(text).split("\n") if isinstance(text, str) else text
    if not isinstance(lines, Sequence) or not all(isinstance(line, Sequence) for line in lines):
        raise ConfigError("A text is a string, or its lines as strings or as lists of words.")
    return [text_words(line) if isinstance(line, str) else line for line in lines]


def text_pieces(text: str) -> list[str]:
    """A text in pieces as it was written, which together are the text (as ``plain_text`` gives
    it): as in training, a word or a mark with what stands before it, or a line end with the blank
    lines after it.
    """
    pieces: list[str] = []
    for *words, rest in _of_no_words().written(plain_text(text).split("\n")):
        if not words and pieces and pieces[-1].endswith("\n"):
            pieces[-1] += f"{rest}\n"
        else:
            pieces += [*filter(None, words), f"{rest}\n"]
    pieces[-1] = pieces[-1].removesuffix("\n")  # the text's last line does not end
    return pieces if pieces[-1] else pieces[:-1]


def written_words(line: str) -> list[str]:
    """The words and marks of a line as written, with what stands before each, then its rest."""
    return next(_of_no_words().written([line]))


def count_words(lines: Sequence[str], preset: str = "words") -> list[int]:
    """How many tokens of the preset each line has."""
    return [len(ids) for ids in _of_no_words(preset).encode_batch(lines)]


def _of_no_words(preset: str = "words") -> WordTokenizer:
    """A tokenizer for taking texts apart."""
    return WordTokenizer.of((UNK, EOL), preset=preset)


def _untrained(model: models.WordLevel, preset: str) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(PRESETS[preset]), behavior="removed", invert=True
    )
    return tokenizer


def _portions(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(lines)
    while portion := list(islice(rest, size)):
        yield portion
