"""Providers of a server with an API of its own, each wrong in what it makes of a fault."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import numpy as np
from kit.faulty_providers import Sound
from kit.planted import planted
from llmattn.errors import (
    BadReply,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
)
from llmattn.providers.protocol import Reply
from llmattn.rows import Row
from llmattn.testing.providers import check_faults
from llmattn.testing.shapes import RowShape

SHAPE = RowShape(
    "/v1/score",
    rows=lambda body: [(row["q"], row["keys"]) for row in body["rows"]],
    reply=lambda scores: {"scores": scores},
)
KEY = "sk-asker-key-4711"


class Asker(Sound):
    """Asks ``POST /v1/score``; sound."""

    channels = ("one",)
    path = "/score"

    def __init__(self, url: str) -> None:
        self.url = url

    async def score(self, rows: Sequence[Row]) -> Any:
        data = await asyncio.to_thread(self.ask, rows)
        return Reply(self.read(data, rows))

    def ask(self, rows: Sequence[Row]) -> bytes:
        body = {"rows": [{"q": row.query, "keys": row.keys} for row in rows]}
        request = urllib.request.Request(
            f"{self.url}{self.path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=0.5) as answer:
                data: bytes = answer.read()
                return data
        except urllib.error.HTTPError as error:
            with error:
                raise self.refused(error) from None
        except OSError as error:
            raise self.lost(error) from None

    def refused(self, error: urllib.error.HTTPError) -> Exception:
        if error.code == 429:
            wait = error.headers.get("Retry-After") or 0
            ms = error.headers.get("retry-after-ms")
            seconds = float(ms) / 1000 if ms else float(wait)
            return RateLimited("too many", retry_after=seconds or None)
        if error.code >= 500:
            return ProviderUnavailable(f"the server answered {error.code}")
        return ProviderRejected(f"the server answered {error.code}")

    def lost(self, error: OSError) -> Exception:
        return ProviderUnavailable(f"no answer: {error}")

    def read(self, data: bytes, rows: Sequence[Row]) -> list[Any]:
        try:
            scores = json.loads(data)["scores"]
        except (ValueError, KeyError, TypeError):
            raise BadReply("no JSON") from None
        if len(scores) != len(rows):
            raise BadReply("another number of rows")
        return [self.values_of(row, one) for row, one in zip(rows, scores, strict=True)]

    def values_of(self, row: Row, given: list[Any]) -> Any:
        numbers = [self.number(one) for one in given]
        if len(numbers) != len(row.keys) or None in numbers:
            return np.full((1, len(row.keys)), np.nan, np.float32)
        return np.array([numbers], np.float32)

    def number(self, given: Any) -> float | None:
        return given if isinstance(given, (int, float)) and 0 <= given <= 1 else None


def check(plugin: Any) -> None:
    check_faults(plugin, shape=SHAPE, secrets=[KEY], patience=5)


@planted("it never asks the server", check)
class NeverAsks(Asker):
    async def score(self, rows: Sequence[Row]) -> Any:
        return Reply([self.values(row)[:1] for row in rows])


@planted("it always raises", check)
class AlwaysRaises(Asker):
    async def score(self, rows: Sequence[Row]) -> Any:
        await super().score(rows)
        raise BadReply("no")


@planted("it asks, and gives zeros for every row", check)
class Zeros(Asker):
    def values_of(self, row: Row, given: list[Any]) -> Any:
        return np.zeros((1, len(row.keys)), np.float32)


@planted("it asks, and scores by itself", check)
class ByItself(Asker):
    def values_of(self, row: Row, given: list[Any]) -> Any:
        return self.values(row)[:1]


@planted("it asks another path", check)
class OtherPath(Asker):
    path = "/scores"


@planted("429 becomes BadReply", check)
class RateIsBad(Asker):
    def refused(self, error: urllib.error.HTTPError) -> Exception:
        return BadReply(f"the server answered {error.code}")


@planted("500 becomes ProviderRejected", check)
class FaultIsRefusal(Asker):
    def refused(self, error: urllib.error.HTTPError) -> Exception:
        told = super().refused(error)
        return ProviderRejected("no") if isinstance(told, ProviderUnavailable) else told


@planted("what Retry-After says is lost", check)
class NoRetryAfter(Asker):
    def refused(self, error: urllib.error.HTTPError) -> Exception:
        return RateLimited("too many") if error.code == 429 else super().refused(error)


@planted("a broken connection is an OSError", check)
class Unwrapped(Asker):
    def lost(self, error: OSError) -> Exception:
        return error


@planted("a bare ProviderError for everything", check)
class Bare(Asker):
    def refused(self, error: urllib.error.HTTPError) -> Exception:
        return ProviderError("something is wrong")


@planted("a reply that ends early is a ValueError", check)
class RawValueError(Asker):
    def read(self, data: bytes, rows: Sequence[Row]) -> list[Any]:
        scores = json.loads(data)["scores"]
        return [self.values_of(row, one) for row, one in zip(rows, scores, strict=True)]


@planted("a row that is too short is filled up", check)
class FillsUp(Asker):
    def values_of(self, row: Row, given: list[Any]) -> Any:
        return super().values_of(row, [*given, 0.0][: len(row.keys)])


@planted("what is outside [0, 1] is clipped", check)
class Clips(Asker):
    def number(self, given: Any) -> float | None:
        return min(max(float(given), 0.0), 1.0) if isinstance(given, (int, float)) else None


@planted("an unreadable score becomes 0.5", check)
class Half(Asker):
    def number(self, given: Any) -> float | None:
        return given if isinstance(given, (int, float)) and 0 <= given <= 1 else 0.5


@planted("a fault gives the scores of the last good reply", check)
class LastReply(Asker):
    async def score(self, rows: Sequence[Row]) -> Any:
        try:
            return await super().score(rows)
        except ProviderError:
            return Reply([np.full((1, len(row.keys)), 0.5, np.float32) for row in rows])


@planted("an error shows the key", check)
class ShowsKey(Asker):
    def refused(self, error: urllib.error.HTTPError) -> Exception:
        told = super().refused(error)
        return ProviderRejected(f"{KEY} is refused") if error.code == 401 else told
