"""The provider `transformers`: a language model on this machine, loaded when first asked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import ClassVar

import anyio.to_thread
from attrs import evolve
from llmattn.plugin import (
    ConfigError,
    Forecast,
    Identity,
    Limits,
    ProviderRejected,
    Reply,
    Row,
    Scope,
    identity_details,
)

from llmattn_transformers.channels import ALL, AUTO, Channel, channel_text, read_channels
from llmattn_transformers.forecast import forecast
from llmattn_transformers.methods import Method, make_method
from llmattn_transformers.pieces import PieceEncoder
from llmattn_transformers.settings import TransformersSettings
from llmattn_transformers.teacher import load_teacher
from llmattn_transformers.trial import check_causal
from llmattn_transformers.weights import find_weights

__all__ = ["TransformersProvider"]

_CHANNELS = {
    "ablation": {"change": False, "share": True},
    "copy": {"copy": False},
    "gradient": {"share": True},
    "embedding": {"cosine": False},
}
"""Channels of the methods that are not attention; whether their scores add up to 1 over a row."""
_WEIGHTS = ("attention", "copy")
"""Methods whose scores differ by powers of ten, so that a model reads their logarithm."""


class TransformersProvider:
    """Scores rows by what a language model does with the text; costs nothing, asks nobody."""

    scoring_revision: ClassVar[int] = 1
    local = True
    absent_score = None

    def __init__(self, settings: TransformersSettings) -> None:
        """Raises ConfigError if there is no such model, or it cannot do what is asked."""
        self._settings = settings
        found = find_weights(settings.model, settings.revision, download=settings.download)
        self._weights = evolve(found, seed=settings.untrained)
        method = settings.method
        self.scope = Scope.PAIR if method == "embedding" else Scope.PREFIX
        if self.scope is Scope.PREFIX and not self._weights.causal:
            raise ConfigError(
                f"transformers: {self._weights.name} is no causal language model, so it has no "
                f"{method} that keeps later words out. Use --method embedding, or "
                "another model."
            )
        if "attention" in settings.methods:
            weights = self._weights
            if not weights.n_head:
                raise ConfigError(
                    f"transformers: {weights.name} has no attention to read. Choose another "
                    "--method (gradient or embedding), or another model."
                )
            self._maps = read_channels(settings.channels, weights.n_layer, weights.n_head)
        elif settings.channels != "layers":
            raise ConfigError(
                f"transformers: the method {method!r} has no layers or heads to choose; leave out "
                "--channels."
            )
        else:
            self._maps = ()
        self.channels = self._all_names(self._maps)
        # A request is about a batch: of texts of 64 words, and not much more is lost at a stop.
        self.limits = Limits(
            pairs_per_request=16 * settings.batch_tokens,
            rows_per_request=settings.batch_tokens,
            keys_per_row=16 * settings.batch_tokens,
            requests_at_once=1,
            nested_rows=self.scope is Scope.PREFIX,
        )
        self.normalised = tuple(chain.from_iterable(map(self._shares, settings.methods)))
        self.transform = tuple(
            "log" if part in _WEIGHTS else "identity"
            for part in settings.methods
            for _ in self._shares(part)
        )
        self._method: Method | None = None
        self._busy = threading.Lock()

    def identity(self) -> Identity:
        return self._identity(self._settings.channels, self._maps)

    @property
    def undecided(self) -> bool:
        """See ``ChannelChooser.undecided``."""
        return self._settings.channels == AUTO

    @property
    def choosable(self) -> tuple[str, ...]:
        """See ``ChannelChooser.choosable``."""
        return tuple(channel.name for channel in self._maps)

    @cached_property
    def wholes(self) -> tuple[Identity, ...]:
        """See ``PartProvider.wholes``: of a list of channels those of all layers and all heads."""
        if not self._maps or self._settings.channels in (*ALL, AUTO):
            return ()
        weights = self._weights
        return tuple(
            self._identity(text, read_channels(text, weights.n_layer, weights.n_head))
            for text in ALL
        )

    def _identity(self, text: str, maps: Sequence[Channel]) -> Identity:
        details = identity_details(self._settings)
        details |= {
            "model": self._weights.name,
            "channels": channel_text(maps, text),
            "revision": self._weights.revision,
            "digest": self._weights.digest,
        }
        if details["untrained"] is None:
            del details["untrained"]  # which identities of before had not
        names = self._all_names(maps)
        return Identity("transformers", self.scoring_revision, self.scope, names, details)

    def _all_names(self, maps: Sequence[Channel]) -> tuple[str, ...]:
        methods = self._settings.methods
        return tuple(chain.from_iterable(self._names(method, maps) for method in methods))

    def _names(self, method: str, maps: Sequence[Channel]) -> tuple[str, ...]:
        """Channels of one method; beside others they tell its name."""
        if method == "attention":
            return tuple(channel.name for channel in maps)
        names = tuple(_CHANNELS[method])
        if len(self._settings.methods) == 1:
            return names
        return (method,) if len(names) == 1 else tuple(f"{method}.{name}" for name in names)

    def _shares(self, method: str) -> tuple[bool, ...]:
        """Which channels of one method add up to 1 over a row."""
        if method == "attention":
            return (True,) * len(self._maps)
        return tuple(_CHANNELS[method].values())

    async def score(self, rows: Sequence[Row]) -> Reply:
        return await anyio.to_thread.run_sync(self._score, rows)

    @property
    def forecaster(self) -> str:
        """See ``Forecaster.forecaster``."""
        seed = self._weights.seed
        return self._weights.name + ("" if seed is None else f" (untrained, seed {seed})")

    async def forecast(self, text: str) -> Forecast:
        """See ``Forecaster.forecast``."""
        return await anyio.to_thread.run_sync(self._forecast, text)

    async def aclose(self) -> None:
        """Let go of the model."""
        self._method = None

    def _forecast(self, text: str) -> Forecast:
        if not self._weights.causal:
            raise ProviderRejected(
                f"transformers: {self._weights.name} is no causal language model, and foretells "
                "nothing."
            )
        with self._busy:
            teacher = load_teacher(self._weights, self._settings.device)
            check_causal(teacher)
            encoder = PieceEncoder(teacher.tokenizer, self._settings.start_token)
            return forecast(teacher, encoder, text)

    def _score(self, rows: Sequence[Row]) -> Reply:
        with self._busy:
            if self._method is None:
                self._method = make_method(self._settings, self._weights, self._maps)
            return Reply(self._method.scores(rows), model=self._weights.name)
