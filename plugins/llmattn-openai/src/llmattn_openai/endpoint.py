"""One OpenAI-compatible server: the client, its life, and its failures as errors of llmattn."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

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
from llmattn_openai.refusal import Refused
from llmattn_openai.wire import HttpAnswer, NoAnswer, TooLate, Wire, innermost

__all__ = ["Answered", "Endpoint"]

log = logging.getLogger(__name__)
T = TypeVar("T")

_LISTED_MODELS = 20
_SLOWEST_UPLOAD = 250_000  # bytes a second


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
        self._wire: Wire | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def client(self) -> openai.AsyncOpenAI:
        """The SDK's client of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            self._client = openai.AsyncOpenAI(
                # Without a key the SDK would take OPENAI_API_KEY and send it to any server.
                api_key=self._api_key.reveal() if self._api_key else "none",
                base_url=self.shown_url,
                timeout=self._timeout,
                max_retries=0,
                default_headers=self._headers,  # type: ignore[arg-type]  # Omit is taken
                # The SDK follows redirects, and takes the content of a file from anywhere.
                http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
            )
        return self._client

    @property
    def wire(self) -> Wire:
        """Connections for everything but files and batches, with the SDK's headers."""
        if self._wire is None:
            headers = {**self.client.auth_headers, **self.client.default_headers}
            sent = {name: text for name, text in headers.items() if isinstance(text, str)}
            self._wire = Wire(sent, self._timeout)
        return self._wire

    async def ask(self, path: str, build: Callable[[Form], Mapping[str, Any]]) -> Answered:
        """POST what ``build`` makes of the form that the server takes; raises ProviderError.

        A refusal that concerns the form is answered with a lower one, at once.
        """
        while True:
            form = self.agreement.form
            try:
                answered = await self._post(path, build(form))
            except Refused as refused:
                if not await self._lowered(form, refused):
                    raise await self._refusal(refused) from None
            else:
                self.agreement.accepted()
                return answered

    async def call(self, use: Callable[[openai.AsyncOpenAI], Awaitable[T]], size: int = 0) -> T:
        """What ``use`` makes of the SDK's client, within the timeout; raises ProviderError.

        ``size``: bytes to send, for which there is more time.
        """
        try:
            with anyio.fail_after(self._timeout + size / _SLOWEST_UPLOAD):
                return await use(self.client)
        except (openai.APITimeoutError, TimeoutError):
            raise self._too_late() from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise self._no_answer(
                innermost(cause), not isinstance(cause, httpx2.ConnectError)
            ) from None
        except openai.APIStatusError as error:
            raise await self._refusal(Refused.of_sdk(error)) from None
        except openai.OpenAIError as error:
            raise BadReply(f"{self.name}: {excerpt(str(error))}") from None

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.aclose()
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.close()

    async def _post(self, path: str, body: Mapping[str, Any]) -> Answered:
        """Raises ProviderError, or Refused for the caller to judge."""
        log.debug("%s: POST %s%s %s", self.name, self.shown_url, path, _Redacted(body))
        answer = await self._send("POST", path, json.dumps(body, ensure_ascii=False))
        log.debug("%s: %d %s", self.name, answer.status, _Redacted(answer))
        try:
            data = json.loads(answer.body)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            kind = answer.headers.get("content-type", "no content type")
            raise BadReply(
                f"{self.name}: {self.shown_url}{path} answered with {kind[:60]}, not with a JSON "
                f"object: {excerpt(answer.text, 80)}. Is the base URL right? Most end in /v1."
            )
        return Answered(data, rate_hint(answer.headers))

    async def _send(self, method: str, path: str, body: str | None = None) -> HttpAnswer:
        """Raises ProviderUnavailable, or Refused."""
        data = None if body is None else body.encode("utf-8", "surrogatepass")
        url = f"{self.shown_url}{path}"
        try:
            answer = await self.wire.send(method, url, data)
        except TooLate:
            raise self._too_late() from None
        except NoAnswer as error:
            raise self._no_answer(str(error), error.reached) from None
        if answer.status >= 300:
            raise Refused.of_body(answer.status, answer.headers, answer.text, url)
        return answer

    def _too_late(self) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"{self.name}: {self.shown_url} gave no answer within {self._timeout:g} s "
            f"(-o {self.name}.timeout=... allows more).",
            billed=True,
        )

    def _no_answer(self, words: str, reached: bool) -> ProviderUnavailable:
        what = "broke the connection off" if reached else "cannot be reached"
        return ProviderUnavailable(
            f"{self.name}: {self.shown_url} {what} ({redact(words)}). Is the server running, and "
            "the address right?",
            reached=reached,
            billed=reached,
        )

    async def _lowered(self, form: Form, refused: Refused) -> bool:
        """Whether a lower form than ``form`` may do, after this refusal."""
        if refused.status not in (400, 422, 500, 501):
            return False
        words = f"{refused.words} {refused.param}"  # OpenAI may name the part only there
        if self.agreement.refused(form, words):
            return True
        if refused.status >= 500 or ("model" in words.lower() and await self._unknown_model()):
            return False
        return self.agreement.refused(form, words, suspect=True)

    async def _refusal(self, refused: Refused) -> ProviderError:
        """The error for an HTTP status of 300 and above."""
        status, words = refused.status, refused.words
        if status < 400:
            return self._redirected(refused)
        about = f"{self.name}: {self.shown_url} answered {status}: {excerpt(words, 400)}."
        if status in (401, 403):
            return ProviderRejected(f"{about} Check the key in {self._key_variable}.")
        if status == 429 and "insufficient_quota" in refused.kinds:
            return ProviderRejected(f"{about} The account has no credit left.")
        if status == 429:
            return RateLimited(about, retry_after=retry_after(refused.headers))
        if status in (408, 409) or status >= 500:
            return ProviderUnavailable(about, retry_after=retry_after(refused.headers))
        if status == 404 or "model" in words.lower():
            unknown = await self._unknown_model()
            if unknown:
                return unknown
        if status == 404:
            return ProviderRejected(f"{about} Is the base URL right? Most end in /v1.")
        if "context" in words.lower() or "too long" in words.lower():
            about += f" Ask for less at once: -o {self.name}.pairs_per_request=256"
        return ProviderRejected(about)

    def _redirected(self, refused: Refused) -> ProviderRejected:
        """The error for a redirect, which names the new address and is not followed."""
        about = f"{self.name}: {self.shown_url} answered {refused.status}"
        try:
            target = urljoin(refused.url, refused.headers.get("location") or "")
            target = redact(strip_credentials(target)).partition("?")[0]
        except ValueError:
            target = ""
        if not target or target == refused.url:
            return ProviderRejected(f"{about}, and no answer. Is the base URL right?")
        base = target.removesuffix(refused.url.removeprefix(self.shown_url))
        own = f": -o {self.name}.base_url={base}" if base.isprintable() else "."
        return ProviderRejected(
            f"{about}: it sends the request on to {excerpt(target)}. Redirects are not followed, "
            "since your texts and key would go where you have not said. Only if you trust that "
            f"address, name it yourself{own}"
        )

    async def _unknown_model(self) -> ProviderRejected | None:
        """The error that names the server's models, if ours is not among them."""
        try:
            listed = json.loads((await self._send("GET", "/models")).body)
            names = sorted(str(model["id"]) for model in listed["data"])
        except (ProviderError, Refused, ValueError, KeyError, TypeError):
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


class _Redacted:
    """Shows a request or reply without secrets, and only if it is logged at all."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        value = self._value
        return redact(value.text if isinstance(value, HttpAnswer) else str(value))
