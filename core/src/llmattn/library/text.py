"""Scores of texts and of a user's own tokens, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from llmattn.errors import ConfigError
from llmattn.feeds.channels import reading_of
from llmattn.feeds.transform import transformed
from llmattn.library.frames import frame, heat_table
from llmattn.library.stated import Stated
from llmattn.matrix import checked_tokens, without_unknown
from llmattn.rows import Row, Scope, pair_rows, prefix_rows
from llmattn.scoring.opening import Text, open_source
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.text_matrix import text_matrix
from llmattn.view.maps import Sheet
from llmattn.view.scores import text_scores

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["ScoredText", "TokenScores", "score_text", "score_tokens"]

_MOST_SHOWN = 4


@frozen(eq=False)
class ScoredText(Sheet):
    """A text's ``tokens`` and, in ``sources``, what each provider says of them: matrices
    ``(C, T, T)``, one a channel, NaN where unknown.
    """

    def to_pandas(self) -> DataFrame:
        """A row for each known score. Raises ConfigError without pandas."""
        columns: dict[str, list[Any]] = {
            name: [] for name in ("provider", "channel", "query", "key", "score")
        }
        places: list[tuple[int, int]] = []
        for source in self.sources:
            for name, matrix in zip(source.names, source.values, strict=True):
                known = [(int(i), int(j)) for i, j in np.argwhere(~np.isnan(matrix))]
                places += known
                columns["provider"] += [source.source] * len(known)
                columns["channel"] += [name] * len(known)
                columns["query"] += [self.tokens[i] for i, _ in known]
                columns["key"] += [self.tokens[j] for _, j in known]
                columns["score"] += [float(matrix[i, j]) for i, j in known]
        columns["query_place"] = [i for i, _ in places]
        columns["key_place"] = [j for _, j in places]
        return frame(columns)

    def _repr_html_(self) -> str:
        maps = [
            heat_table(matrix, self.tokens, f"{source.source}, {name}")
            for source in self.sources
            for name, matrix in zip(source.names, source.values, strict=True)
        ]
        more = len(maps) - _MOST_SHOWN
        rest = f"<p>{more} more: to_pandas() has them all</p>" if more > 0 else ""
        return "".join(maps[:_MOST_SHOWN]) + rest


@frozen(eq=False)
class TokenScores:
    """``scores`` of a batch of token lists, float32 ``(B, C, T, T)``: entry ``[b, c, i, j]`` says
    how strongly token i of text b should attend to its token j <= i, in [0, 1]. What is padding or
    lies in the future is 0; an unknown score is the mean of its row. ``channels``: names of the C.
    """

    scores: Tensor
    channels: tuple[str, ...]


def score_text(
    text: str,
    *,
    corpus: Text | None = None,
    channels: Sequence[str] = (),
    **settings: Any,
) -> ScoredText:
    """What providers say of ``text``, taken as one line; asks for what the cache lacks.

    ``settings``: the options of the command ``llmattn score`` about scores, such as
    ``provider="random"`` or ``cache="memory"``. ``corpus``: a text for providers that count in one.
    ``channels``: which are wanted; at most 12 otherwise. Raises LlmattnError.
    """
    if not isinstance(text, str):
        raise ConfigError(f"The text must be a string, not a {type(text).__name__}.")
    choice = Stated("score_text", settings, (ScoreChoice,)).build(ScoreChoice)
    sheet = text_scores(choice, text, corpus=corpus, channels=channels)
    return ScoredText(sheet.tokens, sheet.sources)


def score_tokens(
    batch: Sequence[Sequence[str]],
    *,
    corpus: Text | None = None,
    **settings: Any,
) -> TokenScores:
    """Scores of B texts, each a list of tokens as strings, of at most T; asks for what the cache
    lacks, for all texts together.

    For a provider of PAIR scope tokens are words; of PREFIX scope the pieces of a text as written,
    the spaces before them included. ``settings`` and ``corpus``: see :func:`score_text`; one
    provider. Raises LlmattnError.
    """
    if isinstance(batch, str) or not all(isinstance(each, Sequence) for each in batch):
        raise ConfigError(
            'score_tokens takes a list of texts, each a list of tokens: [["the", "cat"], ["a"]].'
        )
    texts = [checked_tokens(tokens) for tokens in batch]
    choice = Stated("score_tokens", settings, (ScoreChoice,)).build(ScoreChoice)
    if len(choice.providers) > 1:
        raise ConfigError("score_tokens takes one provider; call it once for each.")
    name = choice.providers[0] if choice.providers else None
    with open_source(name, choice, text=corpus) as source:
        channels = source.identity.channels
        in_context = source.identity.scope is Scope.PREFIX
        if rows := list(_rows(texts, in_context)):
            source.scores(rows)  # all at once: few requests, whose scores the cache then has
        size = max(map(len, texts), default=0)
        scores = torch.zeros(len(texts), len(channels), size, size)
        change = reading_of(source, transform=choice.transform).transform if in_context else ""
        for place, tokens in enumerate(texts):
            found = text_matrix(source, tokens)
            found = transformed(found, change) if change else found
            known = torch.from_numpy(without_unknown(found).astype(np.float32)).tril()
            scores[place, :, : len(tokens), : len(tokens)] = known
    return TokenScores(scores, channels)


def _rows(texts: Sequence[Sequence[str]], in_context: bool) -> Iterator[Row]:
    """The rows that these texts need, each once."""
    if in_context:
        yield from dict.fromkeys(row for tokens in texts for row in prefix_rows(tokens)[1:])
        return
    wanted: dict[str, set[str]] = {}
    for tokens in texts:
        for row in pair_rows(tokens):
            wanted.setdefault(row.query, set()).update(row.keys)
    yield from (Row(query, tuple(sorted(keys))) for query, keys in wanted.items())
