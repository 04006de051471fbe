"""Fill the cache with every pair that a corpus needs, then load the table from it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llmattn.cache.bulk import load_pairs
from llmattn.data.corpus import Corpus
from llmattn.data.corpus_pairs import corpus_pairs
from llmattn.data.fill import fill_pairs
from llmattn.data.selection import select_pairs
from llmattn.data.table import KnownPairs, ScoreTable, join_channels
from llmattn.errors import ConfigError, ProviderError
from llmattn.notices import notify
from llmattn.rows import Scope
from llmattn.scoring.source import ScoreSource

__all__ = ["channel_names", "check_scope", "score_corpus"]


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


def score_corpus(
    sources: Sequence[ScoreSource],
    corpus: Corpus,
    *,
    block_size: int,
    coverage: float = 1.0,
    min_pair_count: int = 1,
    device: torch.device | str = "cpu",
) -> tuple[ScoreTable, float]:
    """Ask for what the caches lack, and load the table of the corpus's vocabulary.

    ``coverage`` and ``min_pair_count`` leave out rare pairs (``select_pairs``). Returns the table
    and what came of it: the share of the training lines' attention positions whose
    pair is scored. Raises ProviderError if nothing is, and what ``ScoreSource.fill`` raises.
    """
    check_scope(sources)
    vocabulary = corpus.tokenizer.vocabulary
    train, both = corpus_pairs(corpus, block_size)
    wanted = select_pairs(both, coverage=coverage, min_pair_count=min_pair_count)
    parts: list[KnownPairs] = []
    absent: list[float | None] = []
    for source in sources:
        notify(source.summary(fill_pairs(source, wanted, vocabulary)))
        query_ids, key_ids, scores = load_pairs(source.cache, source.identity, vocabulary)
        if not len(query_ids) and len(wanted):
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
