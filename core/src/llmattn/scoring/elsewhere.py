"""Requests that other machines send: whether and how far is settled here, as for any other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from anyio.from_thread import start_blocking_portal
from attrs import frozen

from llmattn import allowance
from llmattn.errors import (
    BudgetExceeded,
    ConfigError,
    ProviderUnavailable,
    WorkerLost,
)
from llmattn.executors.protocol import Executor
from llmattn.identity import Identity
from llmattn.plugins import load_plugins
from llmattn.providers.protocol import AttentionProvider, Reply
from llmattn.registry import Registered
from llmattn.rows import Row
from llmattn.scoring.calls import close_provider
from llmattn.scoring.find_provider import build_provider, with_model
from llmattn.secrets import redact, strip_credentials
from llmattn.settings import environment, secret_settings, stated

__all__ = ["Asking", "Elsewhere", "asking_of"]

_MOST = 8
"""Requests that one answer may take."""


@frozen
class Asking:
    """The work of sending a provider's requests, each once. ``options``: its settings, without
    keys, which each process has of its own environment. ``identity``: what the scores must be of.
    """

    provider: str
    options: Mapping[str, str]
    identity: Identity
    alone: bool = False

    def begin(self) -> Callable[[_Request], Reply | _More]:
        """Set up the provider for as long as the process lives. Raises ConfigError if it would
        give other scores here.
        """
        registered = load_plugins().provider(self.provider)
        built = build_provider(registered, options=self.options, model=None, environ=environment())
        own, meant = built.provider.identity(), self.identity
        if own != meant:
            raise ConfigError(
                f"The provider {self.provider!r} would give other scores on a machine of the "
                f"executor than here: {_difference(meant, own)}. Give that machine the same "
                "packages, files and settings, or state the setting with -o."
            )
        return _Sender(self.provider, built.provider)


class _Sender:
    """A provider on an event loop of its own."""

    def __init__(self, name: str, provider: AttentionProvider) -> None:
        self._name, self._provider = name, provider
        self._manager = start_blocking_portal("asyncio")
        self._portal = self._manager.__enter__()

    def __call__(self, request: _Request) -> Reply | _More:
        return self._portal.call(_ask, self._provider, request)

    def close(self) -> None:
        """Let the provider give back what it holds, and end the loop."""
        close_provider(self._name, self._provider, self._portal, self._manager)


@frozen
class _Request:
    """``further``: how many requests it may take beside the first."""

    rows: tuple[Row, ...]
    further: int = 0


@frozen
class _More:
    """It would take one request more than it was allowed."""


async def _ask(provider: AttentionProvider, request: _Request) -> Reply | _More:
    left, lacking = request.further, False

    def one_more() -> None:
        nonlocal left, lacking
        if not left:
            lacking = True
            raise BudgetExceeded("The executor may send no further request.")
        left -= 1

    try:
        with allowance.allowed_by(one_more):
            return await provider.score(request.rows)
    except BudgetExceeded:
        if not lacking:
            raise
        return _More()


@frozen
class Elsewhere:
    """Sends a provider's requests through an executor. ``pays``: whether they may cost money, so
    that none is sent again unless the caller says so.
    """

    executor: Executor
    asking: Asking
    pays: bool

    async def score(self, rows: Sequence[Row]) -> Reply:
        """As ``AttentionProvider.score``; further requests are asked for here before they are sent
        there (``llmattn.allowance``). One whose process died may have been billed.
        """
        for further in range(_MOST):
            try:
                request = _Request(tuple(rows), further)
                future = self.executor.submit(self.asking, request, again=not self.pays)
                found = await _result(future)
            except WorkerLost as error:
                billed = ", and whether it was billed is not known" if self.pays else ""
                raise ProviderUnavailable(
                    f"{self.asking.provider}: a request was lost{billed}: {error}", billed=self.pays
                ) from None
            if isinstance(found, Reply):
                return found
            for _ in range(further + 2):  # what was sent in vain, it sends anew
                allowance.one_more()
        raise ProviderUnavailable(f"{self.asking.provider}: one answer takes too many requests.")


async def _result(future: Future[Any]) -> Any:
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        future.cancel()
        raise


def asking_of(
    registered: Registered, options: Mapping[str, str], model: str | None, identity: Identity
) -> Asking:
    """How other machines are to ask what was set up here: by everything that the user has said of
    it, but for keys and addresses with a password.
    """
    kind: Any = registered.settings
    given = with_model(registered, options, model)
    said = stated(kind, owner=registered.name, options=given, environ=environment())
    secret = secret_settings(kind)
    plain = {name: one.text for name, one in said.items() if name not in secret}
    kept = {name: text for name, text in plain.items() if not _holds_secret(text)}
    return Asking(registered.name, kept, identity)


def _holds_secret(text: str) -> bool:
    try:
        return redact(text) != text or ("://" in text and strip_credentials(text) != text)
    except ValueError:  # no address after all
        return False


def _difference(meant: Identity, own: Identity) -> str:
    """What an identity has otherwise, in words."""
    return "; ".join(
        f"{name} is {here!r} here, and {there!r} there"
        for name, (here, there) in sorted(meant.differing(own).items())
    )
