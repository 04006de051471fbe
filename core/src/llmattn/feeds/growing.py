"""Scores while sampling: from the checkpoint's table, and on wish from the provider."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray
from torch import Tensor

from llmattn.data.text_tokenizer import TextTokenizer
from llmattn.errors import ConfigError, LlmattnError, UnknownPlugin
from llmattn.feeds.feed import window_words
from llmattn.feeds.growing_texts import TextRows
from llmattn.feeds.table import ScoreTable
from llmattn.feeds.trained import ScoredModel, is_local, reopen_source, with_owners
from llmattn.notices import warn
from llmattn.rows import Row
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource

__all__ = ["Asker", "JoinedRows", "NoRows", "TableRows", "open_askers"]


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
