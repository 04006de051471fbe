"""Requests that an executor sends: as many as were permitted, however often one is put anew."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from attrs import evolve
from llmattn.cache.memory import MemoryCache
from llmattn.cache.settings import MemorySettings
from llmattn.errors import WorkerLost
from llmattn.executors.carrying import carry_out, let_go
from llmattn.executors.protocol import Work
from llmattn.plugins import load_plugins
from llmattn.scoring.elsewhere import asking_of
from llmattn.scoring.find_provider import build_provider
from llmattn.scoring.options import ScoringOptions
from llmattn.scoring.source import ScoreSource
from llmattn.settings import environment
from llmattn.testing import ScoreServer
from support_scoring import QUIET, assert_scored, some_rows


class Threads:
    """An executor in this process. ``deaths``: how many items are lost after they were done."""

    elsewhere = True
    places = 2

    def __init__(self, deaths: int = 0) -> None:
        self._threads = ThreadPoolExecutor(2)
        self.deaths = deaths

    def submit(self, work: Work, item: Any, *, again: bool = True) -> Future[Any]:
        return self._threads.submit(self._carry, pickle.dumps(work), item, again)

    def _carry(self, work: bytes, item: Any, again: bool) -> Any:
        done = carry_out(work, item)
        if self.deaths and not again:
            self.deaths -= 1
            raise WorkerLost("it has died")
        return done

    def close(self) -> None:
        self._threads.shutdown()
        let_go()


@contextmanager
def far_source(
    server: ScoreServer, executor: Threads, options: ScoringOptions = QUIET
) -> Iterator[ScoreSource]:
    registered = load_plugins().provider("custom")
    # On this machine it costs nothing, so a price is stated.
    priced = evolve(options, price_in=1.0, price_out=1.0, yes=True)
    said = {"base_url": server.url, "timeout": "30"}
    built = build_provider(registered, options=said, model="test-model", environ=environment())
    asking = asking_of(registered, said, "test-model", built.provider.identity())
    cache = MemoryCache(MemorySettings())
    source = ScoreSource(
        "custom", built.provider, cache, priced, asking=asking, executor=nullcontext(executor)
    )
    try:
        yield source
    finally:
        source.close()
        executor.close()


@pytest.mark.parametrize("refuse", [(), ("exact_schema",), ("exact_schema", "json_schema")])
def test_no_more_is_sent_than_the_caller_has_counted(refuse: tuple[str, ...]) -> None:
    rows = some_rows(4, 5)
    with ScoreServer(refuse=refuse) as server, far_source(server, Threads()) as source:
        report = source.fill(rows)
        assert_scored(source, rows)
        assert len(server.log.requests) <= report.usage.requests


@pytest.mark.parametrize("most", [1, 2])
def test_a_limit_holds_where_a_request_must_be_put_anew(most: int) -> None:
    options = evolve(QUIET, max_requests=most)
    with ScoreServer(refuse=("exact_schema",)) as server:
        with far_source(server, Threads(), options) as source:
            report = source.fill(some_rows(2, 3))
        assert report.stopped
        assert len(server.log.requests) == 1


def test_a_lost_request_counts_as_spent_and_is_asked_anew_as_far_as_is_permitted() -> None:
    rows = some_rows(1, 3)
    with ScoreServer() as server:
        with far_source(server, Threads(deaths=1), evolve(QUIET, max_requests=1)) as source:
            assert source.fill(rows).stopped
        assert len(server.log.requests) == 1
        with far_source(server, Threads(deaths=1)) as source:
            report = source.fill(rows)
            assert_scored(source, rows)
        assert report.usage.requests == 2
        assert len(server.log.requests) == 3
