"""Batches: many requests handed over at once, answered within a day, collected by a later call."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import evolve, frozen

from llmattn.errors import (
    BadReply,
    BudgetExceeded,
    CacheError,
    ConfigError,
    DegenerateReplies,
    ProviderError,
)
from llmattn.providers.prices import Price
from llmattn.providers.protocol import BatchProvider, BatchStatus, Estimator, Reply
from llmattn.rows import Row, Scores
from llmattn.scoring.planner import merge_rows, pack
from llmattn.scoring.quality import Trial
from llmattn.scoring.source import ScoreSource
from llmattn.usage import Usage

__all__ = ["BATCH_DISCOUNT", "Batches", "Collected", "Pending"]

BATCH_DISCOUNT = 0.5
"""What a batched token costs beside an ordinary one."""
MOST_REQUESTS = 50_000
INTENT = "submitting.json"
"""Stands in the folder while a batch is being handed over."""


@frozen
class Pending:
    """A batch that was handed over, as remembered on disk."""

    batch_id: str
    requests: tuple[tuple[Row, ...], ...]
    submitted: float
    """Seconds since the epoch."""
    path: Path


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
        self._folder = folder / "batches" / source.identity.namespace

    def pending(self) -> list[Pending]:
        """Batches handed over and not yet collected, oldest first. Raises CacheError."""
        found = [_read(path) for path in self._folder.glob("*.json") if path.name != INTENT]
        return sorted(found, key=lambda pending: pending.submitted)

    def status(self, pending: Pending) -> BatchStatus:
        """How far it is."""
        return self._source.call(self._provider.batch_status, pending.batch_id)

    def submit(self, rows: Sequence[Row]) -> Pending | None:
        """Hand over what the cache lacks of ``rows`` and no pending batch holds; None if nothing.

        Raises BudgetExceeded if it could cost more than ``max_cost`` allows.
        """
        under_way = {
            (row.query, row.context, key)
            for pending in self.pending()
            for request in pending.requests
            for row in request
            for key in row.keys
        }
        missing = _without(self._source.missing(rows), under_way)
        requests = pack(missing, self._source.provider.limits, self._source.identity.scope)
        if not requests:
            return None
        requests = self._affordable(requests[:MOST_REQUESTS])
        # The intent is on disk before money is owed: a crash in between is told, not lost.
        intent = self._folder / INTENT
        if intent.exists():
            raise CacheError(
                f"An earlier batch may have been handed over just before its process died: look "
                f"for it in the provider's console, then remove {intent}."
            )
        _write(intent, {"batch_id": "", "submitted": time.time(), "requests": _plain(requests)})
        try:
            batch_id = self._source.call(self._provider.submit_batch, requests)
        except ProviderError as error:
            if not getattr(error, "billed", False):  # else the batch may be there
                intent.unlink()
            raise
        path = self._folder / f"{batch_id}.json"
        now = time.time()
        _write(path, {"batch_id": batch_id, "submitted": now, "requests": _plain(requests)})
        intent.unlink()
        return Pending(batch_id, tuple(requests), now, path)

    def collect(self, pending: Pending) -> Collected:
        """Keep the answers of a batch that has ended, and forget the batch.

        Raises DegenerateReplies, keeping nothing but the batch itself, if too many rows carry
        nothing.
        """
        state = self.status(pending).state
        answers = self._source.call(
            self._provider.collect_batch, pending.batch_id, pending.requests
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
        pending.path.unlink()
        kept = sum(int((~np.isnan(row).any(axis=0)).sum()) for row in scores)
        if failed == len(pending.requests):
            first = next(a for a in answers if isinstance(a, ProviderError))
            if not isinstance(first, BadReply) and state == "failed":
                raise first
        return Collected(pending.batch_id, state, kept, failed, usage)

    def _cost(self, usage: Usage) -> float:
        price = self._source.price
        return BATCH_DISCOUNT * price.of(usage) if price else 0.0

    def _affordable(self, requests: list[tuple[Row, ...]]) -> list[tuple[Row, ...]]:
        """The first requests that surely stay below ``max_cost`` and ``max_requests``."""
        options, price = self._source.options, self._source.price
        if options.max_requests is not None:
            requests = requests[: options.max_requests]
        if options.max_cost is not None and price is not None:
            requests = _within(requests, self._source.provider, price, options.max_cost)
        if not requests:
            raise BudgetExceeded("Not even one request fits into --max-cost or --max-requests.")
        return requests


def _within(
    requests: list[tuple[Row, ...]], provider: object, price: Price, most: float
) -> list[tuple[Row, ...]]:
    spent = 0.0
    for n, request in enumerate(requests):
        if isinstance(provider, Estimator):
            spent += BATCH_DISCOUNT * price.of(provider.estimate(request))
        if spent > most:
            return requests[:n]
    return requests


def _without(rows: Sequence[Row], pairs: set[tuple[str, tuple[str, ...], str]]) -> list[Row]:
    left = []
    for row in merge_rows(rows):
        keys = [key for key in row.keys if (row.query, row.context, key) not in pairs]
        if len(keys) == len(row.keys):
            left.append(row)
        elif keys and not row.context:
            left.append(Row(row.query, keys))
    return left


def _plain(requests: Sequence[Sequence[Row]]) -> list[list[list[object]]]:
    return [
        [[row.query, list(row.keys), list(row.context)] for row in request] for request in requests
    ]


def _write(path: Path, data: object) -> None:
    """Write JSON so that the file is whole or not there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise CacheError(
            f"The batch cannot be remembered in {path.parent} ({error.strerror}): make it "
            "writable, or name another folder with --cache-dir."
        ) from None


def _read(path: Path) -> Pending:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        requests = tuple(
            tuple(Row(query, keys, context) for query, keys, context in request)
            for request in data["requests"]
        )
        return Pending(str(data["batch_id"]), requests, float(data["submitted"]), path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CacheError(
            f"{path} does not describe a batch ({error}); move it away to go on."
        ) from None
