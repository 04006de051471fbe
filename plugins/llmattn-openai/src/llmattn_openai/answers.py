"""What came over the wire as a JSON object, or as the error that it amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from llmattn.plugin import BadReply, Cause, RateHint, bad_reply, excerpt, from_json

from llmattn_openai.rate import rate_hint
from llmattn_openai.refusal import Refused, error_in
from llmattn_openai.wire import HttpAnswer

__all__ = ["Answered", "read_answer", "too_deep"]


@frozen
class Answered:
    """The JSON object that a server answered, what its headers say about its limits, and how
    many requests it took until it answered.
    """

    data: Mapping[str, Any]
    rate: RateHint | None
    requests: int = 1


def read_answer(name: str, answer: HttpAnswer, requests: int) -> Answered:
    """The object in an answer that says success. Raises BadReply, or Refused for an object that
    tells of an error.
    """
    try:
        data = from_json(answer.body, finite=False)
    except ValueError:
        data = None
    if isinstance(data, list) and len(data) == 1:
        data = data[0]  # some wrap an error, or all they say, in a list
    if not isinstance(data, dict):
        raise _no_object(name, answer)
    if wrong := error_in(data):
        raise Refused(answer.status, answer.headers, wrong, answer.text, "")
    return Answered(data, rate_hint(answer.headers), requests)


def too_deep(name: str) -> BadReply:
    """The error for JSON that is nested deeper than can be read."""
    return bad_reply(
        name, Cause.NO_REPLY, detail="The server's JSON is nested too deeply to be read"
    )


def _no_object(name: str, answer: HttpAnswer) -> BadReply:
    cause = _cause(answer)
    if cause is Cause.EMPTY_BODY:
        return bad_reply(name, cause)
    kind = answer.headers.get("content-type", "no content type")
    detail = f"{cause.sentence} ({excerpt(kind, 60)[1:-1]}): {excerpt(answer.text[:1000])}"
    return bad_reply(name, cause, detail=detail)


def _cause(answer: HttpAnswer) -> Cause:
    """Why a body is no JSON object."""
    kind = answer.headers.get("content-type", "").lower()
    start = answer.body[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return Cause.EMPTY_BODY
    stream = "event-stream" in kind or "ndjson" in kind or "jsonl" in kind
    if stream or start.startswith((b"data:", b"event:", b"id:", b"retry:", b":")):
        return Cause.STREAM
    if "html" in kind or start.startswith((b"<!doctype", b"<!--", b"<html", b"<head", b"<body")):
        return Cause.WEB_PAGE
    return Cause.NOT_JSON
