"""Shares the asking with other processes on one cache: what one asks for, another waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from hashlib import blake2b
from itertools import chain, count
from typing import TypeVar

import anyio
import anyio.to_thread
import numpy as np
from attrs import define, field, frozen

from llmattn.cache.protocol import Claims, Numbers, ScoreCache, SharedCache, Taken
from llmattn.errors import CacheError
from llmattn.providers.protocol import AttentionProvider, LocalProvider
from llmattn.rows import Row, Scope, Scores
from llmattn.scoring.limiter import sleep
from llmattn.scoring.sizes import pairs_of
from llmattn.wording import counted

__all__ = ["Share", "Sharing"]

T = TypeVar("T")

_RENEW = 1.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds between looks at what others are asking for
_TELL_AFTER = 3.0  # seconds of waiting
_QUERY, _KEY = 0x9E3779B97F4A7C15, np.uint64(0xC2B2AE3D27D4EB4F)
"""Odd, so that no two words of one place give the same number."""


@frozen
class Share:
    """What became of a request that was to be sent.

    With a ``ticket`` it is ours, whole. Else it is in parts: pairs that the cache has by now,
    rows that nobody asks for, rows that others are asking for.
    """

    ticket: int | None = None
    known: int = 0
    free: tuple[Row, ...] = ()
    taken: tuple[Row, ...] = ()


_ALL_OURS = Share(ticket=-1)
"""Of a request that nobody else can be asking for."""


@define(eq=False)
class _Batch:
    requests: list[Sequence[Row]] = field(factory=list)
    shares: list[Share] = field(factory=list)
    error: Exception | None = None
    done: anyio.Event = field(factory=anyio.Event)


class Sharing:
    """One asker among those who share a cache. Lives on one event loop.

    Where the cache cannot be shared, or the provider costs nothing, every request is ours.
    """

    def __init__(
        self, provider: AttentionProvider, cache: ScoreCache, notify: Callable[[str], None]
    ) -> None:
        self._cache = cache
        self._identity = provider.identity()
        self._scope = provider.scope
        self._notify = notify
        local = isinstance(provider, LocalProvider) and provider.local
        self._shared = cache if isinstance(cache, SharedCache) and not local else None
        self._claims: Claims | None = None
        self._users = 0
        self._tickets = count()
        self._seed = self._identity.namespace.encode()
        self._words: dict[str, int] = {}
        self._released: deque[tuple[int, tuple[Row, ...]]] = deque()
        self._batch = _Batch()
        self._turn = anyio.Lock()
        self._told: set[tuple[str, ...]] = set()

    @asynccontextmanager
    async def taking_part(self) -> AsyncIterator[None]:
        """Hold claims meanwhile; those left at the end are given back."""
        if self._shared is None:
            yield
            return
        self._users += 1
        async with anyio.create_task_group() as group:
            try:
                await self._in_turn(self._open)
                group.start_soon(self._keep_alive)
                yield
            finally:
                self._users -= 1
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self._in_turn(self._close)

    async def take(self, request: Sequence[Row]) -> Share:
        """Claim ``request``, and look again whether it is still unknown. Raises CacheError."""
        if self._claims is None:
            return _ALL_OURS
        batch = self._batch
        place = len(batch.requests)
        batch.requests.append(request)
        if place == 0:
            # One call claims for all who have asked until it starts: none of them waits longer.
            async with self._turn:
                self._batch = _Batch()
                await self._take(batch)
        else:
            await batch.done.wait()
        if batch.error:
            raise batch.error
        return batch.shares[place]

    def done(self, share: Share, kept: Sequence[Row]) -> None:
        """Give a request back that was ours, but for the rows ``kept``, not stored as yet."""
        if share.ticket is not None and share is not _ALL_OURS:
            self._released.append((share.ticket, tuple(kept)))

    async def wait(
        self, rows: Sequence[Row], halted: anyio.Event, known: Callable[[int], None]
    ) -> Share:
        """Wait for rows that others are asking for, until some are free, or none is left.

        ``known`` is told how many pairs they have scored. Raises CacheError.
        """
        pause, since = _FIRST_PAUSE, anyio.current_time()
        left = Share(taken=tuple(rows))
        while left.taken and not left.free and not halted.is_set():
            await sleep(pause, halted)
            pause = min(1.5 * pause, _LONGEST_PAUSE)
            left, holders = await self._in_turn(partial(self._look, left.taken))
            if left.known:
                pause = _FIRST_PAUSE
                known(left.known)
            if anyio.current_time() - since > _TELL_AFTER:
                self._tell(left.taken, holders)
        return left

    def _tell(self, rows: Sequence[Row], holders: tuple[str, ...]) -> None:
        if holders and holders not in self._told:
            self._told.add(holders)
            verb = "is" if len(holders) == 1 else "are"
            self._notify(
                f"{self._identity.provider}: waiting for {counted(pairs_of(rows), 'pair')} that "
                f"{' and '.join(holders)} {verb} asking for."
            )

    async def _keep_alive(self) -> None:
        while True:
            await anyio.sleep(_RENEW)
            await self._in_turn(self._renew)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        async with self._turn:
            return await anyio.to_thread.run_sync(work)

    async def _take(self, batch: _Batch) -> None:
        try:
            with anyio.CancelScope(shield=True):
                batch.shares = await anyio.to_thread.run_sync(self._settle, batch.requests)
        except Exception as error:  # handed to everyone who waits for this batch
            batch.error = error
        finally:
            batch.done.set()

    # What follows runs in a thread, one call at a time.

    def _open(self) -> None:
        if self._claims is None and self._shared is not None:
            try:
                self._claims = self._shared.claims()
            except CacheError as error:
                self._alone(error)

    def _close(self) -> None:
        claims = self._claims
        if not self._users and claims is not None:
            self._claims = None
            self._released.clear()
            with suppress(CacheError):  # what cannot be given back expires
                claims.close()

    def _renew(self) -> None:
        if claims := self._claims:
            try:
                self._release(claims)
                claims.renew()
            except CacheError as error:
                self._alone(error)

    def _alone(self, error: CacheError) -> None:
        """Go on without the others: what both ask for is paid twice, and nothing is lost."""
        claims, self._claims, self._shared = self._claims, None, None
        if claims is not None:
            with suppress(CacheError):
                claims.close()
        self._notify(f"{error}; another process on this cache may ask for the same.")

    def _release(self, claims: Claims) -> None:
        while self._released:
            ticket, kept = self._released.popleft()
            claims.release(ticket, self._numbers(kept) if kept else None)

    def _settle(self, requests: Sequence[Sequence[Row]]) -> list[Share]:
        if (claims := self._claims) is None:
            return [_ALL_OURS] * len(requests)
        numbered = {next(self._tickets): self._numbers(request) for request in requests}
        try:
            self._release(claims)
            found = claims.claim(numbered)
        except CacheError as error:
            self._alone(error)
            return [_ALL_OURS] * len(requests)
        if not claims.beside:  # nobody else can have scored anything
            return [Share(ticket) for ticket in found]
        # After claiming: whoever had a claim before has stored what came of it by now.
        stored = self._cache.get(self._identity, list(chain.from_iterable(requests)))
        scores = iter(stored)
        shares = []
        for request, (ticket, taken) in zip(requests, found.items(), strict=True):
            share = self._part(request, [next(scores) for _ in request], taken)
            if not (share.known or share.taken):
                share = Share(ticket)
            elif not share.taken:
                claims.release(ticket)
            shares.append(share)
        return shares

    def _look(self, rows: Sequence[Row]) -> tuple[Share, tuple[str, ...]]:
        if (claims := self._claims) is None:
            return Share(free=tuple(rows)), ()
        try:
            self._release(claims)
            taken = claims.taken(self._numbers(rows))
        except CacheError as error:
            self._alone(error)
            return Share(free=tuple(rows)), ()
        share = self._part(rows, self._cache.get(self._identity, rows), taken)
        return share, tuple(sorted({*taken.holders}))

    def _part(self, rows: Sequence[Row], stored: Sequence[Scores], taken: Taken) -> Share:
        """``rows`` in parts: known, free, and asked for by others."""
        known = 0
        free: list[Row] = []
        others: list[Row] = []
        flags, at = taken.numbers, 0
        for row, scores in zip(rows, stored, strict=True):
            unknown = np.atleast_1d(np.isnan(scores).any(axis=0))
            if self._scope is Scope.PREFIX:  # asked, and claimed, whole
                held = np.full(len(row.keys), flags[at])
                unknown = np.full(len(row.keys), unknown.any())
                at += 1
            else:
                held = flags[at : at + len(row.keys)]
                at += len(row.keys)
            known += int((~unknown).sum())
            for part, mask in ((free, unknown & ~held), (others, unknown & held)):
                if mask.all():
                    part.append(row)
                elif mask.any():
                    part.append(Row(row.query, [row.keys[i] for i in np.flatnonzero(mask)]))
        return Share(None, known, tuple(free), tuple(others))

    def _numbers(self, rows: Sequence[Row]) -> Numbers:
        """A number for each pair of ``rows``, or each text, as every process makes it."""
        if self._scope is Scope.PREFIX:
            texts = ("\x1f".join(row.keys) for row in rows)
            return np.array([self._hash(text) for text in texts], np.uint64)
        parts = []
        for row in rows:
            keys = np.array([self._word(key) for key in row.keys], np.uint64)
            query = self._word(row.query) * _QUERY % 2**64
            parts.append(keys * _KEY ^ np.uint64(query))
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)

    def _word(self, word: str) -> int:
        number = self._words.get(word)
        if number is None:
            number = self._words[word] = self._hash(word)
        return number

    def _hash(self, text: str) -> int:
        data = text.encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(data, digest_size=8, key=self._seed).digest(), "little")
