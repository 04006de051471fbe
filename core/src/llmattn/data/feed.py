"""Where a batch's scores come from; the model sees only their values."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen
from torch import Tensor

from llmattn.data.batches import Batch
from llmattn.data.table import ScoreTable

__all__ = ["NoScores", "ScoreFeed", "TableFeed"]


class ScoreFeed(Protocol):
    """Gives a batch its scores.

    A feed of PAIR scope looks at the batch's ids alone. One of PREFIX scope, whose scores
    depend on the text before, finds them by ``batch.pieces``; each split has its own feed.
    """

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the C channels; none for a model without external scores."""
        ...

    def scores(self, batch: Batch) -> Tensor | None:
        """``(B, C, T, T)`` on the device of ``batch``, or None without channels."""
        ...


@frozen
class NoScores:
    """The feed of models that take no external scores."""

    channels: tuple[str, ...] = ()

    def scores(self, batch: Batch) -> None:
        """Nothing."""


@frozen(eq=False)
class TableFeed:
    """Pair scores, looked up by token id."""

    table: ScoreTable

    @property
    def channels(self) -> tuple[str, ...]:
        """The table's channels."""
        return self.table.channels

    def scores(self, batch: Batch) -> Tensor:
        """``(B, C, T, T)``, float16."""
        return self.table.gather(batch.ids)
