"""Answers of servers that never give usable scores, by the names that docs/misbehaving.md has."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from llmattn.testing.api import Answer, scores_text

__all__ = ["CAUSES", "chat", "html", "message"]

Body = dict[str, Any]
_USAGE = {"prompt_tokens": 300, "completion_tokens": 40}


def chat(content: Any, finish: str = "stop", **message: Any) -> Answer:
    """A chat completion; ``message``: more of its message."""
    said = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return Answer(200, {"choices": [choice], "usage": _USAGE, "model": "test-model"})


def message(body: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON body as it is."""
    return Answer(status, body, {name.replace("_", "-"): text for name, text in headers.items()})


def html(text: str, kind: str = "text/html", status: int = 200) -> Answer:
    """A body that is no JSON."""
    return Answer(status, text.encode(), {"Content-Type": kind})


def _rows(body: Body) -> list[str]:
    rows: list[str] = json.loads(scores_text(body))["relevance"]
    return rows


_CALL = {"id": "1", "type": "function", "function": {"name": "rate", "arguments": "{}"}}
_NO_CREDIT = {"error": {"message": "You have run out", "type": "insufficient_quota"}}

CAUSES: dict[str, Callable[[Body], Answer]] = {
    "a web page": lambda body: html("<!doctype html><title>Welcome</title>"),
    "a stream": lambda body: html('data: {"choices": []}\n\ndata: [DONE]', "text/event-stream"),
    "no JSON": lambda body: html("upstream connect error", "text/plain"),
    "an empty body": lambda body: Answer(200, b""),
    "no choices": lambda body: message({"choices": [], "usage": _USAGE}),
    "an error in an answer": lambda body: message({"error": "Something broke"}),
    "an error in an answer, a wrong key": lambda body: message(
        {"error": {"message": "No such user", "code": "invalid_api_key"}}
    ),
    "an error in an answer, no credit": lambda body: message(_NO_CREDIT),
    "an error in an answer, 403": lambda body: message(
        {"error": {"message": "Not for you", "code": 403}}
    ),
    "a tool call": lambda body: chat(None, "tool_calls", tool_calls=[_CALL]),
    "a refusal": lambda body: chat(None, refusal="I cannot help with that."),
    "a content filter": lambda body: chat("", "content_filter"),
    "reasoning without an answer": lambda body: chat(
        "", "length", reasoning_content="The word cat stands near"
    ),
    "a reply cut short": lambda body: chat('{"relevance":["18', "length"),
    "an empty reply": lambda body: chat(""),
    "words": lambda body: chat("I would say they matter."),
    "JSON that ends in the middle": lambda body: chat('{"relevance":["18'),
    "another form": lambda body: chat('{"answer": 7, "note": "seven"}'),
    "another number of rows": lambda body: chat(json.dumps({"relevance": [*_rows(body), "1"]})),
    "words for scores": lambda body: chat(json.dumps({"relevance": ["high" for _ in _rows(body)]})),
    "a wrong key": lambda body: message({"error": {"message": "Who are you?"}}, 401),
    "a wrong key, told as 400": lambda body: message(
        {"error": {"message": "API key not valid. Please pass a valid API key."}}, 400
    ),
    "no permission": lambda body: message({"error": {"message": "Not for you"}}, 403),
    "no credit": lambda body: message(_NO_CREDIT, 429),
    "a wrong path": lambda body: message({"detail": "Not Found"}, 404),
    "a request that is refused": lambda body: message({"error": {"message": "Bad luck"}}, 400),
    "a context that is too small": lambda body: message(
        {"error": {"message": "This exceeds the context length of the model."}}, 400
    ),
    "a fault of the server": lambda body: message({"error": {"message": "Oh dear"}}, 500),
    "a wait that is too long": lambda body: message(
        {"error": {"message": "Slow down"}}, 429, Retry_After="7200"
    ),
}
"""What a server answers to everything, from the JSON of the request."""
