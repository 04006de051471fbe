"""What an attention provider is: one request for scores; the core does the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from attrs import field, frozen, validators
from numpy.typing import NDArray

from llmattn.errors import ProviderError
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, Scores
from llmattn.usage import Usage

__all__ = [
    "AttentionProvider",
    "BatchProvider",
    "BatchStatus",
    "ChannelChooser",
    "Estimator",
    "Forecast",
    "Forecaster",
    "Limits",
    "LocalProvider",
    "MapProvider",
    "NamedServer",
    "NeedsText",
    "OwnServer",
    "PartProvider",
    "RateHint",
    "Reachable",
    "Reply",
    "StandIn",
    "VectorProvider",
    "VectorReply",
]


@frozen
class Limits:
    """The largest request that a provider takes, how many at once, and how long one may last."""

    pairs_per_request: int = field(default=1024, validator=validators.ge(1))
    rows_per_request: int = field(default=64, validator=validators.ge(1))
    keys_per_row: int = field(default=1024, validator=validators.ge(1))
    """Longer PAIR rows are asked in parts; a row with context is never cut."""
    requests_at_once: int = field(default=8, validator=validators.ge(1))
    timeout: float = field(default=120.0, validator=validators.gt(0))
    """Seconds after which the provider itself gives a request up; so long a run that is stopped
    awaits the answers under way.
    """
    nested_rows: bool = False
    """The provider itself keeps later words from earlier rows, as a causal language model does:
    rows of one text, each the beginning of the next, then share a request, in order.
    """


@frozen
class RateHint:
    """What a server says it will still take, as in x-ratelimit-* headers; None: not said.

    ``reset_*``: seconds until the full allowance is there again.
    """

    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    reset_requests: float | None = None
    reset_tokens: float | None = None


def _tuple(scores: Iterable[Scores]) -> tuple[Scores, ...]:
    return tuple(scores)


@frozen
class Reply:
    """The answer to one request.

    ``scores``: one array ``(C, len(row.keys))`` a row, in the order asked; NaN where the
    provider gave nothing usable. ``model``: the name that the server says it used.
    """

    scores: tuple[Scores, ...] = field(converter=_tuple)
    usage: Usage = Usage()
    model: str | None = None
    rate: RateHint | None = None


@runtime_checkable
class AttentionProvider(Protocol):
    """Scores rows. An implementation needs no retries, cache, limits or packing of its own."""

    @property
    def scope(self) -> Scope: ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, C of them, at least one."""
        ...

    @property
    def limits(self) -> Limits: ...

    def identity(self) -> Identity:
        """What the scores depend on besides the row. No network."""
        ...

    async def score(self, rows: Sequence[Row]) -> Reply:
        """Ask ONE request. Where finding out what a server takes needs another,
        ``llmattn.allowance.one_more`` is called before that.

        Raises RateLimited, ProviderUnavailable, ProviderRejected or BadReply
        (``llmattn.errors``).
        """
        ...

    async def aclose(self) -> None:
        """Give back connections. Called once, on the event loop that called :meth:`score`, or on
        another if none was asked for.
        """
        ...


@runtime_checkable
class NeedsText(Protocol):
    """A provider that first reads the training text, such as co-occurrence counts."""

    def read_text(self, lines: Sequence[Sequence[str]]) -> None:
        """Read the training lines, each a sequence of tokens; called before anything else."""
        ...


@runtime_checkable
class LocalProvider(Protocol):
    """A provider that costs nothing and needs no network says so with ``local = True``.

    ``absent_score`` is what a pair that was never asked is worth, if the provider knows
    without being asked; None means that it has to be asked.
    """

    local: bool
    absent_score: float | None


@runtime_checkable
class OwnServer(Protocol):
    """A provider of any server says with ``on_this_machine`` whether its server is one of this
    machine. Where its price is not known it is then taken to cost nothing: no question is asked
    and no default limit holds. It is sent as little as any other under ``--max-cost 0``.
    """

    @property
    def on_this_machine(self) -> bool: ...


@runtime_checkable
class Reachable(Protocol):
    """A provider whose server can be asked for something that costs nothing."""

    async def reach(self) -> str:
        """Send one such request; what the answer tells, in words: ``the server answers, and ...``.
        Raises ProviderError if there is none, or it says that scores could not be asked for.
        """
        ...


@runtime_checkable
class MapProvider(Protocol):
    """A provider whose scores are a model's attention weights may say how to read them.

    ``transform``: what the model reads instead of a score s; ``log`` suits weights, which differ
    by powers of ten. ``normalised``: the scores of a row add up to 1. Each is one value for all
    channels, or a tuple with one for each. Neither changes what is stored, so neither is part of
    the identity.
    """

    transform: Literal["identity", "log"] | tuple[Literal["identity", "log"], ...]
    normalised: bool | tuple[bool, ...]


@runtime_checkable
class PartProvider(Protocol):
    """A provider some of whose channels others of its kind may have stored already."""

    @property
    def wholes(self) -> tuple[Identity, ...]:
        """Identities under which channels of the same names have the very same scores; nothing is
        asked that the cache holds under these.
        """
        ...


@runtime_checkable
class ChannelChooser(Protocol):
    """A provider with a setting ``channels`` that takes a list of its channels' names, separated by
    commas, or ``auto``: training then chooses among ``choosable``, and names what it has chosen.
    """

    @property
    def undecided(self) -> bool:
        """Whether the setting is ``auto``; until it is decided all channels are there."""
        ...

    @property
    def choosable(self) -> tuple[str, ...]:
        """Those of ``channels`` that may be left out."""
        ...


@frozen
class Forecast:
    """What a provider's own model makes of a text, as the next token of what it has read.

    ``nats``: of the whole text, which is so many ``tokens`` of the model's. ``seconds``: what
    reading it took.
    """

    nats: float
    tokens: int
    parameters: int
    seconds: float


@runtime_checkable
class Forecaster(Protocol):
    """A provider whose model foretells texts by itself, so that tables can show what it would
    reach in the place of the model that learns from it.
    """

    @property
    def forecaster(self) -> str:
        """The model's name for tables; one name stands for one model."""
        ...

    async def forecast(self, text: str) -> Forecast:
        """Let the model read ``text``, which begins behind a line end. Raises as
        :meth:`AttentionProvider.score` does.
        """
        ...


@frozen
class StandIn:
    """A name of the user's own that stands, in an identity, for the address that is asked.

    ``may_differ``: the user knows that it does not answer as what bore the name before.
    """

    name: str
    address: str
    may_differ: bool = False


@runtime_checkable
class NamedServer(Protocol):
    """A provider whose server may have a name of the user's own, so that its scores stay its own
    when it moves to another address.
    """

    @property
    def stand_in(self) -> StandIn | None:
        """That name, if the user gave one."""
        ...


@runtime_checkable
class Estimator(Protocol):
    """A provider whose requests cost tokens can say beforehand how many."""

    def estimate(self, rows: Sequence[Row]) -> Usage:
        """Upper bound of the tokens that :meth:`AttentionProvider.score` of ``rows`` is billed;
        budgets reserve it.
        """
        ...

    def expect(self, rows: Sequence[Row]) -> Usage:
        """The tokens that it is likely to be billed; plans show it."""
        ...


@frozen
class BatchStatus:
    """How far a batch is: ``completed`` of ``total`` requests."""

    state: Literal["running", "done", "failed", "expired", "cancelled", "lost"]
    """``lost`` stands for a batch that the server does not know (Forgotten)."""
    completed: int = 0
    total: int = 0
    message: str = ""
    """What the server says about a failure."""


@runtime_checkable
class BatchProvider(Protocol):
    """A provider that takes many requests at once and answers later, usually at half price.

    The calls may come from different processes, days apart. They raise what
    :meth:`AttentionProvider.score` raises. Each may be made again where its answer was lost.
    """

    def fits_batch(self, requests: Sequence[Sequence[Row]]) -> int:
        """How many of ``requests``, from the first, one batch takes. No network."""
        ...

    async def submit_batch(self, requests: Sequence[Sequence[Row]], mark: str) -> str:
        """Hand over ``requests``, no more than fit, under ``mark``, a word of letters and digits;
        gives the batch's id. The caller makes sure that none was handed over under it before.
        """
        ...

    async def find_batch(self, mark: str) -> str | None:
        """The id of the batch that was handed over under ``mark``. None: there is none, and none
        can yet come of a hand-over that broke off.
        """
        ...

    async def batch_status(self, batch_id: str) -> BatchStatus:
        """How far it is. Raises Forgotten if the server has batches, but does not know this one."""
        ...

    async def collect_batch(
        self, batch_id: str, requests: Sequence[Sequence[Row]]
    ) -> list[Reply | ProviderError]:
        """The answers, aligned with the ``requests`` that were submitted.

        An error stands for each request that was not answered, or not usably (Forgotten: the
        server no longer has its answer); a batch that ended early (expired, cancelled) still
        gives what was done.
        """
        ...


@frozen(eq=False)
class VectorReply:
    """The answer to one request for word vectors.

    ``vectors``: ``(n, d)``, in the order asked, all finite. ``model``: the name that the server
    says it used.
    """

    vectors: NDArray[np.float32]
    usage: Usage = Usage()
    model: str | None = None
    rate: RateHint | None = None


@runtime_checkable
class VectorProvider(Protocol):
    """Gives words their vectors, whatever stands around them. A plugin names it beside its
    provider of scores: ``registry.add(..., vectors="package.module:Class")``; it is built of the
    same settings. Retries, packing, limits, money and caching are the core's, as for scores; so are
    the attributes ``local``, ``on_this_machine`` and ``stand_in``, where it has them.
    """

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has; 0: only asking will tell."""
        ...

    @property
    def words_per_request(self) -> int: ...

    @property
    def requests_at_once(self) -> int: ...

    @property
    def timeout(self) -> float:
        """See ``Limits``."""
        ...

    def identity(self) -> Identity:
        """What the vectors depend on besides the word; its channels are not looked at. The detail
        ``model`` is what a price is looked up by. No network.
        """
        ...

    async def vectors(self, words: Sequence[str]) -> VectorReply:
        """Ask ONE request. A word that begins with a space begins so in the text; one without
        goes on from what stands before it.

        Raises what :meth:`AttentionProvider.score` raises.
        """
        ...

    async def aclose(self) -> None:
        """As :meth:`AttentionProvider.aclose`."""
        ...
