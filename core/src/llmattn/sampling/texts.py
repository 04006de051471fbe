"""Scores in context while sampling: one new row a token, from providers that see the text."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from attrs import define, field
from torch import Tensor

from llmattn.data.packed_fill import Reading
from llmattn.data.text_tokenizer import TextTokenizer
from llmattn.data.texts import window_rows, window_scores
from llmattn.data.transform import transformed
from llmattn.data.written import WrittenText
from llmattn.errors import ConfigError, LlmattnError
from llmattn.rows import Row, Scope, Scores
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource
from llmattn.training.checkpoint import Checkpoint, Scored
from llmattn.training.reopen import is_local, reopen_source, with_owners
from llmattn.training.scores import reading_of

__all__ = ["TextRows", "open_text_rows"]


@define
class TextRows:
    """Rows from a provider of PREFIX scope, which sees the window and what ``reading`` lets it
    see of the text before, as in training.

    While the window grows, a token costs one row; when it moves on, each of its rows has a new
    beginning and is asked for once more, in one request. Without ``ask`` only the cache is read.
    What is not known takes the mean of its row; a row without a single score says nothing.
    """

    source: ScoreSource
    reading: Reading
    tokenizer: TextTokenizer
    ask: bool = True
    read: int = field(default=0, init=False)
    """Positions read so far."""
    filled: int = field(default=0, init=False)
    """How many of them no provider has scored."""
    _opening: str = field(default="", init=False)
    _texts: list[WrittenText] = field(factory=list, init=False)

    def begin(self, opening: str) -> None:
        """The next texts begin with the line ``opening``, and are shown it as it is written."""
        self._opening, self._texts = opening, []

    def rows(self, text: Tensor, last: int, start: int = 0) -> Tensor:
        """See ``RowScores.rows``. Returns float16 ``(B, C, last, T)``."""
        batch, length = text.shape[0], text.shape[1] - start
        first = length - last
        while len(self._texts) < batch:
            self._texts.append(WrittenText(self.tokenizer, self._opening))
        wanted: list[Row] = []
        for written, ids in zip(self._texts, text.tolist(), strict=False):
            context = self.reading.context_words
            pieces = written.follow(ids)
            # Each text of the batch is one by itself, and nothing stands after it yet.
            wanted += window_rows(
                pieces, start, length, context_words=context, first=first, placed=False
            )
        found = iter(self._found(wanted))
        shape = batch, len(self.source.identity.channels), last, length
        answer = np.zeros(shape, np.float32)
        for scores in answer:
            for row in range(first, length):
                # The first token has none but itself to attend to.
                scores[:, row - first, : row + 1] = self._own(next(found), row) if row else 1
        return torch.from_numpy(answer).to(text.device, torch.float16)

    def _found(self, rows: Sequence[Row]) -> list[Scores]:
        """One array ``(C, len(row.keys))`` a row, as stored; NaN where unknown."""
        source = self.source
        return source.scores_given(rows) if self.ask else source.stored(rows)

    def _own(self, scores: Scores, position: int) -> Scores:
        """The row at ``position`` of the window as the model reads it, ``(C, position + 1)``."""
        own = window_scores(scores, position, normalised=self.reading.normalised)
        own = transformed(own, self.reading.transform)
        known = ~np.isnan(own[0])
        self.read += len(known)
        self.filled += int((~known).sum())
        if known.all() or not known.any():
            return np.nan_to_num(own)
        return np.where(known, own, own[:, known].mean(axis=1, keepdims=True))


def open_text_rows(checkpoint: Checkpoint, choice: ScoreChoice, *, ask: bool) -> list[TextRows]:
    """Rows from each of the checkpoint's providers of PREFIX scope; the caller closes them.

    Local providers (as their plugins say) are always asked, since that costs nothing, and what
    they say is not kept;
    of others the cache is read, and they are asked only if ``ask``. Raises ConfigError if one
    cannot be opened, or would not give the scores that the checkpoint was trained on.
    """
    choice = with_owners(choice, checkpoint)
    choice = attrs.evolve(choice, scoring=attrs.evolve(choice.scoring, quiet=True))
    opened: list[TextRows] = []
    try:
        for scored in checkpoint.scored:
            if scored.identity.scope is not Scope.PREFIX:
                continue
            local = is_local(scored)
            own = attrs.evolve(choice, cache="memory") if local else choice
            if not (ask or local):
                own = attrs.evolve(own, scoring=attrs.evolve(own.scoring, ask=False))
            source = _open(scored, own)
            reading = reading_of(
                source, transform=scored.transforms, context_words=scored.context_words
            )
            opened.append(TextRows(source, reading, checkpoint.tokenizer, ask=ask or local))
    except BaseException:
        for rows in opened:
            rows.source.close()
        raise
    return opened


def _open(scored: Scored, choice: ScoreChoice) -> ScoreSource:
    try:
        return reopen_source(scored, choice)
    except LlmattnError as error:
        raise ConfigError(
            f"This checkpoint's model reads scores in context, so it needs the provider "
            f"{scored.identity.provider!r} to go on with a text. {error}"
        ) from None
