"""What a whole corpus needs of a source: pairs of words, or the rows of its windows."""

from __future__ import annotations

from llmattn.data.corpus import Corpus
from llmattn.feeds.corpus_pairs import corpus_pairs
from llmattn.feeds.fill import fill_pairs, stages_of
from llmattn.feeds.pairs import PairCounts
from llmattn.feeds.selection import select_pairs
from llmattn.feeds.text_fill import fill_texts, text_portions
from llmattn.rows import Row, Scope
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.report import FillReport
from llmattn.scoring.shard import Shard
from llmattn.scoring.source import ScoreSource

__all__ = ["corpus_stages", "fill_corpus"]


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
