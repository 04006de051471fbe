"""Which scores a run reads. Light: imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from llmattn.scoring.options import ScoringOptions

__all__ = ["ScoreChoice"]


@frozen
class ScoreChoice:
    """Where scores come from, as ``llmattn.scoring.source.open_sources`` takes it; for how
    much of the text, see ``llmattn.data.selection.select_pairs``; and how scores in context
    are read, see ``llmattn.training.scores.open_feeds``.
    """

    providers: tuple[str, ...] = ()
    options: Mapping[str, str] = field(factory=dict)
    model: str | None = None
    cache: str = "lmdb"
    cache_dir: Path | None = None
    coverage: float = 1.0
    min_pair_count: int = 1
    transform: str = "auto"
    context_words: int = 0
    scoring: ScoringOptions = ScoringOptions()
