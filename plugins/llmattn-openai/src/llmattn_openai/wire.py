"""One HTTP request and its answer, for requests that go out by the thousand.

The SDK spends half a millisecond of CPU on building a request and reading its answer; this
spends a sixth. What an answer means is the endpoint's business.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
from attrs import field, frozen

__all__ = ["Garbled", "HttpAnswer", "NoAnswer", "TooLate", "Wire", "innermost"]

_CONNECT = 15.0  # seconds for a connection to come about
_LARGEST = 1 << 24
"""Bytes of an answer, unpacked: many times what a model says, and little beside the memory."""


@frozen
class HttpAnswer:
    """What came back; of an error that goes on and on the beginning. Names in ``headers`` are
    found in any case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body to read, whatever its encoding."""
        return self.body.decode("utf-8", "replace")


class NoAnswer(Exception):
    """No whole answer came. ``reached``: whether there was a connection at all."""

    def __init__(self, words: str, *, reached: bool) -> None:
        super().__init__(words)
        self.reached = reached


class TooLate(NoAnswer):
    """No whole answer came in time, over a connection that had come about."""

    def __init__(self) -> None:
        super().__init__("timeout", reached=True)


class Garbled(NoAnswer):
    """An answer came that is not coded as it should be, or does not end."""

    def __init__(self, words: str) -> None:
        super().__init__(words, reached=True)


class Wire:
    """Connections to one server, made anew on each event loop that uses them.

    ``headers`` go with every request; ``timeout``: seconds for a whole answer. The proxy is
    the one that the environment names.
    """

    def __init__(self, headers: Mapping[str, str], timeout: float) -> None:
        self._headers = dict(headers)
        connect = min(timeout, _CONNECT)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=connect)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """Send once; ``headers`` go with this request alone. Raises NoAnswer or TooLate; an HTTP
        error is an answer, and so is a redirect: nothing, and no key, goes to an address that a
        server names.
        """
        try:
            asking = self._open(url).request(
                method, url, data=body, headers=headers, allow_redirects=False
            )
            async with asking as response:
                body, is_whole = await _beginning(response)
                if not is_whole and response.status < 300:
                    raise Garbled(f"it goes on after {_LARGEST:,} bytes")
                return HttpAnswer(response.status, response.headers, body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NoAnswer(innermost(error), reached=_was_connected(error)) from None
        except asyncio.TimeoutError:  # on 3.10 not yet the built-in one
            raise TooLate from None
        except aiohttp.ClientResponseError as error:  # its head is none
            raise Garbled(_first_line(error.message)) from None
        except aiohttp.ClientPayloadError as error:
            if isinstance(error.__cause__, aiohttp.http_exceptions.ContentEncodingError):
                raise Garbled(_first_line(error.__cause__.message)) from None
            raise NoAnswer("its answer ends too early", reached=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(innermost(error), reached=True) from None

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        session, self._session = self._session, None
        if session is not None and self._loop is asyncio.get_running_loop():
            await session.close()

    def _open(self, url: str) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                # How many run at once is decided above; certificates are found as by the SDK.
                connector=aiohttp.TCPConnector(limit=0, ssl=httpx2.create_ssl_context()),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=self._timeout,
                # aiohttp's own way would ask the environment, in a thread, for each request.
                proxy=_proxy(url),
            )
        return self._session


async def _beginning(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The body, or so much of it as anybody needs, and whether that is all."""
    found = bytearray()
    async for part in response.content.iter_any():
        found += part
        if len(found) > _LARGEST:
            response.close()
            return bytes(found[:_LARGEST]), False
    return bytes(found), True


def _first_line(words: str) -> str:
    """What is wrong, without the bytes that aiohttp points at below."""
    return words.partition("\n")[0].rstrip(":")


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for ``url``: HTTPS_PROXY and the like, NO_PROXY."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    named = getproxies()
    return named.get(parts.scheme) or named.get("all")


def innermost(error: BaseException) -> str:
    """The operating system's words beneath a connection error, if there are any."""
    words, below = str(error) or type(error).__name__, error.__cause__ or error.__context__
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            # asyncio puts its own words in strerror; the resolver's numbers are negative.
            words = os.strerror(below.errno) if below.errno and below.errno > 0 else below.strerror
        below = below.__cause__ or below.__context__
    return words


def _was_connected(error: BaseException) -> bool:
    """Whether a connection had come about: aiohttp calls a reset an error in connecting."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.errno in (errno.ECONNRESET, errno.EPIPE):
            return True
        below = below.__cause__ or below.__context__
    return False
