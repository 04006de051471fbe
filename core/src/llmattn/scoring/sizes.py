"""How large a request may be: the provider's limits, lowered by what was found too large."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from llmattn.providers.protocol import AttentionProvider, Limits
from llmattn.rows import Row, Scope

__all__ = ["Sizes", "pairs_of"]


def pairs_of(request: Sequence[Row]) -> int:
    """The scores that a request asks for, in one channel."""
    return sum(len(row.keys) for row in request)


class Sizes:
    """What one provider takes at once, as far as it is known; remembered across fills."""

    def __init__(self, provider: AttentionProvider) -> None:
        self._provider = provider
        self._largest: int | None = None  # scores in a request
        self._longest: int | None = None  # keys in a row that cannot be cut

    @property
    def limits(self) -> Limits:
        """The limits for requests that may go well."""
        limits = self._provider.limits
        if self._largest is None or limits.pairs_per_request <= self._largest:
            return limits
        return evolve(limits, pairs_per_request=self._largest)

    def halved(self, rows: int, pairs: int) -> Limits:
        """The limits for requests of half this size; a single row is cut."""
        limits, half = self.limits, -(-rows // 2)
        pairs = -(-pairs // 2) if rows == 1 else -(-pairs * half // rows)
        return evolve(
            limits,
            pairs_per_request=min(limits.pairs_per_request, pairs),
            rows_per_request=min(limits.rows_per_request, half),
        )

    def to_pack_anew(self, request: Sequence[Row]) -> list[Row] | None:
        """The rows of a request that is known to be too large, without those that can never be
        asked; None for a request that may go well.
        """
        longest = self._longest
        rows = [row for row in request if longest is None or len(row.keys) <= longest]
        if len(rows) < len(request):
            return rows
        whole = self._is_whole(request)  # rows of its length may do
        return None if whole or pairs_of(request) <= self.limits.pairs_per_request else rows

    def shrink(self, request: Sequence[Row], fraction: float) -> list[Row] | None:
        """Take it that only ``fraction`` of ``request`` fits; gives the rows to ask in smaller
        requests, none if it is a text that cannot be cut, or None for a single pair.
        """
        pairs = pairs_of(request)
        if pairs == 1:
            return None
        if self._is_whole(request):
            self._longest = min(self._longest or pairs, pairs - 1)
            return []
        smaller = max(1, min(int(pairs * fraction), pairs - 1))
        self._largest = min(self._largest or smaller, smaller)
        return list(request)

    def _is_whole(self, request: Sequence[Row]) -> bool:
        return len(request) == 1 and self._provider.scope is Scope.PREFIX
