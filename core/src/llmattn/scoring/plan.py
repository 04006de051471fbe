"""What asking for rows would take: requests and tokens, without sending any."""

from __future__ import annotations

from collections.abc import Sequence

from llmattn.providers.protocol import AttentionProvider, Estimator
from llmattn.rows import Row
from llmattn.scoring.planner import merge_rows, pack
from llmattn.usage import Usage

__all__ = ["expected_usage"]


def expected_usage(provider: AttentionProvider, rows: Sequence[Row]) -> Usage:
    """Requests and tokens that ``rows`` are expected to take, if every reply is usable.

    A provider that does not say what its requests cost has 0 tokens.
    """
    requests = pack(merge_rows(rows), provider.limits, provider.scope)
    if not isinstance(provider, Estimator):
        return Usage(requests=len(requests))
    total = Usage()
    for request in requests:
        total += provider.expect(request)
    return total
