"""Which scores a run reads. Light: imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from llmattn.scoring.options import ScoringOptions

__all__ = ["SETTINGS", "ScoreChoice"]

SETTINGS = ("criteria", "scope", "channels", "method")
"""Settings of providers for which the commands have options."""


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

    @property
    def asked(self) -> dict[str, Any]:
        """What decides which scores there are, by the names of the commands' options."""
        return {
            "coverage": self.coverage,
            "min_pair_count": self.min_pair_count,
            "score_transform": self.transform,
            "context_words": self.context_words,
            "model": self.model,
            **{name: self.options.get(name) for name in SETTINGS},
        }
