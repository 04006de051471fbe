"""A provider together with its cache: what training, sampling and the commands score through."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from llmattn.cache.memory import MemoryCache
from llmattn.cache.protocol import ScoreCache
from llmattn.cache.read_only import is_read_only
from llmattn.cache.settings import MemorySettings
from llmattn.errors import BadReply, BudgetExceeded, ConfigError, LlmattnError
from llmattn.executors.protocol import Executor
from llmattn.notices import notify, notify_once, warn
from llmattn.providers.prices import Price, price_of
from llmattn.providers.protocol import (
    AttentionProvider,
    BatchProvider,
    Estimator,
    LocalProvider,
    NamedServer,
    OwnServer,
)
from llmattn.registry import Registered
from llmattn.rows import Row, Scores
from llmattn.scoring.batch_files import BatchFolder
from llmattn.scoring.budget import Budget
from llmattn.scoring.calls import Calls, close_provider, give_back
from llmattn.scoring.elsewhere import Asking, Elsewhere
from llmattn.scoring.limiter import AdaptiveLimiter
from llmattn.scoring.options import ScoringOptions
from llmattn.scoring.permission import Permission
from llmattn.scoring.planner import merge_rows
from llmattn.scoring.progress import describe, following
from llmattn.scoring.quality import Trial
from llmattn.scoring.read_only import check_nothing_lacks, not_stored
from llmattn.scoring.report import FillReport
from llmattn.scoring.same_server import SameServer
from llmattn.scoring.scorer import Scorer
from llmattn.scoring.sound import checked_identity
from llmattn.scoring.stopping import finish
from llmattn.scoring.stored import stored_scores
from llmattn.scoring.under_way import UnderWay, handed_over
from llmattn.scoring.unknown import missing_rows
from llmattn.scoring.work import Work, work_of
from llmattn.settings import environment
from llmattn.signals import leave_at_once
from llmattn.usage import Usage
from llmattn.wording import counted

__all__ = ["NOT_ASKED", "ScoreSource"]

T = TypeVar("T")

NOT_ASKED = "nobody was asked; --ask (train --resume: --provider NAME) has"
"""Beginning of what is said of scores that are lacking and may not be asked for."""


class ScoreSource:
    """One provider with its cache. A context manager; may be used from several threads.

    ``addresses``: those that the provider asks and that are not its own defaults, each with where
    it comes from; they are told before the first request.
    The provider lives on one event loop of its own for as long as the source is open, so its
    connections are reused by every call. ``batches``: the folder in which batches of all
    namespaces are remembered; what one of them will answer is not asked for meanwhile.
    ``registered``: what states the prices of the provider's models; None: nobody does.
    ``asking``: how ``executor``, which is opened and closed here, has the requests sent.
    """

    def __init__(
        self,
        name: str,
        provider: AttentionProvider,
        cache: ScoreCache,
        options: ScoringOptions = ScoringOptions(),
        addresses: Sequence[tuple[str, str]] = (),
        batches: Path | None = None,
        registered: Registered | None = None,
        asking: Asking | None = None,
        executor: AbstractContextManager[Executor] | None = None,
    ) -> None:
        self.name = name
        self._registered = registered
        self._addresses = tuple(addresses)
        self.provider = provider
        self.cache = cache
        self.options = options
        self.identity = checked_identity(name, provider)
        self.local = isinstance(provider, LocalProvider) and provider.local
        self.absent_score = provider.absent_score if isinstance(provider, LocalProvider) else None
        self.unit: str = getattr(provider, "unit", "pair")
        self.price = self._find_price()
        most = options.requests_at_once or provider.limits.requests_at_once
        self.budget = self._make_budget()
        self.permission = self._make_permission()
        self._resources = ExitStack()
        elsewhere: Elsewhere | None = None
        if asking is not None and executor is not None:
            opened = self._resources.enter_context(executor)
            elsewhere = Elsewhere(opened, asking, pays=not self.permission.free)
            if self.local and options.requests_at_once is None:
                most *= max(1, opened.places)  # each process has a model of its own
        score = elsewhere.score if elsewhere else None
        self._calls = Calls(name, provider, options.provider_timeout, score)
        self._limiter = AdaptiveLimiter(most, rpm=options.rpm, tpm=options.tpm)
        stand_in = provider.stand_in if isinstance(provider, NamedServer) else None
        self._same_server: SameServer | None = None
        if stand_in and batches is not None:
            servers = batches.parent / "servers"
            self._same_server = SameServer(servers, name, self.identity, stand_in)
        self.batches: BatchFolder | None = None
        if batches is not None and isinstance(provider, BatchProvider):
            self.batches = BatchFolder(batches / self.identity.namespace)
        self._under_way = UnderWay(self.batches) if self.batches else None
        self._told: set[str] = set()
        self._closed = False
        self._starting = threading.Lock()
        self._portal_manager: Any = None
        self._portal: BlockingPortal | None = None
        self._scorer: Scorer | None = None
        self._follow: Callable[[FillReport], None] | None = None
        self._showing = False
        self._beside = FillReport()
        self._given_up = False
        self._untold = FillReport()
        self.spent = Usage()
        """By every run of scoring since it was opened."""

    def missing(self, rows: Sequence[Row]) -> list[Row]:
        """What the cache lacks of ``rows``; asks nothing."""
        return missing_rows(self.cache, self.provider, rows)

    def work(self, rows: Sequence[Row]) -> Work:
        """How much ``rows`` are, and what the cache lacks of them; asks nothing."""
        return work_of(
            self.provider, self.cache, rows, self.unbatched if self.options.ask else list
        )

    def unbatched(self, missing: Sequence[Row]) -> list[Row]:
        """Of rows that the cache lacks, what no batch under way will answer, unless the options
        say to ask all the same. Such a batch is told, once.
        """
        if self.options.ask_batched or not self._under_way:
            return list(missing)
        free, holders = self._under_way.apart(missing)
        for pending in holders:
            if pending.mark not in self._told and self.options.max_requests != 0:
                self._told.add(pending.mark)
                notify(
                    f"{self.name}: {counted(pending.pairs, 'pair')} are with "
                    f"{handed_over(pending)}; they are not asked, and paid, a second time. "
                    "`llmattn score --batch` collects its answers; --ask-batched asks for them "
                    "all the same."
                )
        return free

    def fill(
        self, rows: Sequence[Row], beside: FillReport | None = None, *, planned: int = 0
    ) -> FillReport:
        """Ask for what the cache lacks, in the order of ``rows``, and keep it; or only tell what
        it lacks, if the options say not to ask.

        ``beside``: the rest of a larger run (``llmattn.scoring.stages``), which is shown with
        this part of it, of so many ``planned`` requests, and may be asked already. Else
        ``permission`` is asked. Raises BudgetExceeded at a limit that the user has not set
        for this run; ProviderError, PluginError or CacheError when going on is useless. Ctrl-C:
        answers under way are awaited and kept, a summary is printed, and KeyboardInterrupt is
        raised; a second one does not wait.
        """
        if not self.options.ask:
            return self.unasked(self.work(rows))
        rows, batched = self._without_batched(rows)
        if batched.batched and not rows:
            return batched
        if is_read_only(self.cache):
            report = self.unasked(self.work(rows))
            check_nothing_lacks(self.name, self.cache, report)
            return report + batched
        if beside is None and not self.permission.free:
            self.permission.ask(self.work(rows))
        before = (self._untold if beside is None else beside) + batched
        portal, scorer = self._start()
        if self._same_server and self.missing(rows):
            self._same_server.check(self.cache, self._ask_again)
            self._same_server = None
        report = FillReport(requests_planned=planned)
        with self.showing(beside):
            work = portal.start_task_soon(scorer.fill, rows, report)
            try:
                self._finish(work, scorer.stop, lambda: self._tell_end(before + report))
            except LlmattnError:
                self._tell_end(before + report)
                raise
        if report.stopped and not self.permission.is_users:
            self._tell_end(before + report)
            raise BudgetExceeded(f"{self.name}: {report.stopped}")
        self._untold += report
        self.spent += report.usage
        return report + batched

    def _ask_again(self, rows: Sequence[Row]) -> list[Scores]:
        """What the provider says now of rows that the cache may have; only the cost is kept."""
        portal, _ = self._start()
        once, report = MemoryCache(MemorySettings()), FillReport()
        scorer = portal.call(self._new_scorer, once, False)
        self._finish(portal.start_task_soon(scorer.fill, rows, report), scorer.stop)
        self.cache.put(self.identity, [], [], report.usage)
        return once.get(self.identity, rows)

    def _without_batched(self, rows: Sequence[Row]) -> tuple[Sequence[Row], FillReport]:
        """What is to be asked, where batches under way will answer some of ``rows``, and a report
        of the others.
        """
        if self.options.ask_batched or not self._under_way:
            return rows, FillReport()
        wanted = merge_rows(rows)
        missing = self.missing(wanted)
        free = self.unbatched(missing)
        pairs, lacking, left = (sum(len(row.keys) for row in r) for r in (wanted, missing, free))
        if left == lacking:
            return rows, FillReport()
        return free, FillReport(
            rows=len(wanted) - len(free),
            pairs=pairs - left,
            cached=pairs - lacking,
            batched=lacking - left,
        )

    @contextmanager
    def showing(self, beside: FillReport | None = None) -> Iterator[None]:
        """Show what is asked meanwhile: all fills inside of it as one. ``beside``: the rest of the
        run, which stays as it is.
        """
        self._beside = beside or FillReport()
        if self._showing:
            yield
            return
        priced = self.price is not None and not self.local
        self._showing = True
        try:
            with following(self.name, quiet=self.options.quiet, priced=priced) as self._follow:
                yield
        finally:
            self._showing, self._follow = False, None

    def _finish(
        self,
        work: Future[T],
        stop: Callable[[str, float], int],
        tell: Callable[[], None] = lambda: None,
    ) -> T:
        """What ``work`` comes to. Raises KeyboardInterrupt, after ``tell()``, if one came."""
        assert self._portal
        try:
            return finish(
                work,
                self._portal,
                stop,
                patience=self.provider.limits.timeout,
                overdue=self._calls.overdue,
            )
        except KeyboardInterrupt:
            tell()
            if not work.done():
                leave_at_once()
            raise

    def unasked(self, work: Work) -> FillReport:
        """What a fill of ``work`` comes to if the options say not to ask."""
        report = FillReport(rows=work.rows, pairs=work.pairs, cached=work.cached)
        if work.lacking:
            report.stopped = f"{NOT_ASKED} {self.name} score them, which may cost money."
        return report

    def _tell_end(self, whole: FillReport) -> None:
        """Say what a run that was broken off has done, if it has asked for anything."""
        if whole.usage.requests:
            notify(self.summary(whole))
            notify("What was answered and kept is not lost; the same command goes on from here.")

    def stored(self, rows: Sequence[Row]) -> list[Scores]:
        """What the cache has, ``(C, len(row.keys))`` a row, NaN where unknown; asks nothing."""
        return stored_scores(self.cache, self.provider, rows)

    def scores(self, rows: Sequence[Row]) -> list[Scores]:
        """Fill, then read: ``(C, len(row.keys))`` a row, NaN where still unknown."""
        if self.missing(rows):
            self.fill(rows)
        return self.stored(rows)

    def scores_given(self, rows: Sequence[Row]) -> list[Scores]:
        """As :meth:`scores`, but what comes back unusable stays unknown. A provider that has
        never given usable scores is named once, and asked no more.
        """
        if not self._given_up:
            if not self.permission.free and self.missing(rows):
                self.permission.ask(None)
            try:
                return self.scores(rows)
            except BadReply as error:
                self._given_up = True
                warn(f"{error} Going on without what it would say.")
        return self.stored(rows)

    def call(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Await ``function(*arguments)`` on the provider's event loop.

        Raises CacheError if what is answered could not be stored.
        """
        if is_read_only(self.cache):
            raise not_stored(self.name, self.cache, "No answer")
        portal, _ = self._start()
        self._tell_addresses()
        work = portal.start_task_soon(function, *arguments)
        return self._finish(work, lambda reason, grace: 1)

    def summary(self, report: FillReport) -> str:
        """One line on what a run did and cost; :meth:`close` tells what none has told."""
        self._untold = FillReport()
        text = f"{self.name}: {counted(report.pairs, self.unit)}, {report.cached:,} cached, "
        text += f"{report.scored:,} scored now"
        if report.batched:
            text += f", {report.batched:,} with a batch under way"
        if report.left:
            text += f", {report.left:,} left"
        if report.usage.requests and not self.local:
            text += f" ({describe(report, priced=self.price is not None)})"
        if report.degenerate_rows:
            share = report.degenerate_rows / report.judged_rows
            text += f". Warning: {share:.0%} of the rows carry nothing (constant or counting up)"
        if report.stopped:
            text += f". Stopped early: {report.stopped}"
        if report.left and report.trouble:
            text += f". Some came back without usable scores, most often so: {report.trouble}"
        return text

    def close(self) -> None:
        """Close the provider's connections and the cache. What has been asked and was not told
        is, however the run has ended.
        """
        if self._untold.usage.requests and not self.local:
            notify(self.summary(self._untold))
        portal, self._portal = self._portal, None
        closed, self._closed = self._closed, True
        with ExitStack() as last_first:
            last_first.callback(self.cache.close)
            last_first.callback(self._resources.close)
            if portal is not None:
                manager = self._portal_manager
                close_provider(self.name, self.provider, portal, manager, self._calls)
            elif not closed:  # never asked, but it may hold something since it was built
                give_back(self.name, self.provider)

    def __enter__(self) -> ScoreSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> tuple[BlockingPortal, Scorer]:
        with self._starting:
            if self._portal is None or self._scorer is None:
                self._portal_manager = start_blocking_portal("asyncio")
                self._portal = self._portal_manager.__enter__()
                self._scorer = self._portal.call(self._new_scorer, self.cache)
            return self._portal, self._scorer

    def _new_scorer(self, cache: ScoreCache, judged: bool = True) -> Scorer:
        """One of those of this source, which spend from one budget at one speed."""
        return Scorer(
            self.provider,
            cache,
            budget=self.budget,
            limiter=self._limiter,
            trial=Trial(self.options.max_degenerate) if judged and not self.local else None,
            max_wait=self.options.max_wait,
            on_progress=self._show,
            before_asking=self._tell_addresses,
            notify=notify,
            calls=self._calls,
        )

    def _tell_addresses(self) -> None:
        """Say whom the next request goes to, if that is the user's choice: once."""
        for address, origin in self._addresses:
            notify_once(f"asking {address}, from {origin}")

    def _show(self, report: FillReport) -> None:
        if self._follow is not None:
            self._follow(self._beside + report)

    def _make_budget(self) -> Budget:
        """The user's own limits. Where no request has a known cost, none is sent for $0."""
        options, known = self.options, self.price is not None
        cost, requests = options.max_cost, options.max_requests
        if cost == 0 and not (known and (self.local or isinstance(self.provider, Estimator))):
            cost, requests = None, 0
        return Budget(self.price, max_cost=cost, max_requests=requests)

    def _make_permission(self) -> Permission:
        free = self.local or self.price == Price(0.0, 0.0)
        if self.price is None:
            free = isinstance(self.provider, OwnServer) and self.provider.on_this_machine
        asks = self.options.ask and not free
        model = dict(self.identity.details).get("model")
        return Permission(
            self.name,
            None if model is None else str(model),
            self.budget,
            self.options,
            environment() if asks else {},
            free=free,
            in_dollars=self.price is not None and isinstance(self.provider, Estimator),
            unit=self.unit,
        )

    def _find_price(self) -> Price | None:
        """What the user says, else what the provider states; None if neither knows."""
        options = self.options
        if self.local:
            return Price(0.0, 0.0)
        if options.max_cost and not isinstance(self.provider, Estimator):
            raise ConfigError(
                f"The provider {self.name!r} does not say what a request can cost, so --max-cost "
                "cannot be kept: use --max-requests."
            )
        model = str(dict(self.identity.details).get("model", ""))
        prompt, completion = options.price_in, options.price_out
        lacking = prompt is None or completion is None
        known = price_of(self._registered, model) if self._registered and lacking else None
        if known is not None:
            prompt = known.prompt if prompt is None else prompt
            completion = known.completion if completion is None else completion
        if prompt is None or completion is None:
            if options.max_cost:
                raise ConfigError(
                    f"The price of {self.name} {model} is not known, so --max-cost cannot be "
                    "kept: pass --price-in and --price-out (US dollars a million tokens)."
                )
            return None
        return Price(prompt, completion)
