"""The scores of a corpus: the caches are filled with what it needs, then feeds read from them."""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import torch
from attrs import frozen

from llmattn.cache.bulk import load_pairs
from llmattn.data.corpus import Corpus
from llmattn.errors import BudgetExceeded, ConfigError, LlmattnError, ProviderError
from llmattn.feeds.channels import Reading, Scored, channel_names, in_order, reading_of
from llmattn.feeds.feed import Feeds, NoScores, PackedFeed, ScoreFeed, TableFeed, joined
from llmattn.feeds.fill import fill_pairs
from llmattn.feeds.packed_fill import pack_splits
from llmattn.feeds.packed_folder import packed_folder
from llmattn.feeds.pairs import corpus_pairs, select_pairs
from llmattn.feeds.table import KnownPairs, ScoreTable, join_channels
from llmattn.notices import notify
from llmattn.rows import Scope
from llmattn.scoring.opening import check_kinds, open_sources
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.report import FillReport
from llmattn.scoring.source import NOT_ASKED, ScoreSource
from llmattn.unfinished import scratch_folder

__all__ = ["ModelScores", "join_feeds", "open_scores"]


@frozen(eq=False)
class ModelScores:
    """The open sources of a model's scores, in the order of its channels, and how it reads each."""

    sources: tuple[ScoreSource, ...]
    readings: tuple[Reading, ...]
    choice: ScoreChoice

    @classmethod
    def of(cls, sources: Sequence[ScoreSource], choice: ScoreChoice = ScoreChoice()) -> ModelScores:
        """Scores in context are read through ``choice.transform`` (``auto``: what the provider
        states), and the provider sees ``choice.context_words`` tokens before each window. Raises
        ConfigError or PluginError.
        """
        ordered = tuple(in_order(sources))
        readings = tuple(
            Reading()
            if source.identity.scope is Scope.PAIR
            else reading_of(source, transform=choice.transform, context_words=choice.context_words)
            for source in ordered
        )
        return cls(ordered, readings, choice)

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the model's channels."""
        return channel_names(self.sources)

    @property
    def scored(self) -> tuple[Scored, ...]:
        """What a run remembers of the sources."""
        return tuple(
            Scored(source.identity, reading.transform, reading.context_words)
            for source, reading in zip(self.sources, self.readings, strict=True)
        )

    def feeds(
        self, corpus: Corpus, *, block_size: int, device: torch.device | str = "cpu"
    ) -> Feeds:
        """Ask for what the caches lack, and open the scores of all splits of ``corpus``.

        Scores of pairs come from one table; of rare pairs ``choice`` may leave some out
        (``select_pairs``). Scores in context come from files of packed triangles beside the cache.
        Raises ProviderError for a source without a single score, ConfigError, CacheError, and what
        ``ScoreSource.fill`` raises.
        """
        check_kinds(self.sources, self.choice)
        names = self.channels
        pairs = [s for s in self.sources if s.identity.scope is Scope.PAIR]
        table: ScoreTable | None = None
        known = 1.0
        if pairs:
            count = sum(len(source.identity.channels) for source in pairs)
            table, known = _table(pairs, names[:count], corpus, self.choice, block_size, device)
        in_context = [*zip(self.sources, self.readings, strict=True)][len(pairs) :]
        return join_feeds(table, known, in_context, corpus, block_size=block_size, channels=names)


@contextmanager
def open_scores(choice: ScoreChoice, corpus: Corpus, block_size: int) -> Iterator[ModelScores]:
    """The sources that ``choice`` names, for a model of ``corpus``; closed again in the end.

    Raises what ``open_sources`` and :meth:`ModelScores.of` raise.
    """
    with ExitStack() as stack:
        sources = open_sources(choice, text=corpus.train_words(block_size))
        yield ModelScores.of([stack.enter_context(source) for source in sources], choice)


def join_feeds(
    table: ScoreTable | None,
    coverage: float,
    readings: Sequence[tuple[ScoreSource, Reading]],
    corpus: Corpus,
    *,
    block_size: int,
    channels: Sequence[str],
) -> Feeds:
    """The feeds of a table that covers the share ``coverage``, and of sources of PREFIX scope.

    These are asked for what their caches lack, as :meth:`ModelScores.feeds` does.
    """
    parts: list[_Part] = []
    if table is not None:
        parts.append(_Part(*(TableFeed(table, corpus.tokenizer),) * 3, coverage=coverage))
    first = 0 if table is None else len(table.channels)
    for source, reading in readings:
        names = tuple(channels[first : first + len(source.identity.channels)])
        first += len(names)
        parts.append(_packed(source, names, corpus, block_size, reading))
    parts = parts or [_Part(*(NoScores(),) * 3, coverage=1.0)]
    return Feeds(
        train=joined([part.train for part in parts]),
        val=joined([part.val for part in parts]),
        test=None if corpus.test is None else joined([p.test for p in parts if p.test]),
        channels=tuple(channels),
        table=table,
        coverage=min(part.coverage for part in parts),
    )


@frozen
class _Part:
    """What one kind of scores adds to the feeds of the splits."""

    train: ScoreFeed
    val: ScoreFeed
    test: ScoreFeed | None
    coverage: float


def _table(
    sources: Sequence[ScoreSource],
    names: Sequence[str],
    corpus: Corpus,
    choice: ScoreChoice,
    block_size: int,
    device: torch.device | str,
) -> tuple[ScoreTable, float]:
    """The table of the corpus's vocabulary, and how much of the training lines it covers."""
    vocabulary = corpus.words
    train, everything = corpus_pairs(corpus, block_size)
    wanted = select_pairs(
        everything, coverage=choice.coverage, min_pair_count=choice.min_pair_count
    )
    parts: list[KnownPairs] = []
    absent: list[float | None] = []
    for source in sources:
        report = fill_pairs(source, wanted, vocabulary)
        notify(source.summary(report))
        _check_batched(source, report)
        # The cache may hold more, of other texts or from a run that asked for a larger share.
        stored = KnownPairs.of(*load_pairs(source.cache, source.identity, vocabulary))
        known_pairs = stored.among(wanted.query_ids, wanted.key_ids, len(vocabulary))
        if not len(known_pairs.query_ids) and len(wanted):
            raise _nothing(source, "pair", report)
        parts.append(known_pairs)
        absent.extend([source.absent_score] * len(source.identity.channels))
    table = ScoreTable(
        join_channels(parts, len(vocabulary)),
        vocab_size=len(vocabulary),
        channels=names,
        absent=absent,
        device=device,
    )
    known = table.is_known(train.query_ids, train.key_ids)
    return table, float(train.counts[known].sum() / max(1, train.counts.sum()))


def _packed(
    source: ScoreSource,
    names: tuple[str, ...],
    corpus: Corpus,
    block_size: int,
    reading: Reading,
) -> _Part:
    """The scores in context of all splits, from one source."""
    folder = packed_folder(source.cache) or _own_folder()
    packed, report = pack_splits(
        source, corpus.splits, block_size=block_size, reading=reading, folder=folder
    )
    _check_batched(source, report)
    if not packed[0].coverage:
        raise _nothing(source, "window", report)
    notify(source.summary(report))
    train, val, *test = (PackedFeed(scores, names) for scores in packed)
    return _Part(train, val, test[0] if test else None, packed[0].coverage)


def _check_batched(source: ScoreSource, report: FillReport) -> None:
    """Raise ProviderError where a batch has scores that a model would be trained without."""
    if report.batched and source.options.max_requests != 0:
        raise ProviderError(
            f"{report.batched:,} of the scores of {source.name} for this text are with a batch "
            "under way: collect it first (llmattn score --batch). --ask-batched asks for them all "
            "the same, and pays twice; --max-requests 0 goes on with what there is."
        )


def _nothing(source: ScoreSource, what: str, report: FillReport) -> LlmattnError:
    if not source.options.ask:
        return ConfigError(
            f"The cache holds no score of {source.name} for this text, and {NOT_ASKED} it score "
            "the text, which may cost money."
        )
    kind = BudgetExceeded if report.stopped else ProviderError
    return kind(
        f"The provider {source.name!r} gave no score for any {what} of this corpus, so "
        "there is nothing to train with."
    )


@cache
def _own_folder() -> Path:
    """For this process alone."""
    until_exit = ExitStack()
    atexit.register(until_exit.close)
    return until_exit.enter_context(scratch_folder())
