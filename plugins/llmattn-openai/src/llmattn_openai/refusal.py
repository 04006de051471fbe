"""A server's refusal, however it was received: its words, and the HTTP status that they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import openai
from llmattn.plugin import from_json

__all__ = ["Refused", "error_in"]

_STATUSES = ("code", "status", "status_code", "statusCode", "http_status")
_MESSAGES = ("message", "msg", "detail", "title", "error", "errors")
# What types and codes are called by different servers, letters alone, the narrower first.
_KINDS = (
    (402, "insufficientquota|insufficient(balance|funds|credit)|billing|payment|outofcredit"),
    (401, "apikey|authenticat|authoriz|unauthor|invalidtoken|invalidcredential"),
    (403, "permission|forbidden|accessdenied|deactivated|suspended"),
    (404, "notfound|notexist|unknownmodel"),
    (429, "ratelimit|toomany|resourceexhausted|throttl|quotaexceeded"),
    (503, "overload|unavailable|loading|busy|capacity"),
    (504, "timeout|deadline"),
    (500, "servererror|internal|apierror"),
    (400, "invalid|badrequest|unsupported|contextlength|exceedcontext"),
)
_KEY = re.compile(
    r"(?:invalid|incorrect|wrong|bad|expired|revoked|missing|no|not a valid)"
    r"[\w\s'\"-]{0,20}(?:api[ _-]?key|credential|access token|bearer|auth\w* token)"
    r"|(?:api[ _-]?key|access token|bearer token|credentials?)[\w\s'\":*.\[\]-]{0,60}"
    r"(?:invalid|incorrect|not valid|expired|revoked|missing|required|wrong|not found)"
    r"|unauthori[sz]ed|unauthenticated|not (?:authenticated|authori[sz]ed)"
    r"|authentication (?:failed|required|error)"
)
_FILTERED = re.compile(
    r"content.?(?:filter|policy|management|moderation)|flagged|responsible.?ai|data.?inspection"
)
_WORDS = (
    (
        402,
        r"insufficient (?:quota|balance|funds|credit)|exceeded your current quota|no credit"
        r"|out of credit|payment required|billing",
    ),
    (429, r"rate.?limit|too many requests|quota exceeded|slow down"),
    (503, r"overloaded|unavailable|is loading|try again later|at capacity"),
    (404, r"model\b.{0,80}(?:not found|does not exist|unknown)|no such model|unknown model"),
    (400, r"context (?:length|size|window)|not supported|unsupported|too (?:long|large)"),
)


class Refused(Exception):
    """A server's refusal; what it means is judged by the endpoint.

    ``status``: as received, 200 for an error in place of an answer. ``meant``: the status that
    its words name, None for an error in an answer that names none. ``param`` is the part of the
    request that it names; it may be empty. ``url``: what was asked.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str], body: object, text: str, url: str
    ) -> None:
        self.status = status
        self.url = url
        self.headers = headers
        self.details = _details(body)
        self.words = _words(self.details) or text or f"HTTP status {status}"
        self.param = str(self.details.get("param") or "")
        self.meant = self._meant(body)
        super().__init__(f"{status}: {self.words}")

    @classmethod
    def of_body(cls, status: int, headers: Mapping[str, str], text: str, url: str) -> Refused:
        """From an answer as it came."""
        try:
            body = from_json(text)
        except ValueError:
            body = None
        return cls(status, headers, body, text, url)

    @classmethod
    def of_sdk(cls, error: openai.APIStatusError) -> Refused:
        """From the SDK's error."""
        answer = error.response
        return cls(error.status_code, answer.headers, error.body, answer.text, str(answer.url))

    @property
    def filtered(self) -> bool:
        """Whether it is this request's words that the server does not let through."""
        said = f"{self.details.get('code')} {self.details.get('type')} {self.words[:4000]}"
        return self.meant in (400, 403, 422) and bool(_FILTERED.search(said.lower()))

    def _meant(self, body: object) -> int | None:
        words = self.words[:4000].lower()
        by_kind = _by_kind(self.details)
        if self.status == 429:
            no_credit = by_kind == 402 or re.search(_WORDS[0][1], words)
            return 402 if no_credit else 429
        if self.status in (400, 422, 500):
            wrong_key = by_kind == 401 or (_KEY.search(words) and by_kind != 404)
            return 401 if wrong_key else self.status
        if self.status >= 300:
            return self.status
        named = _number(self.details) or _number(body) or by_kind
        if named:
            return named
        if _KEY.search(words):
            return 401
        unnamed = 500 if isinstance(body, dict) and body.get("status") == "failed" else None
        return next((status for status, said in _WORDS if re.search(said, words)), unnamed)


def error_in(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part of an answer that tells of an error in its place, or None."""
    choices = data.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        failed = choices[0].get("error")
        return {"error": failed} if failed and not _says_something(choices[0]) else None
    if choices or (data.get("output") and data.get("status") != "failed"):
        return None
    if data.get("error") or data.get("errors") or data.get("status") == "failed":
        return data
    told = any(isinstance(data.get(name), (str, list)) and data[name] for name in _MESSAGES)
    return data if told and "output" not in data and "choices" not in data else None


def _says_something(choice: Mapping[str, Any]) -> bool:
    message = choice.get("message")
    return isinstance(message, dict) and bool(message.get("content"))


def _details(body: object) -> Mapping[str, Any]:
    """The object that holds the message: most servers put it under ``error``, some do not."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return {"message": body} if body else {}
    for name in ("error", "errors"):
        inner = body.get(name)
        if isinstance(inner, list) and inner:
            inner = inner[0]
        if isinstance(inner, dict):
            return _details(inner)  # a gateway may wrap what it was told
    return body


def _words(details: Mapping[str, Any]) -> str:
    said = next((details[name] for name in _MESSAGES if details.get(name)), details)
    return str(said or "")


def _number(details: object) -> int | None:
    """The HTTP status that an error object gives as a number."""
    if isinstance(details, dict):
        for name in _STATUSES:
            value = details.get(name)
            if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
                value = int(value)
            if type(value) is int and 400 <= value < 600:
                return value
    return None


def _by_kind(details: Mapping[str, Any]) -> int | None:
    """The status that an error's code, type or status means by its name."""
    named = [details.get(name) for name in ("code", "type", "status", "reason")]
    for name in named:
        if isinstance(name, str):
            letters = re.sub("[^a-z]", "", name[:200].lower())
            for status, kinds in _KINDS:
                if re.search(kinds, letters):
                    return status
    return None
