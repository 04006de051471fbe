"""Fill the cache with every pair that a corpus needs, then load the table from it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llmattn.cache.bulk import load_pairs
from llmattn.data.corpus import Corpus
from llmattn.data.pairs import PairCounts, count_pairs, merge_counts
from llmattn.data.table import KnownPairs, ScoreTable, join_channels
from llmattn.errors import ConfigError, ProviderError
from llmattn.notices import notify
from llmattn.rows import Scope
from llmattn.scoring.source import ScoreSource

__all__ = ["channel_names", "check_scope", "corpus_pairs", "score_corpus"]


def check_scope(sources: Sequence[ScoreSource]) -> None:
    """Raise ConfigError for a provider whose scores do not fit a table of pairs."""
    for source in sources:
        if source.identity.scope is not Scope.PAIR:
            raise ConfigError(
                f"The provider {source.name!r} scores words in their context, and training reads "
                "scores of word pairs: choose another --provider."
            )


def channel_names(sources: Sequence[ScoreSource]) -> tuple[str, ...]:
    """The channels of all sources; with several sources each name tells its provider."""
    if len(sources) == 1:
        return sources[0].identity.channels
    return tuple(f"{s.name}.{channel}" for s in sources for channel in s.identity.channels)


def corpus_pairs(corpus: Corpus, block_size: int) -> tuple[PairCounts, PairCounts]:
    """The pairs of the training lines, and of both parts together."""
    size = len(corpus.tokenizer)
    train, val = (
        count_pairs(
            split,
            special_ids=corpus.tokenizer.special_ids,
            block_size=block_size,
            vocab_size=size,
        )
        for split in (corpus.train, corpus.val)
    )
    return train, merge_counts([train, val], size)


def score_corpus(
    sources: Sequence[ScoreSource],
    corpus: Corpus,
    *,
    block_size: int,
    device: torch.device | str = "cpu",
) -> tuple[ScoreTable, float]:
    """Ask for what the caches lack, and load the table of the corpus's vocabulary.

    Returns it with the coverage: the share of the training lines' attention positions whose
    pair is scored. Raises ProviderError if nothing is, and what ``ScoreSource.fill`` raises.
    """
    check_scope(sources)
    vocabulary = corpus.tokenizer.vocabulary
    train, both = corpus_pairs(corpus, block_size)
    rows = both.rows(vocabulary)
    parts: list[KnownPairs] = []
    absent: list[float | None] = []
    for source in sources:
        notify(source.summary(source.fill(rows)))
        query_ids, key_ids, scores = load_pairs(source.cache, source.identity, vocabulary)
        if not len(query_ids) and len(both):
            raise ProviderError(
                f"The provider {source.name!r} gave no score for any pair of this corpus, so "
                "there is nothing to train with."
            )
        parts.append(KnownPairs.of(query_ids, key_ids, scores))
        absent.extend([source.absent_score] * len(source.identity.channels))
    table = ScoreTable(
        join_channels(parts, len(vocabulary)),
        vocab_size=len(vocabulary),
        channels=channel_names(sources),
        absent=absent,
        device=device,
    )
    known = table.is_known(train.query_ids, train.key_ids)
    return table, float(train.counts[known].sum() / max(1, train.counts.sum()))
