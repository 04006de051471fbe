"""How an API words a request for scores and its answer: OpenAI's two, and an author's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from llmattn.testing.faults import CONTENT_FAULTS, HTTP_FAULTS, LIST_FAULTS, spoil_lists
from llmattn.testing.objects import chat_completion, response

__all__ = ["OPENAI", "ChatShape", "RowShape", "message_texts"]

Asked = Sequence[tuple[str, Sequence[str]]]


@frozen
class ChatShape:
    """The API of a chat model, whose prompt and reply are those of ``ChatProvider``.

    ``texts``: the system and the user text in the JSON of a request. ``reply``: the JSON of an
    answer, from the model's name, the text, the finish reason (``stop``, ``length``,
    ``content_filter`` or ``refusal``) and the tokens, ``{"prompt": 9, "completion": 9}``.
    """

    path: str
    """From the host on, ``/v1/messages``; the provider is given ``http://127.0.0.1:PORT/v1``."""
    texts: Callable[[Mapping[str, Any]], tuple[str, str]]
    reply: Callable[[str, str, str, Mapping[str, int]], Any]
    faults: tuple[str, ...] = (*HTTP_FAULTS, *CONTENT_FAULTS)


@frozen
class RowShape:
    """Any other API: ``rows`` reads query and keys of each row in the JSON of a request, and
    ``reply`` makes the JSON of an answer of one list of scores, from 0 to 1, a row.
    """

    path: str
    rows: Callable[[Mapping[str, Any]], Asked]
    reply: Callable[[list[Any]], Any]
    faults: tuple[str, ...] = field(default=(*HTTP_FAULTS, *LIST_FAULTS, "truncated", "empty"))

    def answer(self, fault: str | None, scores: list[Any]) -> bytes:
        """The body of an answer, under a content fault."""
        data = json.dumps(self.reply(spoil_lists(fault, scores))).encode()
        if fault == "empty":
            return b""
        return data[: len(data) // 2] if fault == "truncated" else data


def message_texts(body: Mapping[str, Any], *, fold: bool = True) -> tuple[str, str]:
    """The system and the user text of either of OpenAI's APIs; ``fold``: also where both are one
    message.
    """
    if "messages" in body:
        messages = body["messages"]
    else:
        given = body.get("input", "")
        messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
        messages = [{"role": "system", "content": body.get("instructions") or ""}, *messages]
    texts = {"system": "", "user": ""}
    for message in messages:
        role = "user" if message["role"] == "user" else "system"
        texts[role] += message["content"]
    if fold and not texts["system"]:
        texts["system"], _, texts["user"] = texts["user"].rpartition("\n\n")
    return texts["system"], texts["user"]


OPENAI = {
    shape.path: shape
    for shape in (
        ChatShape("/v1/chat/completions", message_texts, chat_completion),
        ChatShape("/v1/responses", message_texts, response),
    )
}
"""The shapes that the server has by itself, by path."""
