"""Asks for what a whole corpus needs: pairs of words, or the rows of its windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmattn.data.corpus import Corpus, Split
from llmattn.feeds.pairs import PairCounts, corpus_pairs, select_pairs, tiers
from llmattn.feeds.windows import text_portions
from llmattn.rows import Row, Scope
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.report import FillReport
from llmattn.scoring.shard import Shard
from llmattn.scoring.source import ScoreSource
from llmattn.scoring.stages import fill_stages

__all__ = ["corpus_stages", "fill_corpus", "fill_pairs", "fill_splits", "fill_texts", "stages_of"]


def fill_pairs(
    source: ScoreSource,
    pairs: PairCounts,
    vocabulary: Sequence[str],
    shard: Shard = Shard(),
) -> FillReport:
    """Ask ``source`` for all of ``pairs`` that its cache lacks.

    With a limit that may end the run the pairs go in stages: what is paid for is then what
    covers most. Without one a query's keys stay together, which costs fewer tokens.
    ``shard`` leaves to other processes what is theirs. Raises what ``ScoreSource.fill`` raises.
    """
    stages = [shard.rows(rows) for rows in stages_of(source, pairs, vocabulary)]
    return fill_stages(source, lambda: stages)


def stages_of(source: ScoreSource, pairs: PairCounts, vocabulary: Sequence[str]) -> list[list[Row]]:
    """The rows of ``pairs`` in the stages in which ``source`` is asked for them."""
    whole = pairs.rows(vocabulary)
    if source.local or (
        not source.options.is_limited and source.permission.is_ample(source.work(whole))
    ):
        return [whole]
    return [stage.rows(vocabulary) for stage in tiers(pairs)]


def fill_corpus(
    source: ScoreSource,
    corpus: Corpus,
    choice: ScoreChoice,
    *,
    block_size: int,
    shard: Shard = Shard(),
) -> FillReport:
    """Ask ``source`` for all that ``corpus`` needs, as far as ``choice`` wants it, and its cache
    lacks. Raises what ``ScoreSource.fill`` raises.
    """
    if source.identity.scope is Scope.PREFIX:
        context = choice.context_words
        return fill_texts(source, corpus, block_size=block_size, context_words=context, shard=shard)
    return fill_pairs(source, _pairs(corpus, choice, block_size), corpus.words, shard)


def corpus_stages(
    source: ScoreSource, corpus: Corpus, choice: ScoreChoice, *, block_size: int
) -> list[list[Row]]:
    """The same rows in the stages in which a batch hands them over."""
    if source.identity.scope is Scope.PREFIX:
        portions = text_portions(
            corpus.splits,
            block_size=block_size,
            context_words=choice.context_words,
            channels=len(source.identity.channels),
        )
        return list(portions)
    return stages_of(source, _pairs(corpus, choice, block_size), corpus.words)


def _pairs(corpus: Corpus, choice: ScoreChoice, block_size: int) -> PairCounts:
    _, pairs = corpus_pairs(corpus, block_size)
    return select_pairs(pairs, coverage=choice.coverage, min_pair_count=choice.min_pair_count)


def fill_texts(
    source: ScoreSource,
    corpus: Corpus,
    *,
    block_size: int,
    context_words: int = 0,
    shard: Shard = Shard(),
) -> FillReport:
    """:func:`fill_splits` of all of ``corpus``."""
    return fill_splits(
        source, corpus.splits, block_size=block_size, context_words=context_words, shard=shard
    )


def fill_splits(
    source: ScoreSource,
    splits: Sequence[Split],
    *,
    block_size: int,
    context_words: int = 0,
    shard: Shard = Shard(),
) -> FillReport:
    """Ask ``source`` (of PREFIX scope) for all rows of the windows of ``splits`` that its cache
    lacks.

    ``shard`` leaves to other processes what is theirs. Raises what ``ScoreSource.fill`` raises.
    """

    def portions() -> Iterator[list[Row]]:
        for rows in text_portions(
            splits,
            block_size=block_size,
            context_words=context_words,
            channels=len(source.identity.channels),
        ):
            yield shard.rows(rows)

    return fill_stages(source, portions)
