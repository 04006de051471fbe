"""One OpenAI-compatible server: the client, its life, and its failures as errors of llmattn."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio
import httpx2
import openai
from llmattn.plugin import (
    BadReply,
    BudgetExceeded,
    Cause,
    ConfigError,
    Prompt,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    Secret,
    bad_reply,
    excerpt,
    from_json,
    one_more,
    redact,
)

from llmattn_openai.address import Address
from llmattn_openai.answers import Answered, read_answer
from llmattn_openai.form import Agreement, Form
from llmattn_openai.meaning import MODEL_OPTION, Meaning
from llmattn_openai.refusal import Refused, error_in
from llmattn_openai.room import room_in
from llmattn_openai.wire import Garbled, HttpAnswer, NoAnswer, TooLate, Wire, innermost

__all__ = ["Endpoint"]

log = logging.getLogger(__name__)
T = TypeVar("T")

_SLOWEST_UPLOAD = 250_000  # bytes a second
_MOST_FRUITLESS = 5
"""Answers of no use from a server that has not given a useful one; then no other form is tried."""
_BUSY = (429, 502, 503, 504, 529)  # the same request may do later


class Endpoint:
    """A server's base URL with its key.

    ``name``: the provider's, for messages; ``key_variable``: the environment variable that
    holds the key; ``form``: what is tried first; ``model_option``: how another model is named. The
    client is made on the event loop that
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
        model_option: str = MODEL_OPTION,
    ) -> None:
        if api_key and not re.fullmatch(r"[!-~]+", api_key.reveal()):
            raise ConfigError(
                f"{name}: the key in {key_variable} has white space or letters in it that no key "
                "has; copy it anew."
            )
        self.name = name
        self.model = model
        self.agreement = Agreement(form)
        self._address = Address(base_url)
        self.shown_url = self._address.shown
        self._api_key = api_key
        self._meaning = Meaning(name, self.shown_url, key_variable, model_option)
        self._timeout = timeout
        self._headers = {**headers, **self._address.basic_auth()}
        self._client: openai.AsyncOpenAI | None = None
        self._wire: Wire | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._useful = False
        self._fruitless = 0
        self._models: list[str] | None = None

    @property
    def client(self) -> openai.AsyncOpenAI:
        """The SDK's client of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            self._client = openai.AsyncOpenAI(
                # Without a key the SDK would take OPENAI_API_KEY and send it to any server.
                api_key=self._api_key.reveal() if self._api_key else "none",
                base_url=self._address.base,
                default_query=self._address.query,
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

    async def ask(
        self, path: str, prompt: Prompt, build: Callable[[Form], Mapping[str, Any]]
    ) -> Answered:
        """POST what ``build`` makes of the form that the server takes; raises ProviderError."""
        return await self.agree(path, prompt, lambda form: self._post(path, build(form)))

    async def agree(
        self, path: str, prompt: Prompt, send: Callable[[Form], Awaitable[HttpAnswer]]
    ) -> Answered:
        """What ``send`` brings back, once it sends the form that the server takes; raises
        ProviderError. ``send`` raises that or Refused.

        A refusal that concerns the form is answered with a lower one, at once; how many requests
        that took is told. Of a server that has not been of any use at most five are sent until
        :meth:`useful` is called or the caller asks on, knowing of them.
        """
        if self._fruitless >= _MOST_FRUITLESS:
            self._fruitless = 0
        sent, unlisted = 0, self._models is None
        try:
            while True:
                form = self.agreement.form
                if sent:
                    one_more()
                try:
                    sent += 1
                    answer = await send(form)
                    self._fruitless += 1
                    answered = read_answer(self.name, answer, sent)
                except Refused as refused:
                    if form == self.agreement.form:  # no other request has found out meanwhile
                        self._fruitless += refused.meant not in _BUSY and refused.status >= 400
                        if not await self._lowered(form, refused, prompt):
                            raise await self._refusal(refused, path) from None
                else:
                    self.agreement.accepted()
                    return answered
        except ProviderError as error:
            error.requests = sent + (unlisted and self._models is not None)
            raise

    async def post(self, path: str, body: Mapping[str, Any]) -> Answered:
        """POST what has one form alone. Raises ProviderError; TooLarge where a part may do."""
        unlisted = self._models is None
        try:
            try:
                return read_answer(self.name, await self._post(path, body), 1)
            except Refused as refused:
                words = f"{refused.words[:4000]} {refused.param}"
                if refused.meant in (400, 413, 422, 500) and room_in(
                    refused.meant, words, refused.details, 0
                ):
                    raise self._meaning.too_large(refused) from None
                raise await self._refusal(refused, path) from None
        except ProviderError as error:
            error.requests = 1 + (unlisted and self._models is not None)
            raise

    def read(self, data: Mapping[str, Any]) -> Answered:
        """An answer that came by another way, such as in a batch. Raises ProviderError."""
        if wrong := error_in(data):
            raise self._meaning.error(Refused(200, {}, wrong, str(wrong), ""), "")
        return Answered(data, None)

    def useful(self) -> None:
        """The server's reply held scores: it takes the present form."""
        self._useful = True
        self.agreement.keep()

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
            raise await self._refusal(Refused.of_sdk(error), "") from None
        except openai.OpenAIError as error:
            raise BadReply(f"{self.name}: {excerpt(str(error))}") from None

    async def reach(self) -> str:
        """GET /models, which costs nothing; see ``Reachable``."""
        try:
            names = await self._listed()
        except Refused as refused:
            if refused.status in (404, 405, 501):
                return f"{self.shown_url} answers, and does not tell its models"
            raise await self._refusal(refused, "") from None
        except (ValueError, LookupError, TypeError):
            raise bad_reply(self.name, Cause.NOT_JSON) from None
        if unknown := self._meaning.unknown_model(self.model, names):
            raise unknown
        has = f"has the model {self.model}" if names else "does not tell its models"
        return f"{self.shown_url} answers, and {has}"

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.aclose()
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.close()

    async def _post(self, path: str, body: Mapping[str, Any]) -> HttpAnswer:
        """Raises ProviderUnavailable, or Refused for the caller to judge."""
        log.debug("%s: POST %s%s %s", self.name, self.shown_url, path, _Redacted(body))
        answer = await self._send("POST", path, json.dumps(body, ensure_ascii=False))
        log.debug("%s: %d %s", self.name, answer.status, _Redacted(answer))
        return answer

    async def _send(self, method: str, path: str, body: str | None = None) -> HttpAnswer:
        """Raises ProviderUnavailable, BadReply, or Refused."""
        data = None if body is None else body.encode("utf-8", "surrogatepass")
        return await self.send(method, self._address.of(path), data)

    async def send(
        self,
        method: str,
        url: str,
        data: bytes | None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """One request, and the answer that says success. Raises ProviderUnavailable, BadReply, or
        Refused.
        """
        try:
            answer = await self.wire.send(method, url, data, headers)
        except TooLate:
            raise self._too_late() from None
        except Garbled as error:
            detail = f"The server's answer cannot be read ({excerpt(str(error))[1:-1]})"
            raise bad_reply(self.name, Cause.NOT_JSON, detail=detail) from None
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
            f"{self.name}: {self.shown_url} {what} ({excerpt(words)[1:-1]}). Is the server "
            "running, and the address right?",
            reached=reached,
            billed=reached,
        )

    async def _lowered(self, form: Form, refused: Refused, prompt: Prompt) -> bool:
        """Whether a lower form than ``form`` may do, after this refusal. Raises TooLarge."""
        status = refused.meant
        if (
            refused.filtered
            or status not in (400, 413, 422, 429, 500, 501)
            or not (self._useful or self._has_tries)
        ):
            return False
        words = f"{refused.words[:4000]} {refused.param}"  # OpenAI may name the part only there
        too_large = status != 429 or "request too large" in words.lower()
        if too_large and (room := room_in(status, words, refused.details, form.limit(prompt))):
            return self._meaning.shortened(self.agreement, form, prompt, refused, room)
        if status == 429:
            return False
        if self.agreement.refused(form, words):
            return True
        if status >= 500 or ("model" in words.lower() and await self._unknown_model()):
            return False
        return self.agreement.refused(form, words, suspect=True)

    @property
    def _has_tries(self) -> bool:
        return self._fruitless < _MOST_FRUITLESS

    async def _refusal(self, refused: Refused, path: str) -> ProviderError:
        """The error for an HTTP status of 300 and above, or for an error in an answer's place."""
        if 300 <= refused.status < 400:
            return self._meaning.redirected(refused, self._address.base)
        named = refused.meant == 404 or "model" in refused.words[:4000].lower()
        if named and refused.meant in (400, 404, 422):
            missing = self._meaning.route_missing(refused, path)
            if not missing and (unknown := await self._unknown_model()):
                return unknown
        return self._meaning.error(refused, path)

    async def _unknown_model(self) -> ProviderRejected | None:
        """The error that names the server's models, if ours is not among them."""
        if self._models is None:
            self._models = []  # asked once: another answer would not come
            if self._useful or self._has_tries:
                self._fruitless += 1
                try:
                    one_more()
                    self._models = await self._listed()
                except (ProviderError, BudgetExceeded, Refused, ValueError, LookupError, TypeError):
                    return None
        return self._meaning.unknown_model(self.model, self._models)

    async def _listed(self) -> list[str]:
        """The server's models. Raises ProviderError, Refused, or what other JSON raises."""
        listed = from_json((await self._send("GET", "/models")).body)
        return sorted(model["id"] for model in listed["data"] if isinstance(model["id"], str))


class _Redacted:
    """Shows a request or reply without secrets, and only if it is logged at all."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        value = self._value
        return redact(value.text if isinstance(value, HttpAnswer) else str(value))
