"""The JSON objects and headers that the test server answers with, in OpenAI's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["chat_completion", "embeddings", "rate_headers", "response"]


def chat_completion(model: str, text: str, finish: str, usage: Mapping[str, int]) -> Any:
    """A chat completion, with ``usage`` in tokens: ``prompt`` and ``completion``."""
    refusal = text if finish == "refusal" else None
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop" if refusal else finish,
                "message": {
                    "role": "assistant",
                    "content": None if refusal else text,
                    "refusal": refusal,
                },
            }
        ],
        "usage": {
            "prompt_tokens": usage["prompt"],
            "completion_tokens": usage["completion"],
            "total_tokens": usage["prompt"] + usage["completion"],
        },
    }


def response(model: str, text: str, finish: str, usage: Mapping[str, int]) -> Any:
    """A response of the Responses API, with ``usage`` as above."""
    content: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    if finish == "refusal":
        content = {"type": "refusal", "refusal": text}
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish)
    return {
        "id": "resp_test",
        "object": "response",
        "created_at": 0,
        "model": model,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "error": None,
        "output": [
            {
                "id": "msg_test",
                "type": "message",
                "role": "assistant",
                "status": "incomplete" if reason else "completed",
                "content": [content],
            }
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": usage["prompt"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["prompt"] + usage["completion"],
        },
    }


def embeddings(model: str, vectors: list[Any], tokens: int) -> Any:
    """A list of word vectors, the last first: the order is told by their numbers."""
    data = [
        {"object": "embedding", "index": place, "embedding": vector}
        for place, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data[::-1], "model": model, "usage": usage}


def rate_headers(number: int) -> dict[str, str]:
    """The x-ratelimit-* headers after ``number`` requests."""
    return {
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": str(max(0, 10_000 - number)),
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-tokens": "150000",
        "x-ratelimit-reset-tokens": "1m30.5s",
    }
