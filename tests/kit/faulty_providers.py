"""Providers with one fault each; those of scores that see what they must not."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Sequence
from typing import Any, ClassVar
from zlib import crc32

import numpy as np
from kit.planted import planted
from llmattn.identity import Identity
from llmattn.providers.protocol import Limits, Reply
from llmattn.rows import Row, Scope
from llmattn.testing.providers import check_provider

_numbers = itertools.count()


class Sound:
    """Scores a pair by a hash of both words; of a text, by a hash of it and the position."""

    scope = Scope.PAIR
    channels: tuple[str, ...] = ("one", "two")
    limits = Limits()

    def identity(self) -> Identity:
        return Identity("sound", 1, self.scope, self.channels)

    async def score(self, rows: Sequence[Row]) -> Any:
        return Reply([self.row(row, rows, number) for number, row in enumerate(rows)])

    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        return self.values(row)

    def values(self, row: Row, more: object = "") -> Any:
        seen = f"{row.query}{more}" if self.scope is Scope.PAIR else f"{row.keys}{more}"
        start = crc32(seen.encode())
        hashes = np.array([crc32(f"{i}{k}".encode(), start) for i, k in self.places(row)])
        return (np.stack([hashes, hashes ^ 0xFFFFFFFF]) / 0xFFFFFFFF).astype(np.float32)

    def places(self, row: Row) -> list[tuple[object, str]]:
        return [("" if self.scope is Scope.PAIR else i, key) for i, key in enumerate(row.keys)]

    async def aclose(self) -> None:
        pass


class Text(Sound):
    scope = Scope.PREFIX


def following(row: Row, rows: Sequence[Sequence[str]]) -> str:
    """The word after a row, where one of the texts shows it."""
    length = len(row.keys)
    return next((t[length] for t in rows if len(t) > length and t[:length] == row.keys), "")


class Ahead(Text):
    """Reads the word after a row, where the request shows it and ``reads`` says so."""

    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        later = following(row, [other.keys for other in rows])
        return self.values(row, later if self.reads(len(row.keys)) else "")

    def reads(self, length: int) -> bool:
        return True


@planted("a later token is read in rows that share a request", check_provider)
class AheadAlways(Ahead):
    pass


@planted("the same with nested_rows", check_provider)
class AheadNested(Ahead):
    limits = Limits(nested_rows=True)


@planted("a later token is read beyond the first 16", check_provider)
class AheadBeyond16(Ahead):
    def reads(self, length: int) -> bool:
        return length > 16


@planted("a later token is read at one length, 23", check_provider)
class AheadAt23(Ahead):
    def reads(self, length: int) -> bool:
        return length == 23


@planted("a later token is read at one length, 117, in small requests", check_provider)
class AheadAt117(Ahead):
    limits = Limits(pairs_per_request=256, rows_per_request=8)

    def reads(self, length: int) -> bool:
        return length == 117


@planted("a later token is read beyond 256", check_provider)
class AheadBeyond256(Ahead):
    def reads(self, length: int) -> bool:
        return length > 256


class Remembers(Text):
    """Reads the word after a row out of the texts that the instance has seen."""

    beyond = 0

    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []

    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        later = following(row, self.seen)
        self.seen.append(row.keys)
        return self.values(row, later if len(row.keys) > self.beyond else "")


@planted("a later token comes from the instance's memory", check_provider)
class RemembersAll(Remembers):
    pass


@planted("a later token comes from the instance's memory beyond 64", check_provider)
class RemembersBeyond64(Remembers):
    beyond = 64


@planted("a later token comes from the last text seen", check_provider)
class RemembersLast(Remembers):
    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        del self.seen[:-1]
        return super().row(row, rows, number)


@planted("a later token comes from the class's memory", check_provider)
class ClassRemembers(Remembers):
    known: ClassVar[list[tuple[str, ...]]] = []

    def __init__(self) -> None:
        self.seen = self.known


@planted("other texts of the request change a score", check_provider)
class Neighbours(Text):
    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        return self.values(row, max(other.query for other in rows))


@planted("the first word of the next window is read", check_provider)
class NextWindow(Text):
    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        return self.values(row, {r.keys[0] for r in rows if r.keys[0] != row.keys[0]})


@planted("the number of rows changes a pair's score", check_provider)
class Crowded(Sound):
    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        return self.values(row, len(rows) > 40)


@planted("the other keys of a row change a pair's score", check_provider)
class OtherKeys(Sound):
    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        return self.values(row, len(row.keys) > 30)


class Keeps(Text):
    """Keeps the scores of earlier texts under something that is less than the text."""

    def __init__(self) -> None:
        self.kept: dict[object, Any] = {}

    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        return self.kept.setdefault(self.place(row), self.values(row))

    def place(self, row: Row) -> object:
        raise NotImplementedError


@planted("an earlier text's state is reused: same length and last word", check_provider)
class KeptByLength(Keeps):
    def place(self, row: Row) -> object:
        return len(row.keys), row.query


@planted("an earlier text's state is reused: same when joined", check_provider)
class KeptByText(Keeps):
    def place(self, row: Row) -> object:
        return "".join(row.keys), len(row.keys)


@planted("an earlier text's state is reused: same beginning and length", check_provider)
class KeptByBeginning(Keeps):
    def place(self, row: Row) -> object:
        return row.keys[:3], len(row.keys)


@planted("an earlier text's state is reused: same end", check_provider)
class KeptByEnd(Keeps):
    def place(self, row: Row) -> object:
        return row.keys[-4:], len(row.keys)


@planted("an earlier text's state is reused: same in small letters", check_provider)
class KeptByLetters(Keeps):
    def place(self, row: Row) -> object:
        return tuple(key.lower() for key in row.keys)


@planted("requests under way together get each other's state", check_provider)
class Shared(Sound):
    async def score(self, rows: Sequence[Row]) -> Any:
        self.now = rows
        await asyncio.sleep(0)
        return Reply([self.values(row, "" if self.now is rows else "x") for row in rows])


@planted("scores of 1% of the rows differ from call to call", check_provider)
class OneInHundred(Sound):
    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        odd = random.random() < 0.01
        return self.values(row, next(_numbers) if odd else "")


@planted("scores of the same 1% of the rows differ from instance to instance", check_provider)
class OneKindInHundred(Sound):
    def __init__(self) -> None:
        self.number = next(_numbers)

    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        odd = crc32(row.query.encode()) % 100 == 0
        return self.values(row, self.number if odd else "")


@planted("a class counter changes scores", check_provider)
class Counter(Sound):
    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        return self.values(row, next(_numbers) // 500)


@planted("scores by hash()", check_provider)
class ByHash(Sound):
    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        return self.values(row, hash(row.query))


@planted("scores by the order of a set", check_provider)
class BySet(Text):
    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        return self.values(row, list({*row.keys, "a", "b", "c", "d", "e"}))


class Shaped(Sound):
    """Spoils an array, where ``spoils`` says so."""

    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        values = self.values(row)
        return self.spoil(values, row) if self.spoils(row, number) else values

    def spoils(self, row: Row, number: int) -> bool:
        return True

    def spoil(self, values: Any, row: Row) -> Any:
        raise NotImplementedError


@planted("NaN everywhere", check_provider)
class AllNaN(Shaped):
    def spoil(self, values: Any, row: Row) -> Any:
        return np.full_like(values, np.nan)


@planted("NaN in one channel", check_provider)
class ChannelNaN(Shaped):
    def spoil(self, values: Any, row: Row) -> Any:
        values[1] = np.nan
        return values


@planted("NaN in one channel of the last key", check_provider)
class KeyNaN(Shaped):
    def spoil(self, values: Any, row: Row) -> Any:
        values[0, -1] = np.nan
        return values


@planted("NaN beyond 40 keys", check_provider)
class LateNaN(Shaped):
    def spoil(self, values: Any, row: Row) -> Any:
        values[:, 40:] = np.nan
        return values


@planted("wrong shape beyond 64 keys", check_provider)
class ShapeBeyond64(Shaped):
    def spoil(self, values: Any, row: Row) -> Any:
        return values[:, :64]


@planted("wrong shape beyond 500 keys of a text", check_provider)
class ShapeBeyond500(Shaped):
    scope = Scope.PREFIX

    def spoil(self, values: Any, row: Row) -> Any:
        return values[:, :500]


@planted("channels and keys change places", check_provider)
class Transposed(Shaped):
    def spoil(self, values: Any, row: Row) -> Any:
        return values.T


@planted("outside [0, 1] for capitals", check_provider)
class Capitals(Shaped):
    def spoil(self, values: Any, row: Row) -> Any:
        return values + np.array([key.isupper() for key in row.keys], np.float32)


@planted("outside [0, 1] beyond 64 keys", check_provider)
class RangeBeyond64(Shaped):
    def spoil(self, values: Any, row: Row) -> Any:
        values[:, 64:] -= 1
        return values


@planted("infinite for words of other scripts", check_provider)
class Infinite(Shaped):
    def spoil(self, values: Any, row: Row) -> Any:
        values[:, [not key.isascii() for key in row.keys]] = np.inf
        return values


@planted("the 41st row of a request is another", check_provider)
class Row41(Shaped):
    def spoils(self, row: Row, number: int) -> bool:
        return number == 40

    def spoil(self, values: Any, row: Row) -> Any:
        return 1 - values


@planted("the 41st row of a request is missing", check_provider)
class Without41(Sound):
    async def score(self, rows: Sequence[Row]) -> Any:
        return Reply([self.values(row) for number, row in enumerate(rows) if number != 40])


@planted("the rows of a request come backwards", check_provider)
class Backwards(Sound):
    async def score(self, rows: Sequence[Row]) -> Any:
        return Reply([self.values(row) for row in sorted(rows, key=lambda r: r.query)])


@planted("one array is used for every reply", check_provider)
class OneBuffer(Sound):
    buffer = np.zeros((2, 4096), np.float32)

    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        values = self.buffer[:, : len(row.keys)]
        values[:] = self.values(row)
        return values


def _of_type(name: str, change: Any) -> None:
    def spoil(self: Any, values: Any, row: Row) -> Any:
        return change(values)

    planted(f"scores are {name}", check_provider)(type("Typed", (Shaped,), {"spoil": spoil}))


_of_type("complex", lambda values: values.astype(np.complex64))
_of_type("bool", lambda values: values > 0.5)
_of_type("float64", lambda values: values.astype(np.float64))
_of_type("float16", lambda values: values.astype(np.float16))
_of_type("whole numbers", lambda values: np.rint(values).astype(np.int64))
_of_type("lists", lambda values: values.tolist())
_of_type("None", lambda values: None)


@planted("a list in place of a Reply", check_provider)
class NoReply(Sound):
    async def score(self, rows: Sequence[Row]) -> Any:
        return [self.values(row) for row in rows]


@planted("an exception that is none of ours for an odd word", check_provider)
class Raises(Sound):
    def row(self, row: Row, rows: Sequence[Row], number: int) -> Any:
        row.query.encode("latin-1")
        return self.values(row)


@planted("sys.exit() in score", check_provider)
class Exits(Sound):
    async def score(self, rows: Sequence[Row]) -> Any:
        raise SystemExit(0)


def _soon(plugin: Any) -> None:
    check_provider(plugin, patience=1.0)


@planted("score never ends", _soon)
class ScoreForever(Sound):
    async def score(self, rows: Sequence[Row]) -> Any:
        await asyncio.Event().wait()


@planted("score holds the event loop and never ends", _soon)
class ScoreBlocks(Sound):
    async def score(self, rows: Sequence[Row]) -> Any:
        threading.Event().wait(60)


@planted("aclose never ends", _soon)
class CloseForever(Sound):
    async def aclose(self) -> None:
        await asyncio.Event().wait()
