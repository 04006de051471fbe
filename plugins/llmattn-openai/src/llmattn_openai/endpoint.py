"""One OpenAI-compatible server: the client, its life, and its failures as errors of llmattn."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import anyio
import httpx2
import openai
from attrs import frozen
from llmattn.errors import (
    BadReply,
    ConfigError,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
)
from llmattn.providers.protocol import RateHint
from llmattn.providers.reply import excerpt
from llmattn.secrets import Secret, redact, strip_credentials

from llmattn_openai.form import Agreement, Form
from llmattn_openai.rate import rate_hint, retry_after

__all__ = ["Answered", "Endpoint"]

log = logging.getLogger(__name__)
T = TypeVar("T")

_LISTED_MODELS = 20
_CONNECT = 15.0  # seconds for a connection to come about


@frozen
class Answered:
    """The JSON object that a server answered, and what its headers say about its limits."""

    data: Mapping[str, Any]
    rate: RateHint | None


class Endpoint:
    """A server's base URL with its key.

    ``name``: the provider's, for messages; ``key_variable``: the environment variable that
    holds the key; ``form``: what is tried first. The client is made on the event loop that
    first uses it. Raises ConfigError for a key that no header can carry.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        model: str,
        api_key: Secret | None,
        key_variable: str,
        timeout: float,
        form: Form,
        headers: Mapping[str, str | openai.Omit] = {},
    ) -> None:
        if api_key and not re.fullmatch(r"[!-~]+", api_key.reveal()):
            raise ConfigError(
                f"{name}: the key in {key_variable} has white space or letters in it that no key "
                "has; copy it anew."
            )
        self.name = name
        self.model = model
        self.agreement = Agreement(form)
        self.shown_url = strip_credentials(base_url)
        self._api_key = api_key
        self._key_variable = key_variable
        self._timeout = timeout
        # Sent as a header: httpx2 logs the whole URL, credentials and all.
        self._headers = {**headers, **_basic_auth(base_url)}
        self._client: openai.AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def client(self) -> openai.AsyncOpenAI:
        """The client of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            self._client = openai.AsyncOpenAI(
                # Without a key the SDK would take OPENAI_API_KEY and send it to any server.
                api_key=self._api_key.reveal() if self._api_key else "none",
                base_url=self.shown_url,
                timeout=httpx2.Timeout(self._timeout, connect=min(self._timeout, _CONNECT)),
                max_retries=0,
                # Half the CPU a request of the default transport (benchmarks).
                http_client=openai.DefaultAioHttpClient(timeout=self._timeout),
                default_headers=self._headers,  # type: ignore[arg-type]  # Omit is taken
            )
        return self._client

    async def ask(self, path: str, build: Callable[[Form], Mapping[str, Any]]) -> Answered:
        """POST what ``build`` makes of the form that the server takes; raises ProviderError.

        A refusal that concerns the form is answered with a lower one, at once.
        """
        while True:
            form = self.agreement.form
            try:
                answered = await self._post(path, build(form))
            except openai.APIStatusError as error:
                if not await self._lowered(form, error):
                    raise await self._refusal(error) from None
            else:
                self.agreement.accepted()
                return answered

    async def call(self, use: Callable[[openai.AsyncOpenAI], Awaitable[T]]) -> T:
        """What ``use`` makes of the client, within the timeout; raises ProviderError."""
        try:
            return await self._within_timeout(use)
        except openai.APIStatusError as error:
            raise await self._refusal(error) from None

    async def _post(self, path: str, body: Mapping[str, Any]) -> Answered:
        """POST without the SDK's parsing, which costs 0.4 ms a request."""
        log.debug("%s: POST %s%s %s", self.name, self.shown_url, path, _Redacted(body))
        response = await self._within_timeout(
            lambda client: client.post(path, cast_to=httpx2.Response, body=dict(body))
        )
        log.debug("%s: %d %s", self.name, response.status_code, _Redacted(response.text))
        try:
            data = response.json()
        except ValueError:
            data = None
        if not isinstance(data, dict):
            kind = response.headers.get("content-type", "no content type")
            raise BadReply(
                f"{self.name}: {self.shown_url}{path} answered with {kind[:60]}, not with a JSON "
                f"object: {excerpt(response.text, 80)}. Is the base URL right? Most end in /v1."
            )
        return Answered(data, rate_hint(response.headers))

    async def _within_timeout(self, use: Callable[[openai.AsyncOpenAI], Awaitable[T]]) -> T:
        """Raises ProviderError, or openai.APIStatusError for the caller to judge."""
        try:
            with anyio.fail_after(self._timeout):
                return await use(self.client)
        except openai.APIConnectionError as error:
            raise self._no_answer(error) from None
        except TimeoutError:
            raise self._too_late() from None
        except openai.APIStatusError:
            raise
        except openai.OpenAIError as error:
            raise BadReply(f"{self.name}: {excerpt(str(error))}") from None

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.close()

    def _too_late(self) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"{self.name}: {self.shown_url} gave no answer within {self._timeout:g} s "
            f"(-o {self.name}.timeout=... allows more).",
            billed=True,
        )

    def _no_answer(self, error: openai.APIConnectionError) -> ProviderUnavailable:
        cause = error.__cause__
        unreached = isinstance(
            cause, (httpx2.ConnectError, httpx2.ConnectTimeout)
        ) and not _was_connected(cause)
        if isinstance(error, openai.APITimeoutError) and not unreached:
            return self._too_late()
        what = "cannot be reached" if unreached else "broke the connection off"
        words = redact(_innermost(cause or error)) or type(cause).__name__
        return ProviderUnavailable(
            f"{self.name}: {self.shown_url} {what} ({words}). Is the server running, and the "
            "address right?",
            reached=not unreached,
            billed=not unreached,
        )

    async def _lowered(self, form: Form, error: openai.APIStatusError) -> bool:
        """Whether a lower form than ``form`` may do, after this error."""
        if error.status_code not in (400, 422, 500, 501):
            return False
        words = f"{_words(error)} {error.param or ''}"  # OpenAI may name the part only there
        if self.agreement.refused(form, words):
            return True
        if error.status_code >= 500 or ("model" in words.lower() and await self._unknown_model()):
            return False
        return self.agreement.refused(form, words, suspect=True)

    async def _refusal(self, error: openai.APIStatusError) -> ProviderError:
        """The error for an HTTP status of 400 and above."""
        status, words = error.status_code, _words(error)
        about = f"{self.name}: {self.shown_url} answered {status}: {excerpt(words, 400)}."
        if status in (401, 403):
            return ProviderRejected(f"{about} Check the key in {self._key_variable}.")
        if status == 429 and "insufficient_quota" in (error.code, error.type):
            return ProviderRejected(f"{about} The account has no credit left.")
        if status == 429:
            return RateLimited(about, retry_after=retry_after(error.response.headers))
        if status in (408, 409) or status >= 500:
            return ProviderUnavailable(about, retry_after=retry_after(error.response.headers))
        if status == 404 or "model" in words.lower():
            unknown = await self._unknown_model()
            if unknown:
                return unknown
        if status == 404:
            return ProviderRejected(f"{about} Is the base URL right? Most end in /v1.")
        if "context" in words.lower() or "too long" in words.lower():
            about += f" Ask for less at once: -o {self.name}.pairs_per_request=256"
        return ProviderRejected(about)

    async def _unknown_model(self) -> ProviderRejected | None:
        """The error that names the server's models, if ours is not among them."""
        try:
            response = await self._within_timeout(
                lambda client: client.get("/models", cast_to=httpx2.Response)
            )
            names = sorted(str(model["id"]) for model in response.json()["data"])
        except (ProviderError, openai.APIStatusError, ValueError, KeyError, TypeError):
            return None
        if self.model in names:
            return None
        more = ", ..." if len(names) > _LISTED_MODELS else ""
        return ProviderRejected(
            f"{self.name}: {self.shown_url} has no model {self.model!r}. It has: "
            f"{redact(', '.join(names[:_LISTED_MODELS]))}{more}. Name one with --model or "
            "in LLM_MODEL."
        )


def _basic_auth(url: str) -> dict[str, str]:
    """The header for a URL's user name and password; it goes before the key's."""
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return {}
    both = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {b64encode(both.encode()).decode()}"}


def _innermost(error: BaseException) -> str:
    """The operating system's words beneath a connection error, if there are any."""
    words, below = str(error), error.__cause__ or error.__context__
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            # asyncio puts its own words in strerror; the resolver's numbers are negative.
            words = os.strerror(below.errno) if below.errno and below.errno > 0 else below.strerror
        below = below.__cause__ or below.__context__
    return words


def _was_connected(error: BaseException) -> bool:
    """Whether a connection had come about: aiohttp's transport calls a reset a ConnectError."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.errno in (errno.ECONNRESET, errno.EPIPE):
            return True
        below = below.__cause__ or below.__context__
    return False


class _Redacted:
    """Shows a request or reply without secrets, and only if it is logged at all."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return redact(str(self._value))


def _words(error: openai.APIStatusError) -> str:
    """What the server says, whatever the form of its error."""
    body: object = error.body
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body.get("error") or body
    return str(body or error.response.text or error.response.reason_phrase)
