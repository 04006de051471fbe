"""OpenAI's Batch API: a file of requests goes up, files of answers come down within a day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from llmattn.errors import BadReply, ProviderError, ProviderRejected, ProviderUnavailable
from llmattn.providers.protocol import BatchStatus
from llmattn.providers.reply import excerpt
from openai import AsyncOpenAI
from openai._legacy_response import HttpxBinaryResponseContent

from llmattn_openai.endpoint import Endpoint

__all__ = ["LARGEST_BATCH", "collect", "status", "submit"]

LARGEST_BATCH = 50_000
"""Requests that OpenAI takes in one batch."""

_STATES = {
    "completed": "done",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
}


async def submit(endpoint: Endpoint, path: str, bodies: Sequence[Mapping[str, Any]]) -> str:
    """Upload one request to ``path`` a body, and start the batch; gives its id."""
    if len(bodies) > LARGEST_BATCH:
        raise ProviderRejected(
            f"{endpoint.name}: a batch takes {LARGEST_BATCH:,} requests, not {len(bodies):,}; "
            "submit them in parts."
        )
    lines = [
        {"custom_id": _id(i, body["input"][-1]["content"]), "method": "POST", "url": path}
        | {"body": body}
        for i, body in enumerate(bodies)
    ]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = await endpoint.call(
        lambda client: client.files.create(file=("llmattn.jsonl", data), purpose="batch")
    )
    batch = await endpoint.call(
        lambda client: client.batches.create(
            input_file_id=file.id,
            endpoint=path,  # type: ignore[arg-type]  # the SDK lists the routes it knew
            completion_window="24h",
        )
    )
    return batch.id


async def status(endpoint: Endpoint, batch_id: str) -> BatchStatus:
    """How far the batch is."""
    batch = await endpoint.call(lambda client: client.batches.retrieve(batch_id))
    counts = batch.request_counts
    errors = batch.errors.data if batch.errors and batch.errors.data else []
    return BatchStatus(
        state=_STATES.get(batch.status, "running"),  # type: ignore[arg-type]  # see _STATES
        completed=counts.completed if counts else 0,
        total=counts.total if counts else 0,
        message="; ".join(excerpt(error.message or "") for error in errors),
    )


async def collect(
    endpoint: Endpoint, batch_id: str, users: Sequence[str]
) -> list[Mapping[str, Any] | ProviderError]:
    """The response object, or what went wrong, for each request by its user text."""
    batch = await endpoint.call(lambda client: client.batches.retrieve(batch_id))
    found: dict[str, Mapping[str, Any] | ProviderError] = {}
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id:
            content = await endpoint.call(_download(file_id))
            found.update(_answers(endpoint.name, content.text))
    missing = ProviderUnavailable(
        f"{endpoint.name}: the batch {batch_id} ({batch.status}) has no answer for this request; "
        "ask again."
    )
    return [found.get(_id(i, user), missing) for i, user in enumerate(users)]


def _download(file_id: str) -> Callable[[AsyncOpenAI], Awaitable[HttpxBinaryResponseContent]]:
    return lambda client: client.files.content(file_id)


def _id(number: int, user: str) -> str:
    """A request's id: its place, and a hash by which another set of requests is found out."""
    return f"{number}-{hashlib.sha256(user.encode()).hexdigest()[:16]}"


def _answers(name: str, text: str) -> Iterator[tuple[str, Mapping[str, Any] | ProviderError]]:
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            asked, response = str(entry["custom_id"]), entry.get("response")
            done = bool(response) and response["status_code"] == 200
            body = response["body"] if response else entry.get("error")
        except (ValueError, KeyError, TypeError):
            continue  # the request then counts as missing
        if done and isinstance(body, dict):
            yield asked, body
        else:
            yield asked, BadReply(f"{name}: the batch could not answer: {excerpt(str(body))}.")
