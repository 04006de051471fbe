"""OpenAI's Batch API: a file of requests goes up, files of answers come down within a day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from llmattn.errors import BadReply, ProviderError, ProviderUnavailable
from llmattn.providers.protocol import BatchStatus
from llmattn.providers.reply import excerpt
from llmattn.untrusted import from_json
from openai import AsyncOpenAI
from openai._legacy_response import HttpxBinaryResponseContent

from llmattn_openai.endpoint import Endpoint

__all__ = ["MOST_BYTES", "MOST_REQUESTS", "collect", "fits", "line", "status", "submit"]

PATH: Final = "/v1/responses"
MOST_REQUESTS = 50_000
"""Requests that OpenAI takes in one batch."""
MOST_BYTES = 200_000_000
"""Size of the file that OpenAI takes for one batch."""

_STATES = {
    "completed": "done",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
}


def line(number: int, user: str, body: Mapping[str, Any]) -> bytes:
    """One request of a batch's file: its place in the batch, its user text, its body."""
    request = {"custom_id": _id(number, user), "method": "POST", "url": PATH, "body": body}
    return json.dumps(request).encode() + b"\n"


def fits(lines: Iterable[bytes]) -> int:
    """How many of ``lines``, from the first, one batch takes."""
    size = 0
    number = 0
    for number, text in enumerate(lines, 1):
        size += len(text)
        if number > MOST_REQUESTS or size > MOST_BYTES:
            return number - 1
    return number


async def submit(endpoint: Endpoint, lines: Iterable[bytes]) -> str:
    """Upload a file of ``lines``, and start the batch; gives its id."""
    data = b"".join(lines)
    file = await endpoint.call(
        lambda client: client.files.create(file=("llmattn.jsonl", data), purpose="batch"),
        size=len(data),
    )
    batch = await endpoint.call(
        lambda client: client.batches.create(
            input_file_id=file.id,
            endpoint=PATH,
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
            entry = from_json(line)
            asked, response = str(entry["custom_id"]), entry.get("response")
            done = bool(response) and response["status_code"] == 200
            body = response["body"] if response else entry.get("error")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue  # the request then counts as missing
        if done and isinstance(body, dict):
            yield asked, body
        else:
            yield asked, BadReply(f"{name}: the batch could not answer: {excerpt(str(body))}.")
