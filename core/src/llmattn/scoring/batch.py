"""Batches: many requests handed over at once, answered within a day, collected by a later call."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import numpy as np
from attrs import evolve, frozen

from llmattn.errors import (
    BadReply,
    ConfigError,
    DegenerateReplies,
    Forgotten,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
)
from llmattn.notices import notify
from llmattn.providers.protocol import BatchProvider, BatchStatus, Estimator, Reply
from llmattn.rows import Row, Scores
from llmattn.scoring.batch_files import Pending
from llmattn.scoring.planner import pack
from llmattn.scoring.quality import Trial
from llmattn.scoring.retry import patiently
from llmattn.scoring.sizes import pairs_of
from llmattn.scoring.sound import check_reply
from llmattn.scoring.source import ScoreSource
from llmattn.scoring.under_way import UnderWay
from llmattn.scoring.unknown import known_pairs
from llmattn.scoring.work import Work
from llmattn.usage import Usage
from llmattn.wording import counted

__all__ = ["BATCH_DISCOUNT", "Batches", "Collected", "Handed"]

T = TypeVar("T")

BATCH_DISCOUNT = 0.5
"""What a batched token costs beside an ordinary one."""
_LOST_FOR = 30 * 86400
"""Seconds after which a batch that the server has forgotten is not looked for any more: no
answers are kept for longer."""


@frozen
class Handed:
    """What came of handing over."""

    pending: Pending | None = None
    """The batch, or None if there was nothing to hand over, or nothing was allowed."""
    left: int = 0
    """Requests that are still to be handed over."""
    stopped: str | None = None
    """The limit that leaves them over, in words; None: they are more than a batch takes."""


@frozen
class Collected:
    """What came of one batch."""

    batch_id: str
    state: str
    scored: int = 0
    """Pairs kept."""
    failed: int = 0
    """Requests without a usable answer; they are asked again."""
    gone: int = 0
    """Those of them whose answers the server no longer has: what they cost is not known."""
    usage: Usage = Usage()
    trouble: str | None = None
    """What went wrong with the first of them."""


class Batches:
    """The batches of one source. What is under way is remembered in files beside its cache, so
    that any later process can collect it.

    One process hands over or collects at a time; another waits, and says for whom. Each method
    sees to that by itself; :meth:`alone` holds it for several of them.
    """

    def __init__(self, source: ScoreSource) -> None:
        if not isinstance(source.provider, BatchProvider) or source.batches is None:
            raise ConfigError(
                f"The provider {source.name!r} has no batches; score without --batch."
            )
        self._source = source
        self._provider: BatchProvider = source.provider
        self._files = source.batches

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others away from the batches meanwhile. Raises CacheError."""
        with self._files.alone():
            yield

    def pending(self) -> list[Pending]:
        """Batches handed over and not yet collected, oldest first. Raises CacheError."""
        return [pending for pending in self._files.all() if pending.under_way]

    def lost(self) -> list[Pending]:
        """Batches that the server did not know, oldest first: :meth:`status` looks for one
        again. They are dropped after 30 days.
        """
        lost = [pending for pending in self._files.all() if pending.lost]
        old = [p for p in lost if time.time() - p.submitted > _LOST_FOR]
        for pending in old:
            self._files.forget(pending)
        return [pending for pending in lost if pending not in old]

    def status(self, pending: Pending) -> BatchStatus:
        """How far it is. One that the server does not know is ``lost`` from now on, and its pairs
        are free; one that was lost and is there again is not.
        """
        try:
            found = self._call(lambda: self._provider.batch_status(pending.batch_id))
        except Forgotten as error:
            found = BatchStatus("lost", message=str(error))
        except ProviderRejected as error:
            raise ProviderRejected(
                f"{error} (Asked about batch {pending.batch_id}; to give that one up, remove "
                f"{self._files.path(pending)}.)"
            ) from None
        lost = found.state == "lost"
        if lost != pending.lost:
            with self.alone():
                if now := self._files.find(pending):
                    self._files.change(now, lost=lost)
        return found

    def recover(self) -> None:
        """See to hand-overs that broke off: a batch that had arrived is pending from now on, the
        others are forgotten, and their pairs are free. Each is told.

        Raises ProviderError where the server cannot be asked, naming the file to remove.
        """
        with self.alone():
            for begun in [p for p in self._files.all() if not p.batch_id]:
                batch_id = self._find(begun)
                number = counted(len(begun.requests), "request")
                if batch_id:
                    self._files.change(begun, batch_id=batch_id)
                    notify(f"A hand-over of {number} broke off, but had arrived: batch {batch_id}.")
                else:
                    self._files.forget(begun)
                    notify(f"A hand-over of {number} broke off, and nothing had arrived.")

    def _find(self, begun: Pending) -> str | None:
        try:
            return self._call(lambda: self._provider.find_batch(begun.mark))
        except (ProviderRejected, BadReply) as error:
            raise type(error)(
                f"{error} Whether a hand-over that broke off has arrived cannot be found out: look "
                f"in the provider's console for the mark {begun.mark}. If it is not there remove "
                f"{self._files.path(begun)}."
            ) from None

    def submit(self, stages: Sequence[Sequence[Row]]) -> Handed:
        """Hand over what the cache lacks of the rows and no pending batch holds, the first
        stage first, as far as limits and the size of a batch allow.

        One word pair is asked ahead, at full price: that finds out what the model takes, and a
        wrong key or model, before a whole batch is refused. Raises CacheError or ProviderError.
        """
        with self.alone():
            self.recover()
            requests = self._missing(stages)
            if not requests:
                return Handed()
            self._source.permission.ask(self._work(requests))
            tried = self._source.fill([_smallest(requests[0][0])])
            if tried.stopped:
                return Handed(left=len(requests), stopped=tried.stopped)
            requests = self._missing(stages)
            if not requests:
                return Handed()
            allowed = self._affordable(requests, tried.usage)
            taken = requests[: self._provider.fits_batch(requests[:allowed])]
            left = len(requests) - len(taken)
            stopped = None
            if allowed < len(requests):
                advice = self._source.budget.advice
                stopped = f"the others might pass --max-cost or --max-requests. {advice}".rstrip()
            if not taken:
                return Handed(left=left, stopped=stopped)
            return Handed(self._hand_over(taken), left, stopped)

    def collect(self, pending: Pending) -> Collected:
        """Keep the answers of a batch that has ended, and forget the batch.

        Raises DegenerateReplies, keeping nothing but the batch itself, if too many rows carry
        nothing.
        """
        with self.alone():
            state = self.status(pending).state
            now = self._files.find(pending)
            if now is None:
                return Collected(pending.batch_id, "was collected by another process")
            if state == "lost":
                return Collected(pending.batch_id, state, failed=len(pending.requests))
            return self._collect(now, state)

    def _collect(self, pending: Pending, state: str) -> Collected:
        answers = self._call(
            lambda: self._provider.collect_batch(pending.batch_id, pending.requests)
        )
        channels = len(self._source.identity.channels)
        for request, answer in zip(pending.requests, answers, strict=True):
            if not isinstance(answer, ProviderError):
                check_reply(self._source.name, channels, request, answer)
        rows: list[Row] = []
        scores: list[Scores] = []
        usage, failed = Usage(), 0
        trial = Trial(self._source.options.max_degenerate)
        for request, answer in zip(pending.requests, answers, strict=True):
            billed = answer.usage if isinstance(answer, Reply) else answer.usage or Usage()
            usage += evolve(billed, requests=1)
            if not isinstance(answer, Reply):
                failed += 1
                continue
            trial.judge(answer.scores)
            rows.extend(request)
            scores.extend(answer.scores)
        if trial.share > trial.most:
            raise DegenerateReplies(
                f"{trial.share:.0%} of the {trial.rows} rows in batch {pending.batch_id} carry "
                "nothing (all scores the same, or counting up). Nothing was kept; collect it "
                "all the same with --max-degenerate 1."
            )
        usage = evolve(usage, cost=self._cost(usage))
        self._keep(pending, rows, scores, usage)
        first = next((a for a in answers if isinstance(a, ProviderError)), None)
        nothing = state == "failed" and failed == len(pending.requests)
        if nothing and first and not isinstance(first, (BadReply, Forgotten)):
            raise first
        gone = sum(isinstance(answer, Forgotten) for answer in answers)
        trouble = str(first) if first else None
        kept = known_pairs(scores)
        return Collected(pending.batch_id, state, kept, failed, gone, usage, trouble)

    def _keep(
        self, pending: Pending, rows: Sequence[Row], scores: Sequence[Scores], usage: Usage
    ) -> None:
        """Put the answers into the cache, their usage once, and forget the batch.

        The batch is forgotten after the answers are safe, so a process may die in between: what
        was counted before is noted first, and tells the next one whether all is there already.
        """
        cache, identity = self._source.cache, self._source.identity
        counted = sum(
            info.usage.requests
            for info in cache.namespaces()
            if info.namespace == identity.namespace
        )
        kept = (
            pending.keeping is not None
            and counted - pending.keeping >= usage.requests
            and _holds(cache.get(identity, rows), scores)
        )
        if not kept:
            self._files.change(pending, keeping=counted)
            cache.put(identity, rows, scores, usage)
        self._files.forget(pending)

    def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await ``call()`` on the provider's event loop, patiently."""
        patient = partial(patiently, max_wait=self._source.options.max_wait)
        result: T = self._source.call(patient, call)
        return result

    def _missing(self, stages: Sequence[Sequence[Row]]) -> list[tuple[Row, ...]]:
        """Requests for what neither the cache nor a pending batch holds."""
        under_way = UnderWay(self._files)
        limits, scope = self._source.provider.limits, self._source.identity.scope
        requests: list[tuple[Row, ...]] = []
        texts: set[tuple[str, ...]] = set()
        for rows in stages:
            missing, _ = under_way.apart(self._source.missing(rows))
            missing = [row for row in missing if row.keys not in texts]
            texts.update(row.keys for row in missing if row.context)
            requests.extend(pack(missing, limits, scope))
        return requests

    def _hand_over(self, requests: Sequence[tuple[Row, ...]]) -> Pending:
        """Hand over what is noted first. Where an answer was lost the server is asked whether the
        batch has arrived, now or by a later process, before anything is sent again.
        """
        begun = self._files.begin(requests)
        unsure = False

        async def once() -> str:
            nonlocal unsure
            found = await self._provider.find_batch(begun.mark) if unsure else None
            try:
                return found or await self._provider.submit_batch(requests, begun.mark)
            except (BadReply, ProviderUnavailable) as error:
                unsure = unsure or getattr(error, "reached", True)
                raise

        try:
            batch_id = self._call(once)
        except ProviderError:
            if not unsure:
                self._files.forget(begun)
            raise
        return self._files.change(begun, batch_id=batch_id)

    def _cost(self, usage: Usage) -> float:
        price = self._source.price
        return BATCH_DISCOUNT * price.of(usage) if price else 0.0

    def _work(self, requests: Sequence[Sequence[Row]]) -> Work:
        """What ``requests`` are, at the price of a batch."""
        provider = self._source.provider
        expected = most = Usage(requests=len(requests))
        if isinstance(provider, Estimator):
            expected = sum((provider.expect(request) for request in requests), Usage())
            most = sum((provider.estimate(request) for request in requests), Usage())
        return Work(
            rows=sum(map(len, requests)),
            pairs=sum(map(pairs_of, requests)),
            expected=evolve(expected, cost=self._cost(expected)),
            most=evolve(most, cost=self._cost(most)),
        )

    def _affordable(self, requests: Sequence[Sequence[Row]], spent: Usage) -> int:
        """How many of ``requests`` surely stay below what may be spent and sent."""
        options, provider = self._source.budget, self._source.provider
        allowed = len(requests)
        if options.max_requests is not None:
            allowed = min(allowed, max(0, options.max_requests - spent.requests))
        if options.max_cost is not None and isinstance(provider, Estimator):
            cost = spent.cost
            for n, request in enumerate(requests[:allowed]):
                cost += self._cost(provider.estimate(request))
                if cost > options.max_cost:
                    return n
        return allowed


def _smallest(row: Row) -> Row:
    """A part of ``row`` that can be asked by itself."""
    return row if row.context else Row(row.query, row.keys[:1])


def _holds(stored: Sequence[Scores], scores: Sequence[Scores]) -> bool:
    """Whether everything known in ``scores`` is known in ``stored``."""
    return not any(
        np.isnan(there[:, ~np.isnan(answer).any(axis=0)]).any()
        for there, answer in zip(stored, scores, strict=True)
    )
