"""Scores of a text that grows: of its pairs from a table, in context from the provider, one new
row a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from attrs import define, field, frozen
from numpy.typing import NDArray
from torch import Tensor

from llmattn.data.text_tokenizer import TextTokenizer
from llmattn.data.written import WrittenText
from llmattn.errors import ConfigError, LlmattnError, UnknownPlugin
from llmattn.feeds.channels import Reading, Scored
from llmattn.feeds.feed import window_words
from llmattn.feeds.table import ScoreTable
from llmattn.feeds.trained import ScoredModel, is_local, reopen_source, with_owners
from llmattn.feeds.transform import transformed
from llmattn.feeds.windows import window_rows, window_scores
from llmattn.notices import warn
from llmattn.rows import Row, Scope, Scores
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource

__all__ = [
    "Asker",
    "JoinedRows",
    "NoRows",
    "TableRows",
    "TextRows",
    "open_askers",
    "open_text_rows",
]


class NoRows:
    """For models that take no scores."""

    def rows(self, text: Tensor, last: int, start: int = 0) -> None:
        """Nothing."""


@frozen
class JoinedRows:
    """The channels of a table and of providers that see the text, one after another."""

    parts: tuple[TableRows | TextRows, ...]

    @property
    def read(self) -> int:
        """Scores read so far."""
        return sum(part.read for part in self.parts)

    @property
    def filled(self) -> int:
        """How many of them no provider has given."""
        return sum(part.filled for part in self.parts)

    def rows(self, text: Tensor, last: int, start: int = 0) -> Tensor:
        """See ``RowScores.rows``. Returns float16 ``(B, C, last, T)``."""
        found = [part.rows(text, last, start) for part in self.parts]
        found = [s.half() / 255 if s.dtype == torch.uint8 else s.half() for s in found]
        return torch.cat(found, dim=1)


@frozen
class Asker:
    """A source that may be asked for its channels of the table, once for each pair of ids:
    what it could not score then would cost the same again for each further token.
    """

    source: ScoreSource
    channels: slice
    tried: set[tuple[int, int]] = field(factory=set)


class TableRows:
    """Rows from a table. Pairs that it lacks are asked of ``askers``; the others are filled."""

    def __init__(
        self,
        table: ScoreTable,
        tokenizer: TextTokenizer,
        askers: Sequence[Asker] = (),
    ) -> None:
        self._table = table
        self._tokenizer = tokenizer
        self._special = np.array(tokenizer.special_ids)
        self._askers = askers
        # Where a provider states what an absent pair is worth, nothing is missing.
        self._open = [c for c, value in enumerate(table.absent) if value is None]
        self.read = 0
        """Word pairs read so far."""
        self.filled = 0
        """How many of them no provider has scored."""

    def rows(self, text: Tensor, last: int, start: int = 0) -> Tensor:
        """See ``RowScores.rows``. Returns float16 ``(B, C, last, T)``."""
        queries, keys = window_words(self._tokenizer, text[:, start:])
        if self._open:
            query, key = self._word_pairs(queries, keys, last)
            for asker in self._askers:
                self._ask(asker, query, key)
            self.read += len(query)
            known = np.ones(len(query), np.bool_)
            for channel in self._open:
                known &= self._table.is_known(query, key, slice(channel, channel + 1))
            self.filled += int((~known).sum())
        return self._table.gather(keys, last, queries=queries)

    def _word_pairs(
        self, queries: Tensor, keys: Tensor, last: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The causal pairs of the last rows, without those of special tokens."""
        length = keys.shape[1]
        i, j = np.tril_indices(last, length - last, length)
        query = queries.cpu().numpy()[:, i + length - last].ravel()
        key = keys.cpu().numpy()[:, j].ravel()
        words = ~(np.isin(query, self._special) | np.isin(key, self._special))
        return query[words], key[words]

    def _ask(self, asker: Asker, query: NDArray[np.int64], key: NDArray[np.int64]) -> None:
        """Bring the pairs that the table lacks from one source into the table."""
        lacking = ~self._table.is_known(query, key, asker.channels)
        wanted: dict[int, list[int]] = {}
        pairs = set(zip(query[lacking].tolist(), key[lacking].tolist(), strict=True))
        for q, k in sorted(pairs - asker.tried):
            wanted.setdefault(q, []).append(k)
        if not wanted:
            return
        words, source = self._tokenizer.scored_words, asker.source
        rows = [Row(words[q], tuple(words[k] for k in keys)) for q, keys in wanted.items()]
        found = source.scores_given(rows)
        asker.tried.update(pairs)  # not before: what was interrupted, or refused, is asked again
        for (q, keys), scores in zip(wanted.items(), found, strict=True):
            spread = np.full((len(self._table.channels), len(keys)), np.nan, np.float16)
            spread[asker.channels] = scores
            self._table.add(q, keys, spread)


def open_askers(checkpoint: ScoredModel, choice: ScoreChoice, *, ask: bool) -> list[Asker]:
    """The sources that may be asked while sampling; the caller closes them.

    Local providers (as their plugins say, see ``is_local``) are always asked, since it costs
    nothing and nothing is kept, unless they cannot be opened; others only if ``ask``. Raises
    ConfigError if a provider that is to be asked would not give the scores that the checkpoint was
    trained on.
    """
    askers: list[Asker] = []
    first = 0
    choice = with_owners(choice, checkpoint)
    choice = attrs.evolve(choice, scoring=attrs.evolve(choice.scoring, quiet=True))
    try:
        for scored in checkpoint.scored:
            channels = slice(first, first + len(scored.identity.channels))
            first = channels.stop
            table = checkpoint.table
            if table is None or None not in table.absent[channels]:
                continue
            if is_local(scored):
                try:
                    own = attrs.evolve(choice, cache="memory")
                    askers.append(Asker(reopen_source(scored, own), channels))
                except LlmattnError as error:
                    if ask:
                        raise
                    if isinstance(error, ConfigError) and not isinstance(error, UnknownPlugin):
                        warn(f"Pairs that were never scored stay so. {error}")
            elif ask:
                askers.append(Asker(reopen_source(scored, choice), channels))
    except BaseException:
        for asker in askers:
            asker.source.close()
        raise
    return askers


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


def open_text_rows(checkpoint: ScoredModel, choice: ScoreChoice, *, ask: bool) -> list[TextRows]:
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
            reading = scored.reading(source)
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
