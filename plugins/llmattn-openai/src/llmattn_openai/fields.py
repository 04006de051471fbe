"""Fields of answers that servers fill in more ways than one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmattn.plugin import Usage

__all__ = ["model_named", "texts_of", "tokens_billed"]

_MOST_TOKENS = 1e8  # no request of ours is billed more; a larger number is none


def tokens_billed(data: Mapping[str, Any], prompt: str, completion: str, requests: int) -> Usage:
    """What the answer's ``usage`` bills under these two names.

    Without tokens, so that the estimate is taken, unless both are numbers that can be meant.
    """
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return Usage(requests)
    counts = []
    for count in (usage.get(prompt), usage.get(completion)):
        if isinstance(count, bool) or not isinstance(count, (int, float)):
            return Usage(requests)
        if not 0 <= count <= _MOST_TOKENS:  # NaN is not, either
            return Usage(requests)
        counts.append(int(count))
    return Usage(requests, *counts)


def model_named(data: Mapping[str, Any]) -> str | None:
    """The name that the server says it used."""
    model = data.get("model")
    return model[:200] if isinstance(model, str) else None


def texts_of(content: object) -> tuple[str, str]:
    """``(text, thoughts)`` of a message's content: a string, a list of strings or of parts, an
    object that should have been JSON text, or nothing.
    """
    if isinstance(content, str):
        return content, ""
    if isinstance(content, dict):
        return (_part(content) or json.dumps(content)), ""
    if not isinstance(content, list):
        return ("" if content is None else json.dumps(content)), ""
    text: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, dict):
            kind = str(part.get("type"))
            thought = "think" in kind or "reason" in kind
            (thoughts if thought else text).append(_part(part))
    return "".join(text), "".join(thoughts)


def _part(part: Mapping[str, Any]) -> str:
    """The text of one part, under any of the names that it goes by."""
    for name in ("text", "content", "thinking", "value", "summary"):
        value = part.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, dict):
            return _part(value)
        if isinstance(value, list):
            return "".join(texts_of(value))
    return ""
