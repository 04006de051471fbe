"""Checks of a provider that asks a server: it asks, it reads, and it tells of faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from attrs import define, field

from llmattn.errors import (
    BadReply,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
)
from llmattn.providers.protocol import AttentionProvider, Reply
from llmattn.rows import Row, Scope, Scores, prefix_rows
from llmattn.secrets import redact
from llmattn.testing.api import digit
from llmattn.testing.faults import FAULTS, HTTP_FAULTS, LIST_FAULTS, FaultPlan
from llmattn.testing.findings import CheckFailed, Steps, fail, in_time, shown
from llmattn.testing.material import PIECES
from llmattn.testing.replies import check_reply
from llmattn.testing.server import ScoreServer
from llmattn.testing.shapes import OPENAI, ChatShape, RowShape

__all__ = ["FAULT_CHECKS", "Asking", "check_faults"]

_WHERE = "a-provider-that-asks-a-server"
_WAIT = 0.25
_TOLD: dict[str, tuple[type[ProviderError], ...]] = {
    "rate_limit": (RateLimited,),
    "rate_limit_ms": (RateLimited,),
    "rate_limit_bare": (RateLimited,),
    "server_error": (ProviderUnavailable,),
    "loading": (ProviderUnavailable,),
    "reset": (ProviderUnavailable,),
    "stall": (ProviderUnavailable,),
    "content_type": (BadReply, ProviderUnavailable, ProviderRejected),
    "refusal": (BadReply, ProviderRejected),
    "content_filter": (BadReply, ProviderRejected),
}
"""The errors that tell of a fault; of all others BadReply does."""

_PAIRS = (
    Row("eats", ("the", "cat", "of", "fish")),
    Row("ran", ("dog", "king", "slowly")),
    Row("water", ("in", "a", "glass", "was", "cold")),
)
_FIRST = frozenset(LIST_FAULTS) - {"missing_row"}


@define
class Asking:
    """A provider, made anew for each question to a server that is told how to behave."""

    make: Callable[[str], AttentionProvider]
    server: ScoreServer
    shape: ChatShape | RowShape | None = None
    secrets: Sequence[str] = ()
    patience: float = 30.0
    plain: list[Scores] = field(factory=list)
    """The scores of a server that is well."""

    def rows(self) -> list[Row]:
        if self.make(self.server.url).scope is Scope.PREFIX:
            texts = (PIECES[:6], PIECES[6:12], PIECES[11:])
            return [prefix_rows(text)[-1] for text in texts]
        return list(_PAIRS)

    def ask(self, done: str) -> Reply:
        """One request to the server; its reply is checked. Raises what the provider raises."""
        provider, rows = self.make(self.server.url), self.rows()
        limits = provider.limits
        rows = rows[: max(1, min(limits.rows_per_request, limits.pairs_per_request // 6))]
        self.server.reset()
        steps = Steps(self.patience)

        async def conversation() -> Reply:
            try:
                return await steps.take(f"score(): {done}", provider.score(rows))
            finally:
                await steps.take(f"aclose(): {done}", provider.aclose())

        reply = check_reply(provider, rows, in_time(steps, conversation()))
        if not self.server.log.requests:
            self._not_asked(done)
        return reply

    def _not_asked(self, done: str) -> None:
        known = ", ".join([*OPENAI, *([self.shape.path] if self.shape else [])])
        other = [path for path in self.server.log.paths if path]
        came = f"it was asked for {', '.join(other)}" if other else "it was asked for nothing"
        fail(done, came, f"a POST to {known}; shape= says of another API", _WHERE)

    def error(self, done: str) -> tuple[Reply | None, ProviderError | None]:
        """What came of one request: a reply, or an error of ours that shows no key."""
        try:
            return self.ask(done), None
        except CheckFailed:
            raise
        except ProviderError as error:
            text = f"{error} {error!r}"
            if redact(text) != text or any(secret in text for secret in self.secrets):
                fail(done, "the error shows a secret", "llmattn.secrets.redact(text)", _WHERE)
            if not self.server.log.requests and not self.server.log.paths:
                self._not_asked(done)
            return None, error
        except (Exception, SystemExit) as error:
            fail(
                done,
                f"the fault made the provider raise {type(error).__name__}: "
                f"{shown(str(error), 200)}",
                "scores or NaN; otherwise it should be a ProviderError of llmattn.errors",
                _WHERE,
            )


def check_asks(asking: Asking) -> None:
    """A server that is well is asked, and what it says becomes scores."""
    done = "A server that is well was asked"
    reply, error = asking.error(done)
    if error is not None or reply is None:
        came = f"{type(error).__name__} was raised: {shown(str(error), 200)}"
        fail(done, came, "scores; the server knows the model 'test-model', or any", _WHERE)
    asking.plain = list(reply.scores)
    for scores in reply.scores:
        if np.isnan(scores).any():
            fail(done, "a score of a readable reply is NaN", "a score for each key", _WHERE)
    asking.server.change(answers=lambda query, keys, _: [9 - digit(query, k, _) for k in keys])
    turned, error = asking.error("The server gave every pair another score")
    asking.server.change(answers="hash")
    if turned is None:
        fail(done, f"{error} was raised when its scores were others", "scores", _WHERE)
    for number, (one, other) in enumerate(zip(reply.scores, turned.scores, strict=True), 1):
        if np.allclose(one, other, atol=1e-6):
            fail(
                "The server gave every pair another score",
                f"the scores of row {number} stayed {shown(one.tolist())}",
                "the scores that the server gives",
                _WHERE,
            )


def _check_fault(asking: Asking, fault: str) -> None:
    done = f"The fault {fault!r} was met ({FAULTS[fault]})"
    asking.server.change(faults=FaultPlan({fault: 1.0}), retry_after=_WAIT)
    reply, error = asking.error(done)
    asking.server.change(faults=FaultPlan())
    if not asking.server.log.requests:
        asking._not_asked(done)
    if fault == "prose":
        if reply is None or not _alike(reply.scores, asking.plain, range(len(asking.plain))):
            came = f"{error} was raised" if error else "the scores are not those of the reply"
            fail(done, came, "the scores, which can be read", _WHERE)
        return
    allowed = _TOLD.get(fault, (BadReply,))
    if error is not None:
        _check_error(done, fault, error, allowed)
        return
    assert reply is not None
    names = " or ".join(kind.__name__ for kind in allowed)
    if fault in HTTP_FAULTS:
        fail(done, "scores came, though the server gave none", names, _WHERE)
    last = len(reply.scores) - 1
    spoiled = {0} if fault in _FIRST else {last} if fault == "missing_row" else range(last + 1)
    for number in spoiled:
        if not np.isnan(reply.scores[number]).all():
            fail(
                done,
                f"row {number + 1} got the scores {shown(reply.scores[number].tolist())}, which no "
                "reply holds",
                f"{names}, or NaN for that row",
                _WHERE,
            )
    if not _alike(reply.scores, asking.plain, set(range(last + 1)) - set(spoiled)):
        fail(done, "another row's scores changed", "its own scores, or NaN", _WHERE)


def _check_error(
    done: str, fault: str, error: ProviderError, allowed: tuple[type[ProviderError], ...]
) -> None:
    if not isinstance(error, allowed):
        names = " or ".join(kind.__name__ for kind in allowed)
        came = f"{type(error).__name__} was raised: {shown(str(error), 120)}"
        fail(done, came, f"{names}, by which llmattn knows what to do next", _WHERE)
    if fault in ("rate_limit", "rate_limit_ms"):
        told = getattr(error, "retry_after", None)
        if told is None or abs(told - _WAIT) > 0.01:
            came = f"RateLimited says retry_after={told}, and the server {_WAIT} seconds"
            fail(done, came, "the seconds that the server says", _WHERE)
    if not str(error).strip():
        fail(done, f"{type(error).__name__} has no message", "what was wrong, and where", _WHERE)


def _alike(scores: Sequence[Scores], plain: Sequence[Scores], numbers: object) -> bool:
    """Whether what is known of these rows is what the server says."""
    return all(
        np.allclose(np.where(np.isnan(scores[n]), plain[n], scores[n]), plain[n], atol=1e-6)
        for n in numbers  # type: ignore[attr-defined]
    )


def check_http_faults(asking: Asking) -> None:
    """Each fault that happens before a model is asked is told by its error."""
    for fault in HTTP_FAULTS:
        if asking.shape is None or fault in asking.shape.faults:
            _check_fault(asking, fault)


def check_content_faults(asking: Asking) -> None:
    """Each reply that cannot be read is told, and gives no scores that it does not hold."""
    for fault in FAULTS:
        if fault not in HTTP_FAULTS and (asking.shape is None or fault in asking.shape.faults):
            _check_fault(asking, fault)


def check_wrong_key(asking: Asking) -> None:
    """A key that the server does not take ends in ProviderRejected, which shows no key."""
    asking.server.change(api_key="the-key-that-is-right")
    done = "The server refused the key (401)"
    reply, error = asking.error(done)
    asking.server.change(api_key=None)
    if not isinstance(error, ProviderRejected):
        came = "scores came" if reply else f"{type(error).__name__} was raised: {error}"
        fail(done, came, "ProviderRejected, which ends the run", _WHERE)


FAULT_CHECKS: tuple[Callable[[Asking], None], ...] = (
    check_asks,
    check_http_faults,
    check_content_faults,
    check_wrong_key,
)
"""What is looked at in a provider that asks a server, in this order."""


def check_faults(
    make: Callable[[str], AttentionProvider],
    *,
    shape: ChatShape | RowShape | None = None,
    secrets: Sequence[str] = (),
    patience: float = 30.0,
) -> None:
    """Raise CheckFailed unless the provider asks the server, every readable reply becomes scores,
    and every fault is told: by the error that says what to do next, or by NaN for a row.

    ``make(base_url)`` gives a provider that asks a server at ``http://127.0.0.1:PORT/v1``; let it
    wait for a reply no longer than a second or so. The server takes any name for its model, and
    any key. It speaks OpenAI's APIs; ``shape`` says in a few lines how another one words a request
    and its answer. ``secrets``: texts that no error may show.
    """
    from llmattn.testing.findings import run_all

    with ScoreServer(models=(), shape=shape) as server:
        run_all(FAULT_CHECKS, Asking(make, server, shape, secrets, patience))
