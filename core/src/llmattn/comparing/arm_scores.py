"""The scores of a comparison: asked for once, then read by every arm and process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import torch
from attrs import evolve, frozen

from llmattn.comparing.arms import PLAIN, Arm
from llmattn.comparing.config import CompareConfig
from llmattn.comparing.references import Reference, teacher
from llmattn.comparing.score_sets import ScoreSet, vector_choice
from llmattn.data.corpus import Corpus
from llmattn.errors import ConfigError
from llmattn.feeds.channels import Scored
from llmattn.feeds.derived import check_control
from llmattn.feeds.feed import Feeds
from llmattn.feeds.open import ModelScores, open_scores
from llmattn.notices import silence
from llmattn.providers.protocol import ChannelChooser, Forecaster
from llmattn.scoring.opening import check_kinds
from llmattn.scoring.options import ScoreChoice, ScoringOptions
from llmattn.scoring.source import ScoreSource
from llmattn.scoring.vectors import VectorSource
from llmattn.training.history import Spent, add_spent
from llmattn.training.text_size import TextSize
from llmattn.training.word_vectors import TokenVectors, WordStart, read_token_vectors

__all__ = ["OTHER_WINDOWS", "ArmScores", "ArmStarts", "Scores"]

OTHER_WINDOWS = 1
"""The seed that says which window's scores a window gets in a /shuffled arm."""

_KEPT = 2
"""Sets that a process holds at once; arms that share one are trained together."""


_NONE: Mapping[Any, Any] = {}


@frozen
class Scores:
    """What is known of a set of scores.

    ``coverage``: the share of the training text's attention positions that is scored.
    """

    scored: tuple[Scored, ...]
    channels: tuple[str, ...]
    coverage: float
    checksum: str
    """As ``Feeds.checksum``."""


class ArmScores:
    """Gives each set of scores as feeds. ``asks``: False in a process that only reads. ``given``:
    sets that it need not even read.
    """

    def __init__(
        self,
        config: CompareConfig,
        corpus: Corpus,
        device: torch.device,
        *,
        asks: bool,
        given: Mapping[ScoreSet, tuple[Scores, Feeds]] = _NONE,
    ) -> None:
        self._config, self._corpus, self._device = config, corpus, device
        self._asks = asks
        self._block_size: int = config.model.block_size
        self._scores = {chosen: scores for chosen, (scores, _) in given.items()}
        self._channels: dict[ScoreSet, tuple[str, ...]] = {}
        self._feeds = {chosen: feeds for chosen, (_, feeds) in given.items()}
        self.spent: tuple[Spent, ...] = ()
        """What providers were asked for."""

    def scores(self, chosen: ScoreSet) -> Scores:
        """What there is of a set; it is asked for if nobody has yet. Raises what scoring does."""
        if chosen not in self._scores:
            self._open(chosen)
        return self._scores[chosen]

    def channels(self, chosen: ScoreSet) -> tuple[str, ...]:
        """The channels of a set; after :meth:`check` nobody is asked for that."""
        return self._channels.get(chosen) or self.scores(chosen).channels

    def feeds(self, chosen: ScoreSet) -> Feeds:
        """The scores themselves."""
        if chosen not in self._feeds:
            self._open(chosen)
        return self._feeds[chosen]

    def check(self, sets: Mapping[str, ScoreSet]) -> None:
        """Open every set and learn its channels, before anything is asked. Raises ConfigError if a
        limit in money or requests would have to hold for several paid sources together, since each
        keeps it for itself, if no scores are of the kind that an option is for, or if a control
        cannot be made.

        ``sets``: those of all arms, by the arm's name.
        """
        scores = self._config.scores
        limited = scores.scoring.is_limited
        sources: list[ScoreSource] = []
        for chosen in dict.fromkeys(sets.values()):
            arm = next(arm for arm, its in sets.items() if its == chosen)
            with self._opened(chosen) as own:
                _check_decided(arm, own.sources)
                check_control(arm, chosen.control, own.sources, self._corpus, self._block_size)
                self._channels[chosen] = own.channels
                sources += own.sources
        check_kinds(sources, scores)
        paid = {s.identity.namespace: s.name for s in sources if not s.local}
        if limited and len(paid) > 1:
            raise ConfigError(
                f"--max-cost and --max-requests limit one source of scores, and the arms have "
                f"{len(paid)} ({', '.join(sorted(paid.values()))}). Score with each of them first "
                "(llmattn score), then compare without a limit."
            )

    def teachers(
        self, sets: Mapping[str, ScoreSet], size: TextSize, folder: Path
    ) -> list[Reference]:
        """What the models of the sets' providers make of the test part by themselves, each model
        once; see ``references.teacher``.
        """
        found: dict[str, Reference] = {}
        for chosen in dict.fromkeys(sets.values()):
            with self._opened(chosen) as opened:
                for source in opened.sources:
                    known = isinstance(source.provider, Forecaster) and (
                        source.provider.forecaster in found
                    )
                    if not known and (own := teacher(source, self._corpus, size, folder)):
                        found[own.name] = own
        return list(found.values())

    def _may_ask(self, chosen: ScoreSet) -> bool:
        """A set is asked for once; a limit then holds for the whole comparison."""
        return self._asks and chosen not in self._scores

    def _opened(self, chosen: ScoreSet) -> AbstractContextManager[ModelScores]:
        choice = chosen.choice
        if not self._may_ask(chosen):
            choice = evolve(choice, scoring=ScoringOptions(ask=False, quiet=True))
        return open_scores(choice, self._corpus, self._block_size)

    def _open(self, chosen: ScoreSet) -> None:
        """Fill the cache with a set and read it; the oldest set makes room."""
        with ExitStack() as stack:
            if not self._may_ask(chosen):  # reading again is not worth a line
                stack.enter_context(silence())
            opened = stack.enter_context(self._opened(chosen))
            choice = opened.choice
            # What the comparison says of scores of another kind is meant for other sets.
            for scope in {"pair", "prefix"} - {s.identity.scope.value for s in opened.sources}:
                choice = choice.without(scope, self._config.scores)
            opened = evolve(opened, choice=choice)
            feeds = opened.feeds(self._corpus, block_size=self._block_size, device=self._device)
            if chosen.shuffled:
                feeds = feeds.shuffled(OTHER_WINDOWS)
            if chosen.averaged:
                feeds = feeds.averaged(self._corpus, block_size=self._block_size)
        self.spent = add_spent(self.spent, [Spent.of(source) for source in opened.sources])
        self._scores[chosen] = Scores(opened.scored, feeds.channels, feeds.coverage, feeds.checksum)
        while len(self._feeds) >= _KEPT and choice.cache != "memory":
            del self._feeds[next(iter(self._feeds))]
        self._feeds[chosen] = feeds


class ArmStarts:
    """The word vectors that arms start from; asked for once. ``asks``: see :class:`ArmScores`."""

    def __init__(
        self,
        scores: ScoreChoice,
        corpus: Corpus,
        *,
        asks: bool,
        given: Mapping[tuple[str, int], WordStart] = _NONE,
    ) -> None:
        self._scores = scores if asks else evolve(scores, scoring=ScoringOptions(ask=False))
        self._corpus = corpus
        self._starts = dict(given)
        self._vectors: list[tuple[ScoreChoice, TokenVectors]] = []

    def start(self, arm: Arm, chosen: ScoreSet | None, width: int) -> WordStart:
        """What the words of an arm start as; ``chosen``: its scores, if it reads any."""
        key = arm.name, width
        if key not in self._starts:
            control = "" if arm.vectors == PLAIN else arm.vectors
            found = self._read(vector_choice(arm, chosen, self._scores))
            self._starts[key] = found.start(self._corpus, width, control)
        return self._starts[key]

    def _read(self, choice: ScoreChoice) -> TokenVectors:
        for known, found in self._vectors:
            if known == choice:
                return found
        with ExitStack() as stack:
            if self._vectors or not choice.scoring.ask:  # reading again is not worth a line
                stack.enter_context(silence())
            source = stack.enter_context(VectorSource(choice))
            self._vectors.append((choice, read_token_vectors(source, self._corpus.tokenizer)))
        return self._vectors[-1][1]


def _check_decided(arm: str, sources: Sequence[ScoreSource]) -> None:
    """Raise ConfigError for channels that are left open: arms must not choose on the way."""
    for source in sources:
        if isinstance(source.provider, ChannelChooser) and source.provider.undecided:
            raise ConfigError(
                f"The arm {arm!r} leaves its channels to be chosen (auto), which training alone "
                "does: find them with llmattn train --channels auto, and name them here."
            )
