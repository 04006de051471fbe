"""Asks a provider for what the cache lacks: no row twice, whoever asks for it at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import anyio
import anyio.to_thread

from llmattn.cache.protocol import ScoreCache
from llmattn.errors import LlmattnError
from llmattn.providers.protocol import AttentionProvider
from llmattn.rows import Row
from llmattn.scoring.budget import Budget
from llmattn.scoring.calls import Calls
from llmattn.scoring.fill import Fill
from llmattn.scoring.keeping import Keeper
from llmattn.scoring.limiter import AdaptiveLimiter
from llmattn.scoring.planner import merge_rows
from llmattn.scoring.quality import Trial
from llmattn.scoring.report import FillReport
from llmattn.scoring.sending import Sender
from llmattn.scoring.sharing import Sharing
from llmattn.scoring.unknown import missing_rows

__all__ = ["Scorer"]


class Scorer:
    """Fills a cache from one provider. Lives on one event loop.

    ``before_asking`` is called before each request, ``on_progress`` after each reply with the
    report so far. Killing the process loses at most the requests under way and a quarter as many
    answers: with more waiting to be committed, nothing is sent. Fewer than five requests at once
    each wait for their commit. ``max_wait``: seconds that the provider may ask for before the next
    request. ``calls``: sees to it that each ends.

    What ends a fill belongs to that fill; only what is spent, and what the provider has shown of
    itself, outlasts it.
    """

    def __init__(
        self,
        provider: AttentionProvider,
        cache: ScoreCache,
        *,
        budget: Budget,
        limiter: AdaptiveLimiter,
        trial: Trial | None = None,
        max_wait: float = 600.0,
        before_asking: Callable[[], None] = lambda: None,
        on_progress: Callable[[FillReport], None] = lambda report: None,
        notify: Callable[[str], None] = lambda message: None,
        calls: Calls | None = None,
    ) -> None:
        self.provider = provider
        self.cache = cache
        self._sender = Sender(
            provider,
            budget=budget,
            limiter=limiter,
            max_wait=max_wait,
            before_asking=before_asking,
            notify=notify,
            calls=calls,
        )
        self._keeper = Keeper(provider, cache, trial)
        self._sharing = Sharing(provider, cache, notify)
        self._on_progress = on_progress
        self._claimed: dict[tuple[str, tuple[str, ...]], anyio.Event] = {}
        self._running: set[Fill] = set()

    async def fill(self, rows: Iterable[Row], report: FillReport) -> None:
        """Ask for everything in ``rows`` that the cache lacks, and keep it.

        ``report``, a new one, grows meanwhile. Ends early, with ``report.stopped`` set, when the
        budget is used up or after :meth:`stop`. Raises what made going on useless
        (ProviderRejected, a provider that stays away, BadReply, CacheError); all answers until
        then are kept.
        """
        wanted = merge_rows(rows)
        report.rows = len(wanted)
        report.pairs = sum(len(row.keys) for row in wanted)
        if not self._running:
            self._keeper.begin()
        fill = Fill(self._sender, self._keeper, self._sharing, report, self._on_progress)
        self._running.add(fill)
        try:
            async with self._sharing.taking_part():
                try:
                    await self._ask(wanted, fill, report)
                except LlmattnError as error:
                    fill.halt(None, error)
        finally:
            self._running.discard(fill)
        report.stopped = fill.stopped
        report.trouble = fill.trouble if report.left and not (fill.stopped or fill.error) else None
        self._on_progress(report)
        if fill.error:
            raise fill.error

    def stop(self, reason: str, grace: float) -> int:
        """Send nothing more; answers under way are awaited for ``grace`` seconds at most, and this
        is how many there are.
        """
        under_way = self._sender.under_way
        for fill in self._running:
            fill.stop(reason, grace)
        return under_way

    async def _ask(self, wanted: list[Row], fill: Fill, report: FillReport) -> None:
        while wanted:
            mine, others = self._claim(wanted)
            try:
                missing = await anyio.to_thread.run_sync(
                    missing_rows, self.cache, self.provider, mine
                )
                asked = sum(len(row.keys) for row in missing)
                report.cached += sum(len(row.keys) for row in mine) - asked
                await fill.run(missing)
            finally:
                self._release(mine)
            for row in others:
                event = self._claimed.get((row.query, row.context))
                if event:
                    await event.wait()
            wanted = others

    def _claim(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """Rows for us to ask, and rows that another fill is asking now."""
        mine, others = [], []
        for row in rows:
            key = row.query, row.context
            if key in self._claimed:
                others.append(row)
            else:
                self._claimed[key] = anyio.Event()
                mine.append(row)
        return mine, others

    def _release(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._claimed.pop((row.query, row.context)).set()
