"""How much a server takes: what its refusals say of its context and of the longest reply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

__all__ = ["Room", "room_in"]

_LIMIT_NAMES = re.compile(
    r"max_(?:tokens|completion_tokens|output_tokens|new_tokens)"
    r"|(?:completion|output|generated) tokens"
)
_TOO_MUCH = re.compile(
    r"too (?:large|high|big|many)|at most|exceed|less than|<=|≤|greater than|larger than"
    r"|higher than|maximum|up to|range|above|between"
)
_CONTEXT = re.compile(
    r"context[ _-]?(?:length|size|window|limit)|context_length_exceeded|exceed_context_size"
    r"|prompt (?:is |was )?too (?:long|large)|input (?:is |was )?too (?:long|large)|n_ctx"
    r"|too many (?:input |prompt )?tokens|reduce (?:the length|your prompt|the prompt)"
    r"|input token count"
    r"|(?:request|payload|body|entity|string|message)s? (?:is |are )?too (?:long|large)"
    r"|maximum (?:number of )?(?:input|prompt|sequence|model) (?:tokens|length)"
)
_CONTEXT_IS = re.compile(
    r"(?:context[ _-]?(?:length|size|window|limit)|n_ctx|maximum|limit)\D{0,40}?(\d{2,9})"
)
_INPUT_IS = re.compile(
    r"(\d{1,9})\)? ?(?:input tokens|prompt tokens|tokens in the (?:messages|prompt)"
    r"|in the (?:messages|prompt))"
)
_NUMBER = re.compile(r"\d{2,9}")


@frozen
class Room:
    """What a refusal tells, in tokens; None where it gives no number.

    ``context``: the server's context; ``input``: what it counted in the messages;
    ``asked``: input and reply together; ``reply``: the longest reply that it allows.
    ``of_context``: whether it is the context that the request is too large for.
    """

    of_context: bool
    context: int | None = None
    input: int | None = None
    asked: int | None = None
    reply: int | None = None


def room_in(status: int, words: str, details: Mapping[str, Any], limit: int) -> Room | None:
    """What a refusal says of too much, or None if it is about something else.

    ``limit``: the tokens that were allowed for the reply.
    """
    words = re.sub(r"(?<=\d),(?=\d{3})", "", words[:4000].lower())
    numbers = [int(number) for number in _NUMBER.findall(words)]
    if status == 413 or _CONTEXT.search(words) or "n_ctx" in details:
        found = _CONTEXT_IS.search(words)
        context = _count(details.get("n_ctx")) or (int(found[1]) if found else None)
        given = _INPUT_IS.search(words)
        counted = _count(details.get("n_prompt_tokens")) or (int(given[1]) if given else None)
        larger = [n for n in numbers if context and n > context]
        return Room(True, context, counted, max(larger, default=None))
    if _LIMIT_NAMES.search(words) and _TOO_MUCH.search(words):
        smaller = [n for n in numbers if 16 <= n < limit]
        return Room(False, reply=max(smaller, default=None))
    return None


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
