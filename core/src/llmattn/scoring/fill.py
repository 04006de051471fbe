"""One fill: its rounds of requests, its workers, its retries, and how it ends."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Sequence

import anyio
from attrs import evolve
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from llmattn.errors import (
    BadReply,
    BudgetExceeded,
    LlmattnError,
    PluginError,
    ProviderRejected,
    ProviderUnavailable,
    TooLarge,
)
from llmattn.isolation import one_line
from llmattn.providers.protocol import Limits
from llmattn.rows import Row
from llmattn.scoring import retry
from llmattn.scoring.keeping import Keeper
from llmattn.scoring.limiter import sleep
from llmattn.scoring.planner import is_full, merge_rows, pack
from llmattn.scoring.report import FillReport
from llmattn.scoring.sending import Sender
from llmattn.scoring.sharing import Share, Sharing
from llmattn.scoring.sizes import pairs_of
from llmattn.scoring.tally import Tally
from llmattn.usage import Usage

__all__ = ["Fill"]

log = logging.getLogger(__name__)

Request = tuple[Row, ...]

ROUNDS = 6
"""How often rows that came back unusable are packed anew; the last time key by key."""
BAD_IN_A_ROW = 20
"""After so many unusable replies one after the other the rest of a round is not asked: smaller
requests may go better, and if none does, little was spent."""


def _waiting(most: int) -> int:
    """How many answers may wait for the disk while ``most`` requests are under way: enough to
    hide some milliseconds of flushing behind the provider's answers.
    """
    return (most - 1) // 4


class Fill:
    """Asks for rows until all are known or going on is useless.

    Until the provider has given usable scores one request goes out at a time, and each differs
    from the last: the next one, or a smaller or plainer one. So few are spent on a provider that
    never will.
    """

    def __init__(
        self,
        sender: Sender,
        keeper: Keeper,
        sharing: Sharing,
        report: FillReport,
        on_progress: Callable[[FillReport], None],
    ) -> None:
        self.halted = anyio.Event()
        self.stopped: str | None = None
        self.error: LlmattnError | None = None
        self._sender = sender
        self._keeper = keeper
        self._sharing = sharing
        self._report = report
        self._on_progress = on_progress
        self._tally = Tally()
        self._scope: anyio.CancelScope | None = None
        self._deadline = math.inf
        self._round = 0
        self._failed_size: tuple[int, int] | None = None
        self._bad_in_a_row = 0
        self._told = False
        self._usable = False
        self._requests: deque[Request] = deque()
        self._parts: deque[Request] = deque()  # of requests that were too much for the model
        self._unusable: list[Row] = []
        self._too_large: list[Row] = []
        self._limits = sender.sizes.limits
        self._loose: list[Row] = []  # of requests that others are asking for in part
        self._taken: list[Row] = []  # others are asking for them

    async def run(self, rows: Sequence[Row]) -> None:
        """Ask for ``rows``. Never raises an error of ours: see ``error`` and ``stopped``."""
        left: Sequence[Row] = rows
        with anyio.CancelScope(deadline=self._deadline) as self._scope:
            for self._round in range(ROUNDS):
                if not left or self.halted.is_set():
                    break
                left = await self._ask_round(left)
        if not self.halted.is_set():
            try:
                await self._keeper.end(self._report)
            except LlmattnError as error:
                self.halt(None, error)
        try:
            await self._keeper.settle()
        except LlmattnError as error:
            self.halt(None, error)
        if left and not (self._report.cached or self._sender.proven or self.halted.is_set()):
            self.halt(None, self._tally.verdict(ROUNDS))
        if self._tally.requests and not self._usable:
            self._sender.proven = False  # whatever it was before

    @property
    def trouble(self) -> str | None:
        """The most frequent reason why replies were no use; None if all were."""
        return self._tally.trouble

    def stop(self, reason: str, grace: float) -> None:
        """Send nothing more; answers under way are awaited for ``grace`` seconds at most."""
        self.halt(reason, None)
        self._deadline = anyio.current_time() + grace
        if self._scope:
            self._scope.deadline = self._deadline

    def halt(self, stopped: str | None, error: LlmattnError | None) -> None:
        """Send nothing more; the first reason counts."""
        if not self.halted.is_set():
            self.stopped, self.error = stopped, error
            self.halted.set()

    def paid(self, usage: Usage) -> None:
        """Note what a request cost."""
        self._keeper.paid(usage)
        self._report.usage += usage

    async def _ask_round(self, rows: Sequence[Row]) -> list[Row]:
        """Ask for ``rows`` once; gives those that came back unusable."""
        limits, self._failed_size = self._round_limits(), None
        self._bad_in_a_row, self._unusable = 0, []
        while rows and not self.halted.is_set():
            largest = min(limits.pairs_per_request, self._sender.sizes.limits.pairs_per_request)
            self._limits = evolve(limits, pairs_per_request=largest)
            packed = pack(rows, self._limits, self._sender.provider.scope)
            self._requests, self._too_large, self._loose = deque(packed), [], []
            if not self._report.requests_planned:
                self._report.requests_planned = len(packed)
                self._on_progress(self._report)
            while (queue := self._parts or self._requests) and not (
                self._sender.proven or self.halted.is_set()
            ):
                await self._one(queue.popleft())
            self._requests.extendleft(reversed(self._parts))
            self._parts.clear()
            at_once = self._sender.limiter.most + _waiting(self._sender.limiter.most)
            async with anyio.create_task_group() as workers:
                for _ in range(min(at_once, len(self._requests))):
                    workers.start_soon(self._work)
            rows = merge_rows([*self._too_large, *self._loose]) or await self._await_others()
        return merge_rows(self._unusable)

    async def _await_others(self) -> tuple[Row, ...]:
        """Wait for what others are asking for; gives rows that they leave to us."""
        if not self._taken or self.halted.is_set():
            return ()
        taken, self._taken = merge_rows(self._taken), []
        try:
            await self._keeper.end(self._report)  # or they would wait for us too
            left = await self._sharing.wait(taken, self.halted, self._known)
        except LlmattnError as error:
            self.halt(None, error)
            return ()
        self._taken.extend(left.taken)
        return left.free

    def _known(self, pairs: int) -> None:
        """Note what others have scored meanwhile."""
        self._report.cached += pairs
        self._on_progress(self._report)

    def _divide(self, share: Share) -> None:
        """See to the parts of a request that is not ours alone: what is free is sent once there
        is enough of it.
        """
        self._known(share.known)
        self._taken.extend(share.taken)
        if not share.free:
            return
        packed = pack(
            merge_rows([*self._loose, *share.free]), self._limits, self._sender.provider.scope
        )
        full = [request for request in packed if is_full(request, self._limits)]
        self._requests.extendleft(reversed(full))
        self._loose = [row for r in packed if not is_full(r, self._limits) for row in r]

    def _round_limits(self) -> Limits:
        """Later rounds hold rows that a model failed at: smaller requests may go better."""
        if self._failed_size is None:
            return self._sender.sizes.limits
        limits = self._sender.sizes.halved(*self._failed_size)
        return evolve(limits, keys_per_row=1) if self._round == ROUNDS - 1 else limits

    async def _work(self) -> None:
        while self._requests and not self.halted.is_set():
            await self._one(self._requests.popleft())

    async def _one(self, request: Request) -> None:
        """Ask one request; never raises."""
        if self._bad_in_a_row >= BAD_IN_A_ROW:
            self._put_back(request)
            return
        if (rows := self._sender.sizes.to_pack_anew(request)) is not None:
            self._too_large.extend(rows)
            return
        share = Share()
        try:
            share = await self._sharing.take(request)
            if share.ticket is None:
                self._divide(share)
                return
            self._put_back(await self._ask(request), request)
        except TooLarge as error:
            self._shrink(request, error)
        except BadReply as error:
            log.debug("unusable reply: %s", error)
            if error.cause.smaller and not self._sender.proven and pairs_of(request) > 1:
                limits = self._sender.sizes.halved(len(request), pairs_of(request))
                halves = pack(request, limits, self._sender.provider.scope)
                self._parts.extendleft(reversed(halves))
            elif error.cause.of_model:
                self._put_back(request)
            else:
                self._unusable.extend(request)
        except BudgetExceeded as error:
            self.halt(str(error), None)
        except LlmattnError as error:
            self.halt(None, error)
        except Exception as error:
            self.halt(None, self._fault(error))
        finally:
            self._sharing.done(share, kept=self._keeper.waiting(request))

    def _put_back(self, rows: Sequence[Row], request: Sequence[Row] | None = None) -> None:
        """Rows for the next round; they were unusable in a request of this size."""
        if rows:
            request = rows if request is None else request
            most_rows, most_pairs = self._failed_size or (0, 0)
            self._failed_size = max(most_rows, len(request)), max(most_pairs, pairs_of(request))
            self._unusable.extend(rows)

    def _shrink(self, request: Request, error: TooLarge) -> None:
        """Ask for less at once from now on."""
        rows = self._sender.sizes.shrink(request, error.fraction)
        if rows is None:
            told = str(error).rstrip(".")
            message = f"{told}. Not even one pair fits: give the server a larger context, or name "
            self.halt(None, ProviderRejected(message + "another model (--model)."))
        else:
            self._too_large.extend(rows)

    def _fault(self, error: Exception) -> PluginError:
        log.debug("fault of the plugin", exc_info=error)
        return PluginError(
            f"The provider {self._sender.name!r} failed with {one_line(error)}. Most likely that "
            "is a fault of its plugin; --debug shows where."
        )

    async def _ask(self, request: Request) -> list[Row]:
        """One request with its retries; gives the rows that came back unusable."""
        try:
            return await self._send(request)
        except retry.RETRIED as error:
            failed: LlmattnError | None = error

        async def again() -> list[Row]:
            nonlocal failed
            if failed:  # the first try was made without the loop, whose making costs more
                first, failed = failed, None
                raise first
            return await self._send(request)

        patience = retry.Patience()
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(retry.RETRIED),
            wait=retry.pause,
            stop=lambda state: self._is_final(state, patience),
            sleep=lambda seconds: sleep(seconds, self.halted),
            before_sleep=self._before_retry,
            reraise=True,
        )
        unusable: list[Row] = await retrying(again)
        return unusable

    def _is_final(self, state: RetryCallState, patience: retry.Patience) -> bool:
        """Whether a failed request is given up."""
        tried_enough = patience.ends(state, self._sender.proven)
        spent = self._tally.spent and not self._sender.proven
        return tried_enough or spent or self.halted.is_set() or self._bad_in_a_row >= BAD_IN_A_ROW

    async def _send(self, request: Request) -> list[Row]:
        """Send once, and keep what came back; gives the rows that were unusable."""
        try:
            reply = await self._sender.send(request, self)
        except (BadReply, TooLarge) as error:
            self._note(error)
            raise
        except ProviderUnavailable as error:
            self._tally.note_fault(error)
            raise
        if reply is None:
            return list(request)
        self._bad_in_a_row, self._usable = 0, True
        unusable = await self._keeper.keep(
            request, reply, self._report, failed=lambda error: self.halt(None, error)
        )
        self._on_progress(self._report)
        return unusable

    def _note(self, error: BadReply | TooLarge) -> None:
        """Count a reply that was no use; end the fill where nothing else is to be expected."""
        self._tally.note(error)
        if isinstance(error, BadReply):
            self._bad_in_a_row += 1
        if self._sender.proven or not self._tally.hopeless:
            return
        # Of a cache that was filled before, what is left may be what no model answers.
        tried_all = self._round > 0 or not self._requests
        if self._report.cached and tried_all and self._tally.of_model:
            self.halt(None, None)
        else:
            self.halt(None, self._tally.verdict())

    def _before_retry(self, state: RetryCallState) -> None:
        self._report.retries += 1
        error = state.outcome.exception() if state.outcome else None
        log.debug("try %d failed: %s", state.attempt_number, error)
        if isinstance(error, ProviderUnavailable) and not (self._sender.proven or self._told):
            self._told = True
            self._sender.notify(f"{error} Trying again for a while.")
