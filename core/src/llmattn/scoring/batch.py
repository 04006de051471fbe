"""Batches: many requests handed over at once, answered within a day, collected by a later call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from attrs import evolve, frozen

from llmattn.errors import BadReply, ConfigError, DegenerateReplies, ProviderError
from llmattn.providers.protocol import BatchProvider, BatchStatus, Estimator, Reply
from llmattn.rows import Row, Scores
from llmattn.scoring.batch_files import BatchFolder, Pending
from llmattn.scoring.planner import merge_rows, pack
from llmattn.scoring.quality import Trial
from llmattn.scoring.retry import patiently
from llmattn.scoring.source import ScoreSource
from llmattn.scoring.unknown import known_pairs
from llmattn.usage import Usage

__all__ = ["BATCH_DISCOUNT", "Batches", "Collected", "Handed"]

T = TypeVar("T")

BATCH_DISCOUNT = 0.5
"""What a batched token costs beside an ordinary one."""


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
    usage: Usage = Usage()
    trouble: str | None = None
    """What went wrong with the first of them."""


class Batches:
    """The batches of one source. What is under way is remembered in files in ``folder``, so
    that any later process can collect it.
    """

    def __init__(self, source: ScoreSource, folder: Path) -> None:
        if not isinstance(source.provider, BatchProvider):
            raise ConfigError(
                f"The provider {source.name!r} has no batches; score without --batch."
            )
        self._source = source
        self._provider: BatchProvider = source.provider
        self._files = BatchFolder(folder / "batches" / source.identity.namespace)

    def pending(self) -> list[Pending]:
        """Batches handed over and not yet collected, oldest first. Raises CacheError."""
        return self._files.pending()

    def status(self, pending: Pending) -> BatchStatus:
        """How far it is."""
        return self._call(lambda: self._provider.batch_status(pending.batch_id))

    def submit(self, stages: Sequence[Sequence[Row]]) -> Handed:
        """Hand over what the cache lacks of the rows and no pending batch holds, the first
        stage first, as far as limits and the size of a batch allow.

        One word pair is asked ahead, at full price: that finds out what the model takes, and a
        wrong key or model, before a whole batch is refused. Two processes hand over one after
        the other. Raises CacheError or ProviderError.
        """
        with self._files.alone():
            requests = self._missing(stages)
            if not requests:
                return Handed()
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
                stopped = "the others might pass --max-cost or --max-requests."
            if not taken:
                return Handed(left=left, stopped=stopped)
            return Handed(self._hand_over(taken), left, stopped)

    def collect(self, pending: Pending) -> Collected:
        """Keep the answers of a batch that has ended, and forget the batch.

        Raises DegenerateReplies, keeping nothing but the batch itself, if too many rows carry
        nothing.
        """
        state = self.status(pending).state
        answers = self._call(
            lambda: self._provider.collect_batch(pending.batch_id, pending.requests)
        )
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
        self._source.cache.put(self._source.identity, rows, scores, usage)
        self._files.forget(pending)
        first = next((a for a in answers if isinstance(a, ProviderError)), None)
        nothing = state == "failed" and failed == len(pending.requests)
        if nothing and first and not isinstance(first, BadReply):
            raise first
        trouble = str(first) if first else None
        return Collected(pending.batch_id, state, known_pairs(scores), failed, usage, trouble)

    def _call(self, call: Callable[[], Awaitable[T]], *, repeatable: bool = True) -> T:
        """Await ``call()`` on the provider's event loop, patiently."""
        wait = self._source.options.max_wait
        patient = partial(patiently, repeatable=repeatable, max_wait=wait)
        result: T = self._source.call(patient, call)
        return result

    def _missing(self, stages: Sequence[Sequence[Row]]) -> list[tuple[Row, ...]]:
        """Requests for what neither the cache nor a pending batch holds."""
        under_way = {
            (row.query, row.context, key)
            for pending in self.pending()
            for request in pending.requests
            for row in request
            for key in row.keys
        }
        limits, scope = self._source.provider.limits, self._source.identity.scope
        requests: list[tuple[Row, ...]] = []
        texts: set[tuple[str, ...]] = set()
        for rows in stages:
            missing = _without(self._source.missing(rows), under_way)
            missing = [row for row in missing if row.keys not in texts]
            texts.update(row.keys for row in missing if row.context)
            requests.extend(pack(missing, limits, scope))
        return requests

    def _hand_over(self, requests: Sequence[tuple[Row, ...]]) -> Pending:
        self._files.begin(requests)
        try:
            # Not repeatable: where the answer was lost, the batch may be there.
            batch_id = self._call(lambda: self._provider.submit_batch(requests), repeatable=False)
        except ProviderError as error:
            if not getattr(error, "billed", False):
                self._files.give_up()
            raise
        return self._files.add(batch_id, requests)

    def _cost(self, usage: Usage) -> float:
        price = self._source.price
        return BATCH_DISCOUNT * price.of(usage) if price else 0.0

    def _affordable(self, requests: Sequence[Sequence[Row]], spent: Usage) -> int:
        """How many of ``requests`` surely stay below ``max_cost`` and ``max_requests``."""
        options, provider = self._source.options, self._source.provider
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


def _without(rows: Sequence[Row], pairs: set[tuple[str, tuple[str, ...], str]]) -> list[Row]:
    left = []
    for row in merge_rows(rows):
        keys = [key for key in row.keys if (row.query, row.context, key) not in pairs]
        if len(keys) == len(row.keys):
            left.append(row)
        elif keys and not row.context:
            left.append(Row(row.query, keys))
    return left
