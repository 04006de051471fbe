"""What a vendor's library sends goes out here: once, over our own connections, to one address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Protocol
from urllib.parse import urlsplit

import httpx2
from attrs import define, evolve, frozen
from llmattn.plugin import ProviderError, ProviderRejected
from llmattn_openai.refusal import Refused
from llmattn_openai.wire import HttpAnswer, Wire

__all__ = ["EXCHANGE", "Carrier", "Exchange", "Stopped", "Transport", "VendorWire"]

_SENT = frozenset(
    (
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "content-type",
        "user-agent",
        "x-goog-user-project",
    )
)
"""Headers of a library that go out. It may add others, some of them from the environment."""
_LIMIT = re.compile(r"anthropic-ratelimit-(requests|tokens)-(remaining|reset)")
_DELAY = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,6}(?:\.\d{1,9})?)s"')


class Stopped(Exception):
    """Ends a library's work on a request whose answer it is not to see."""


class Sender(Protocol):
    """What sends; see ``llmattn_openai.endpoint.Endpoint.send``."""

    async def send(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer: ...


@define
class Exchange:
    """The one request that a library may send for one of ours, and what became of it."""

    sent: bool = False
    answer: HttpAnswer | None = None
    failure: ProviderError | Refused | None = None


EXCHANGE: ContextVar[Exchange] = ContextVar("EXCHANGE")


@frozen
class Carrier:
    """Carries a library's requests to ``base`` and nowhere else; ``access``: the headers that hold
    the user's key, in the place of any that the library has found.
    """

    sender: Sender
    base: str
    access: Mapping[str, str]

    async def carry(
        self, method: str, url: str, body: bytes, headers: Iterable[tuple[str, str]]
    ) -> HttpAnswer:
        """The answer, if it says success. Raises Stopped, and tells the exchange why."""
        exchange = EXCHANGE.get()
        if exchange.sent:
            raise Stopped("it was sent before, and whether it is again is llmattn's to decide")
        exchange.sent = True
        kept = {name: text for name, text in headers if name.lower() in _SENT}
        try:
            self._check(url)
            exchange.answer = await self.sender.send(method, url, body, {**kept, **self.access})
        except (Refused, ProviderError) as error:
            exchange.failure = error
            raise Stopped(str(error)) from None
        return exchange.answer

    def _check(self, url: str) -> None:
        asked, base = urlsplit(url), urlsplit(self.base)
        same = (asked.scheme, asked.netloc) == (base.scheme, base.netloc)
        if not same or not asked.path.startswith(f"{base.path.rstrip('/')}/"):
            raise ProviderRejected(
                f"The vendor's library would have sent the request to {asked.netloc} instead of "
                f"{self.base}; nothing was sent. Look for a variable of the environment that names "
                "that address."
            )


class Transport(httpx2.AsyncBaseTransport):
    """Takes the place of the network in a library that sends by httpx2."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        answer = await self._carrier.carry(
            request.method, str(request.url), body, request.headers.items()
        )
        headers = {"content-type": answer.headers.get("content-type", "application/json")}
        return httpx2.Response(answer.status, headers=headers, content=answer.body)


class VendorWire(Wire):
    """Connections whose answers say under OpenAI's names what Anthropic and Google say of limits
    under their own.
    """

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        answer = await super().send(method, url, body, headers)
        found = httpx2.Headers(list(answer.headers.items()))
        for name, text in answer.headers.items():
            if limit := _LIMIT.fullmatch(name.lower()):
                found[f"x-ratelimit-{limit[2]}-{limit[1]}"] = text
        delay = _DELAY.search(answer.body[:20_000]) if answer.status >= 400 else None
        if delay and "retry-after" not in found:
            found["retry-after"] = delay[1].decode()
        return evolve(answer, headers=found)
