"""What asking for rows would take: requests and tokens, without sending any."""

from __future__ import annotations

from collections.abc import Sequence

from llmattn.providers.protocol import AttentionProvider, Estimator
from llmattn.rows import Row
from llmattn.scoring.planner import merge_rows, pack
from llmattn.usage import Usage

__all__ = ["expected_and_most", "expected_usage"]


def expected_usage(provider: AttentionProvider, rows: Sequence[Row]) -> Usage:
    """Requests and tokens that ``rows`` are expected to take, if every reply is usable.

    A provider that does not say what its requests cost has 0 tokens.
    """
    requests = pack(merge_rows(rows), provider.limits, provider.scope)
    if not isinstance(provider, Estimator):
        return Usage(requests=len(requests))
    return sum((provider.expect(request) for request in requests), Usage())


def expected_and_most(provider: AttentionProvider, rows: Sequence[Row]) -> tuple[Usage, Usage]:
    """The same as :func:`expected_usage`, and its upper bound."""
    requests = pack(merge_rows(rows), provider.limits, provider.scope)
    if not isinstance(provider, Estimator):
        return Usage(requests=len(requests)), Usage(requests=len(requests))
    expected, most = Usage(), Usage()
    for request in requests:
        expected += provider.expect(request)
        most += provider.estimate(request)
    return expected, most
