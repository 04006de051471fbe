"""An HTTP status of 300 and above with the server's words, however it was received."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import openai

__all__ = ["Refused"]


class Refused(Exception):
    """A server's refusal; what it means is judged by the endpoint.

    ``param`` is the part of the request that it names, ``kinds`` the code and type that it
    gives; all of it may be empty. ``url``: what was asked.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str], body: object, text: str, url: str
    ) -> None:
        self.status = status
        self.url = url
        self.headers = headers
        details = _details(body)
        self.words = _words(details) or text or f"HTTP status {status}"
        self.param = str(details.get("param") or "")
        self.kinds = frozenset(str(details.get(name) or "") for name in ("code", "type"))
        super().__init__(f"{status}: {self.words}")

    @classmethod
    def of_body(cls, status: int, headers: Mapping[str, str], text: str, url: str) -> Refused:
        """From an answer as it came."""
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        return cls(status, headers, body, text, url)

    @classmethod
    def of_sdk(cls, error: openai.APIStatusError) -> Refused:
        """From the SDK's error."""
        answer = error.response
        return cls(error.status_code, answer.headers, error.body, answer.text, str(answer.url))


def _details(body: object) -> Mapping[str, Any]:
    """The object that holds the message: most servers put it under ``error``, some do not."""
    if not isinstance(body, dict):
        return {"message": body} if body else {}
    inner = body.get("error")
    if isinstance(inner, dict):
        return inner
    return body


def _words(details: Mapping[str, Any]) -> str:
    said = details.get("message") or details.get("detail") or details.get("error") or details
    return str(said or "")
