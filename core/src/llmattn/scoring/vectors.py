"""Word vectors through a source like any other: planned, permitted, asked for once, kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, cast

import attrs
import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from llmattn.errors import ConfigError, ProviderError
from llmattn.executors.settings import LOCAL
from llmattn.identity import Identity
from llmattn.notices import notify
from llmattn.plugins import load_plugins
from llmattn.providers.vectors import VectorScores, read_dimensions, read_vectors, vector_rows
from llmattn.scoring.find_provider import Built, assign_options, settings_for, settings_of
from llmattn.scoring.opening import with_cache
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.report import FillReport
from llmattn.scoring.source import NOT_ASKED, ScoreSource
from llmattn.scoring.work import Work
from llmattn.settings import environment

__all__ = ["VectorSource", "for_vectors_alone"]


def for_vectors_alone(choice: ScoreChoice) -> ScoreChoice:
    """``choice`` where no scores are read, so that what it says without a name is said of the
    provider of word vectors. Raises ConfigError for a setting that this has not.
    """
    assert choice.word_vectors is not None
    registered = load_plugins().provider(choice.word_vectors)
    settings = assign_options(choice.settings, [registered], choice.others)
    return evolve(choice.with_settings(settings), providers=(choice.word_vectors,))


class VectorSource:
    """The word vectors of the provider that ``choice.word_vectors`` names, with their cache. A
    context manager. Raises ConfigError, PluginError or CacheError.
    """

    def __init__(self, choice: ScoreChoice) -> None:
        assert choice.word_vectors is not None
        self.name = choice.word_vectors
        self._choice = choice
        with ExitStack() as self._stack:
            self._source = self._stack.enter_context(self._open(None))
            if (known := _known_dimensions(self._source)) and not self._dimensions:
                self._source = self._again(known)
            self._stack = self._stack.pop_all()

    @property
    def identity(self) -> Identity:
        """What the vectors depend on; complete once they were asked for."""
        return self._source.identity

    @property
    def source(self) -> ScoreSource:
        """What asks for them, for plans."""
        return self._source

    def check_limit(self, others: Sequence[ScoreSource]) -> None:
        """Raise ConfigError for a limit in money or requests that would have to hold for this
        source and a paid one of ``others`` together, since each keeps it for itself.
        """
        paid = [source.name for source in others if not source.local]
        if paid and self._source.options.is_limited and not self._source.local:
            raise ConfigError(
                "--max-cost and --max-requests limit one source, and the scores of "
                f"{', '.join(paid)} and the word vectors of {self.name} are asked for: get the "
                "scores first (llmattn score --provider ...), then train without a limit."
            )

    def work(self, words: Sequence[str]) -> Work:
        """What the vectors of ``words`` would take; asks nothing."""
        return self._source.work(vector_rows(words))

    def vectors(self, words: Sequence[str]) -> NDArray[np.float32]:
        """``(n, d)``: from the cache, and what it lacks by asking. NaN for words without one.

        Raises what ``ScoreSource.fill`` raises; ProviderError if not one is there.
        """
        rows = vector_rows(words)
        if not self._dimensions:
            self._learn_dimensions(words)
        report = self._source.fill(rows)
        notify(self._source.summary(report))
        found = read_vectors(self._source.cache.get(self._source.identity, rows))
        self._check(found, report)
        return found

    def close(self) -> None:
        """Close the source."""
        self._stack.close()

    def __enter__(self) -> VectorSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _dimensions(self) -> int:
        """0 as long as nobody has told."""
        channels = len(self._source.identity.channels)
        return channels - 1 if self._source.identity.channels[0] == "scale" else 0

    def _learn_dimensions(self, words: Sequence[str]) -> None:
        """Ask for one word how long its vector is; what is asked next is the same permission's."""
        source = self._source
        one = vector_rows(words[:1])
        if source.options.ask and not source.permission.free:
            source.permission.ask(source.work(vector_rows(words)))
        report = source.fill(one)
        (found,) = source.cache.get(source.identity, one)
        if np.isnan(found).any():
            self._check(np.full((1, 1), np.nan, np.float32), report)
        self._source = self._again(read_dimensions(found))

    def _again(self, dimensions: int) -> ScoreSource:
        """The source of vectors with so many numbers, which spends from the same budget."""
        before = self._source
        source = self._stack.enter_context(self._open(dimensions))
        source.budget, source.permission = before.budget, before.permission
        return source

    def _check(self, found: NDArray[np.float32], report: FillReport) -> None:
        if not np.isnan(found).all():
            return
        if not self._source.options.ask:
            raise ConfigError(
                f"The cache holds no word vector of {self.name} for this text, and {NOT_ASKED} it "
                "give them, which may cost money."
            )
        raise ProviderError(
            f"The provider {self.name!r} gave no word its vector"
            f"{': ' + report.stopped if report.stopped else ''}."
        )

    def _open(self, dimensions: int | None) -> ScoreSource:
        choice, name = self._choice, self.name
        registered = load_plugins().provider(name)
        options, model = settings_of(name, choice.settings), None
        if name in choice.providers:  # what is said of its scores without a name is said of it
            own = attrs.fields_dict(cast(Any, registered.settings))
            plain = {k: v for k, v in choice.settings.items() if k in own}
            options, model = {**plain, **options}, choice.model
        settings, told = settings_for(
            registered, options=options, model=model, environ=environment()
        )
        provider = registered.build_vectors(settings)
        built = Built(VectorScores(provider, name, provider.dimensions or dimensions or 0), told)
        # A row of one key is never called degenerate.
        asking = evolve(choice.scoring, max_degenerate=1.0)
        return with_cache(registered, built, evolve(choice, scoring=asking, executor=LOCAL))


def _known_dimensions(source: ScoreSource) -> int:
    """How long the vectors are that the cache holds, whether it was told or not; 0: none are."""
    own = source.identity
    for info in source.cache.namespaces():
        kept = info.identity
        if evolve(kept, channels=own.channels) == own and kept.channels[0] == "scale":
            return len(kept.channels) - 1
    return 0
