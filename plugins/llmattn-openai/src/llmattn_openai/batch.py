"""OpenAI's Batch API: a file of requests goes up, files of answers come down within a day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import openai
from llmattn.plugin import (
    BadReply,
    BatchStatus,
    Forgotten,
    ProviderError,
    ProviderUnavailable,
    excerpt,
    from_json,
)
from openai import AsyncOpenAI, Omit, omit
from openai.pagination import AsyncCursorPage
from openai.types import Batch, FileObject

from llmattn_openai.endpoint import Endpoint

__all__ = ["MOST_BYTES", "MOST_REQUESTS", "collect", "find", "fits", "line", "status", "submit"]

PATH: Final = "/v1/responses"
MOST_REQUESTS = 50_000
"""Requests that OpenAI takes in one batch."""
MOST_BYTES = 200_000_000
"""Size of the file that OpenAI takes for one batch."""

L = TypeVar("L", Batch, FileObject)

_MARK: Final = "llmattn"
_PURPOSE: Final = "batch"
_MOST_PAGES = 10_000
_LONGEST_ID = 500
_GONE = (404, 410)
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


async def submit(endpoint: Endpoint, lines: Iterable[bytes], mark: str) -> str:
    """Upload a file of ``lines``, and start the batch; gives its id. ``mark`` is part of the
    file's name and in the batch's metadata, for :func:`find`.
    """
    data = b"".join(lines)
    file = await endpoint.call(
        lambda client: client.files.create(file=(_file_name(mark), data), purpose=_PURPOSE),
        size=len(data),
    )
    batch = await endpoint.call(
        lambda client: client.batches.create(
            input_file_id=file.id,
            endpoint=PATH,
            completion_window="24h",
            metadata={_MARK: mark},
        )
    )
    return _text(endpoint, batch.id)


async def find(endpoint: Endpoint, mark: str) -> str | None:
    """The id of the batch that was started under ``mark``, or None if there is none.

    None can come later, either: the file that it would be made of is deleted, and the list read
    again, since a request to start it may have been on its way.
    """
    found = await _marked(endpoint, mark)
    if found is None and await _delete_files(endpoint, mark):
        found = await _marked(endpoint, mark)
    return found


async def status(endpoint: Endpoint, batch_id: str) -> BatchStatus:
    """How far the batch is."""
    batch = await _retrieve(endpoint, batch_id)
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
    batch = await _retrieve(endpoint, batch_id)
    found: dict[str, Mapping[str, Any] | ProviderError] = {}
    missing: ProviderError = ProviderUnavailable(
        f"{endpoint.name}: the batch {excerpt(batch_id)} ({batch.status}) has no answer for this "
        "request; ask again."
    )
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id:
            text = await endpoint.call(partial(_download, file_id))
            if text is None:
                missing = Forgotten(
                    f"{endpoint.name}: the server no longer has {excerpt(file_id)}, a file of the "
                    f"batch {excerpt(batch_id)}."
                )
            else:
                found.update(_answers(endpoint.name, text))
    return [found.get(_id(i, user), missing) for i, user in enumerate(users)]


async def _retrieve(endpoint: Endpoint, batch_id: str) -> Batch:
    """Raises Forgotten if the server does not know this batch, and knows of batches."""

    async def use(client: AsyncOpenAI) -> Batch | None:
        try:
            return await client.batches.retrieve(batch_id)
        except openai.APIStatusError as error:
            if error.status_code not in _GONE:
                raise
            # A wrong address answers the same; there, however, nothing is listed either.
            await client.batches.list(limit=1)
            return None

    batch = await endpoint.call(use) if _in_path(batch_id) else None
    if batch is None:
        raise Forgotten(
            f"{endpoint.name}: {endpoint.shown_url} has no batch {excerpt(batch_id)} (any more)."
        )
    return batch


async def _download(file_id: str, client: AsyncOpenAI) -> str | None:
    """What a file holds; None if the server no longer has it."""
    if not _in_path(file_id):
        return None
    try:
        return (await client.files.content(file_id)).text
    except openai.APIStatusError as error:
        if error.status_code not in _GONE:
            raise
        return None


async def _marked(endpoint: Endpoint, mark: str) -> str | None:
    async for batch in _listed(
        endpoint, lambda client, after: client.batches.list(limit=100, after=after)
    ):
        if (batch.metadata or {}).get(_MARK) == mark:
            return _text(endpoint, batch.id)
    return None


async def _delete_files(endpoint: Endpoint, mark: str) -> bool:
    """Delete the files that were uploaded under ``mark``; whether there was any."""
    name = _file_name(mark)
    ids = [
        file.id
        async for file in _listed(
            endpoint, lambda client, after: client.files.list(purpose=_PURPOSE, after=after)
        )
        if file.filename == name and _in_path(file.id)
    ]
    for file_id in ids:
        await endpoint.call(partial(_delete, file_id))
    return bool(ids)


async def _delete(file_id: str, client: AsyncOpenAI) -> None:
    with suppress(openai.NotFoundError):
        await client.files.delete(file_id)


async def _listed(
    endpoint: Endpoint, page: Callable[[AsyncOpenAI, str | Omit], Awaitable[AsyncCursorPage[L]]]
) -> AsyncIterator[L]:
    """Everything of a list that comes in pages."""
    after: str | Omit = omit
    for _ in range(_MOST_PAGES):
        got = await endpoint.call(partial(_turn, page, after))
        for item in got.data:
            yield item
        last = got.data[-1].id if got.data and got.has_more is not False else None
        if not last or last == after:
            return
        after = last
    raise BadReply(f"{endpoint.name}: {endpoint.shown_url} lists batches or files without an end.")


async def _turn(
    page: Callable[[AsyncOpenAI, str | Omit], Awaitable[AsyncCursorPage[L]]],
    after: str | Omit,
    client: AsyncOpenAI,
) -> AsyncCursorPage[L]:
    return await page(client, after)


def _file_name(mark: str) -> str:
    return f"llmattn-{mark}.jsonl"


def _text(endpoint: Endpoint, batch_id: object) -> str:
    """A batch's id, as the server gives it. Raises BadReply for one that no URL can hold."""
    if not isinstance(batch_id, str) or not _in_path(batch_id):
        raise BadReply(f"{endpoint.name}: the server gave no id for the batch.")
    return batch_id


def _in_path(name: str) -> bool:
    """Whether a server's word can be a part of a URL's path. The SDK encodes it there."""
    return bool(name.strip(".")) and name.isprintable() and len(name) <= _LONGEST_ID


def _id(number: int, user: str) -> str:
    """A request's id: its place, and a hash by which another set of requests is found out."""
    return f"{number}-{hashlib.sha256(user.encode()).hexdigest()[:16]}"


def _answers(name: str, text: str) -> Iterator[tuple[str, Mapping[str, Any] | ProviderError]]:
    for line in text.split("\n"):  # splitlines would also cut where a word holds U+2028
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
