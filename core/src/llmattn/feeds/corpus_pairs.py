"""The word pairs of a whole corpus: of its training lines, and of everything."""

from __future__ import annotations

from llmattn.data.corpus import Corpus
from llmattn.feeds.pairs import PairCounts, count_pairs, merge_counts

__all__ = ["corpus_pairs"]


def corpus_pairs(corpus: Corpus, block_size: int) -> tuple[PairCounts, PairCounts]:
    """The pairs of the training lines, and of all lines together."""
    parts = [count_pairs(split, block_size=block_size) for split in corpus.splits]
    return parts[0], merge_counts(parts, len(corpus.words))
