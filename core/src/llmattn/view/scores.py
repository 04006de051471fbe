"""The scores of a text as a provider gives them, before any model reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.data.corpus import encode_lines
from llmattn.data.tokenizer import WordTokenizer, count_words
from llmattn.errors import ConfigError
from llmattn.reading.plain import plain_line
from llmattn.rows import Scope
from llmattn.scoring.source import ScoreSource
from llmattn.scoring.text_matrix import text_matrix

__all__ = ["TextScores", "choose_channels", "text_scores"]


@frozen(eq=False)
class TextScores:
    """Scores ``(C, T, T)`` of a text's tokens: query i, key j <= i; NaN elsewhere and where
    unknown.
    """

    provider: str
    tokens: list[str]
    channels: tuple[str, ...]
    scores: NDArray[np.float32]


def text_scores(source: ScoreSource, text: str, *, preset: str = "words") -> TextScores:
    """Ask ``source`` for what its cache lacks of ``text``, taken as one line.

    Under PREFIX scope the tokens are pieces of the text as written, after a line end, as in
    training. Raises ConfigError for a text without a token, CorpusError for one with too long
    a word, and what ``ScoreSource.scores`` raises.
    """
    text = plain_line(text, "The text")
    if not count_words([text], preset)[0]:
        raise ConfigError(f"The text {text!r} holds no token to look at.")
    tokenizer = WordTokenizer.train([text], preset=preset)
    split = encode_lines([text], tokenizer)
    tokens = split.written[:-1] if source.identity.scope is Scope.PREFIX else tokenizer.words(text)
    scores = text_matrix(source, tokens)
    return TextScores(source.name, tokens, source.identity.channels, scores)


def choose_channels(
    channels: Sequence[str], wanted: Sequence[str] = (), *, most: int = 12
) -> list[int]:
    """The numbers of the channels ``wanted``, or of at most ``most`` from the first to the last.

    Raises ConfigError for a name that is not among them.
    """
    unknown = [name for name in wanted if name not in channels]
    if unknown:
        known = ", ".join(channels)
        raise ConfigError(f"There is no channel {unknown[0]!r}; choose among: {known}.")
    if wanted:
        return [channels.index(name) for name in wanted]
    count = min(most, len(channels))
    return [round(place) for place in np.linspace(0, len(channels) - 1, count).tolist()]
