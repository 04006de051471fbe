"""The scores of a comparison: asked for once, then read by every arm and process."""

from __future__ import annotations

from contextlib import ExitStack, redirect_stderr
from io import StringIO

import torch
from attrs import frozen

from llmattn.comparing.choices import ScoreSet
from llmattn.comparing.config import CompareConfig
from llmattn.data.corpus import Corpus
from llmattn.data.feed import Feeds
from llmattn.errors import ConfigError
from llmattn.notices import notify
from llmattn.planning.plan import make_plan
from llmattn.planning.text_plan import make_text_plan
from llmattn.rows import Scope
from llmattn.scoring.options import ScoringOptions
from llmattn.scoring.source import ScoreSource, open_sources
from llmattn.training.checkpoint import Scored
from llmattn.training.scores import in_order, open_feeds, reading_of

__all__ = ["OTHER_WINDOWS", "ScoreShelf", "Scores"]

OTHER_WINDOWS = 1
"""The seed that says which window's scores a window gets in a /shuffled arm."""

_KEPT = 2
"""Sets that a process holds at once; arms that share one are trained together."""


@frozen
class Scores:
    """What is known of a set of scores.

    ``coverage``: the share of the training text's attention positions that is scored.
    """

    scored: tuple[Scored, ...]
    channels: tuple[str, ...]
    coverage: float


class ScoreShelf:
    """Gives each set of scores as feeds. ``asks``: False in a process that only reads."""

    def __init__(
        self, config: CompareConfig, corpus: Corpus, device: torch.device, *, asks: bool
    ) -> None:
        self._config, self._corpus, self._device = config, corpus, device
        self._asks = asks
        self._scores: dict[ScoreSet, Scores] = {}
        self._feeds: dict[ScoreSet, Feeds] = {}

    def scores(self, chosen: ScoreSet) -> Scores:
        """What there is of a set; it is asked for if nobody has yet. Raises what scoring does."""
        if chosen not in self._scores:
            self._open(chosen)
        return self._scores[chosen]

    def feeds(self, chosen: ScoreSet) -> Feeds:
        """The scores themselves."""
        if chosen not in self._feeds:
            self._open(chosen)
        return self._feeds[chosen]

    def check_limits(self, sets: set[ScoreSet]) -> None:
        """Raise ConfigError if a limit in money or requests would have to hold for several paid
        sources together: each keeps it for itself.
        """
        scoring = self._config.scores.scoring
        if scoring.max_cost is None and scoring.max_requests is None:
            return
        paid: dict[str, str] = {}
        for chosen in sets:
            with ExitStack() as stack:
                for source in self._sources(stack, chosen):
                    if not source.local:
                        paid[source.identity.namespace] = source.name
        if len(paid) > 1:
            raise ConfigError(
                f"--max-cost and --max-requests limit one source of scores, and the arms have "
                f"{len(paid)} ({', '.join(sorted(paid.values()))}). Score with each of them first "
                "(llmattn score), then compare without a limit."
            )

    def _may_ask(self, chosen: ScoreSet) -> bool:
        """A set is asked for once; a limit then holds for the whole comparison."""
        return self._asks and chosen not in self._scores

    def _sources(self, stack: ExitStack, chosen: ScoreSet) -> list[ScoreSource]:
        scores = self._config.scores
        only_read = ScoringOptions(max_requests=0, quiet=True)
        opened = open_sources(
            chosen.providers,
            options=dict(chosen.options),
            model=chosen.model,
            cache=scores.cache,
            cache_dir=scores.cache_dir,
            scoring=scores.scoring if self._may_ask(chosen) else only_read,
            text=self._corpus.train_words(),
        )
        return in_order([stack.enter_context(source) for source in opened])

    def _open(self, chosen: ScoreSet) -> None:
        """Fill the cache with a set and read it; the oldest set makes room."""
        scores = self._config.scores
        with ExitStack() as stack:
            if not self._may_ask(chosen):  # reading again is not worth a line
                stack.enter_context(redirect_stderr(StringIO()))
            sources = self._sources(stack, chosen)
            _check_control(chosen, sources)
            if self._may_ask(chosen):
                self._tell_cost(chosen, sources)
            feeds = open_feeds(
                sources,
                self._corpus,
                block_size=self._config.shape["block_size"],
                coverage=scores.coverage,
                min_pair_count=scores.min_pair_count,
                transform=chosen.transform,
                context_words=chosen.context_words,
                device=self._device,
            )
            scored = tuple(_scored(source, chosen) for source in sources)
            if chosen.shuffled:
                feeds = feeds.shuffled(OTHER_WINDOWS)
            if chosen.averaged:
                size = self._config.shape["block_size"]
                feeds = feeds.averaged(self._corpus, block_size=size)
        self._scores[chosen] = Scores(scored, feeds.channels, feeds.coverage)
        while len(self._feeds) >= _KEPT and scores.cache != "memory":
            del self._feeds[next(iter(self._feeds))]
        self._feeds[chosen] = feeds

    def _tell_cost(self, chosen: ScoreSet, sources: list[ScoreSource]) -> None:
        """What each paid source will take, before it is asked."""
        scores, size = self._config.scores, self._config.shape["block_size"]
        for source in sources:
            if source.local:
                continue
            if source.identity.scope is Scope.PREFIX:
                plan = make_text_plan(
                    source, self._corpus, block_size=size, context_words=chosen.context_words
                )
            else:
                plan = make_plan(
                    source,
                    self._corpus,
                    block_size=size,
                    coverage=scores.coverage,
                    min_pair_count=scores.min_pair_count,
                )
            usage, cost = plan.total.usage, plan.total.cost
            requests = f"{usage.requests:,} request{'s' * (usage.requests != 1)}"
            tokens = f"{usage.prompt_tokens + usage.completion_tokens:,} tokens"
            price = "" if cost is None else f", ${cost:,.2f}"
            notify(f"{source.name}: {requests} to send, about {tokens}{price}")


def _scored(source: ScoreSource, chosen: ScoreSet) -> Scored:
    reading = reading_of(source, transform=chosen.transform, context_words=chosen.context_words)
    return Scored(source.identity, source.local, reading.transform, reading.context_words)


def _check_control(chosen: ScoreSet, sources: list[ScoreSource]) -> None:
    """Raise ConfigError before anything is paid for that cannot be shuffled or averaged."""
    if chosen.control and all(s.identity.scope is Scope.PAIR for s in sources):
        verb = {"shuffled": "shuffle", "averaged": "average"}[chosen.control]
        raise ConfigError(
            f"The scores of {'+'.join(chosen.providers)} belong to pairs of words, not to windows, "
            f"so there is nothing to {verb}: leave out /{chosen.control}. The control for them is "
            "the arm random."
        )
