"""What a user may say about scores: where they come from, and how they are asked for. Imports
nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from llmattn.errors import ConfigError
from llmattn.executors.settings import LOCAL
from llmattn.options import LIMITS, SCORES, option, options_of

__all__ = ["SETTINGS", "VECTOR_OPTIONS", "ScoreChoice", "ScoringOptions", "key_values"]

VECTOR_OPTIONS = (
    "word_vectors",
    "model",
    "option",
    "cache",
    "cache_dir",
    "max_cost",
    "max_requests",
    "price_in",
    "price_out",
    "yes",
    "rpm",
    "tpm",
    "max_wait",
    "requests_at_once",
)
"""Options that are read for word vectors, too."""

SETTINGS = ("criteria", "scope", "channels", "method")
"""Settings of providers that are options by themselves."""


@frozen
class ScoringOptions:
    """Whether to ask, and limits in money, requests and speed; None leaves one to the provider."""

    max_cost: float | None = option(
        None, help="Spend at most so many US dollars.", panel=LIMITS, at_least=0
    )
    max_requests: int | None = option(
        None, help="Send at most so many requests.", panel=LIMITS, at_least=0
    )
    price_in: float | None = option(
        None, help="What a million prompt tokens cost, in US dollars.", panel=LIMITS, at_least=0
    )
    price_out: float | None = option(
        None, help="What a million reply tokens cost, in US dollars.", panel=LIMITS, at_least=0
    )
    yes: bool = option(
        False,
        short="-y",
        help="Ask a paid provider without a question first. Without this and without a limit a "
        "question comes on a terminal; elsewhere it goes on up to $1 (LLMATTN_MAX_COST), or 100 "
        "requests of unknown price (LLMATTN_MAX_REQUESTS).",
        panel=LIMITS,
    )
    rpm: float | None = option(
        None, help="At most so many requests a minute.", panel=LIMITS, above=0
    )
    tpm: float | None = option(None, help="At most so many tokens a minute.", panel=LIMITS, above=0)
    max_wait: float = option(
        600.0,
        help="End the run, keeping all, if the server asks for a longer wait.",
        panel=LIMITS,
        metavar="SECONDS",
        at_least=0,
    )
    provider_timeout: float | None = option(
        None,
        help="End the run, keeping all, if a provider does not end a request by itself. Default: "
        "600, or twice the provider's own limit if that is more.",
        panel=LIMITS,
        metavar="SECONDS",
        above=0,
    )
    requests_at_once: int | None = option(
        None, help="At most so many requests under way at once.", panel=LIMITS, at_least=1
    )
    max_degenerate: float = option(
        0.5,
        help="Give up if after 20 requests a larger share of the rows says nothing (all scores "
        "alike, or counting up).",
        panel=LIMITS,
        at_least=0,
        at_most=1,
    )
    ask_batched: bool = option(
        False,
        help="Ask also for what a batch under way will answer: it is then paid twice.",
        panel=LIMITS,
    )
    quiet: bool = False
    """No progress bar."""
    ask: bool = True
    """False: the cache alone is read, and nothing is sent to anybody."""
    processes: int = 1
    """How many share a limit that nobody has set."""

    @property
    def sends(self) -> bool:
        """Whether a request may be sent at all."""
        free = self.price_in == self.price_out == 0
        return self.ask and self.max_requests != 0 and (self.max_cost != 0 or free)

    @property
    def is_limited(self) -> bool:
        """Whether the user has set a limit in money or requests."""
        return (self.max_cost, self.max_requests) != (None, None)

    def shared_by(self, processes: int) -> ScoringOptions:
        """The part of the limits that each of so many processes keeps."""
        cost, requests = self.max_cost, self.max_requests
        return attrs.evolve(
            self,
            max_cost=None if cost is None else cost / processes,
            max_requests=None if requests is None else requests // processes,
            processes=processes,
        )


def key_values(given: Any) -> dict[str, str]:
    """``NAME.KEY=VALUE`` texts as a mapping, which is taken as it is, too.

    Raises ConfigError for any other form.
    """
    if isinstance(given, Mapping):
        return dict(given)
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip(" ."):
            raise ConfigError(f"-o {text}: write it as NAME.KEY=VALUE, as in cooccurrence.window=5")
        options[name.strip()] = value
    return options


@frozen
class ScoreChoice:
    """Where scores come from, how much of a text is scored, and how scores in context are read.

    ``providers``: none named stands for the one that the environment names. ``options``: settings
    of providers and of the cache as text, ``{"window": "5"}`` or ``{"cooccurrence.window": "5",
    "lmdb.sync": "false"}``; they win over the environment. ``criteria``, ``scope``, ``channels``
    and ``method`` are settings too, for whichever provider has them. Raises ConfigError.
    """

    providers: tuple[str, ...] = option(
        (),
        name="provider",
        short="-p",
        help="Who scores (see: llmattn plugins); given again, their channels stand side by side. "
        "Default: LLM_PROVIDER, else one whose key is set, else a language model on this machine, "
        "else cooccurrence, which needs neither.",
        panel=SCORES,
        converter=tuple,
        repeated=True,
        remembered=True,
    )
    model: str | None = option(
        None, help="The provider's model. Default: LLM_MODEL.", panel=SCORES, remembered=True
    )
    options: Mapping[str, str] = option(
        attrs.Factory(dict),
        name="option",
        short="-o",
        help="A setting of a provider or cache (see: llmattn plugins --options).",
        panel=SCORES,
        metavar="NAME.KEY=VALUE",
        converter=key_values,
        repeated=True,
        hashed=False,
    )
    criteria: str | None = option(
        None,
        help="What a chat model is asked to rate, each a channel, separated by commas: relevance, "
        "syntax, meaning, topic; or a file with your own wording. Default: relevance.",
        panel=SCORES,
        metavar="NAMES",
        remembered=True,
    )
    scope: str | None = option(
        None,
        help="What a chat model is shown: pair, two words alone, each pair once; or prefix, the "
        "text so far, anew for each next word. Default: pair.",
        panel=SCORES,
        metavar="SCOPE",
        remembered=True,
    )
    channels: str | None = option(
        None,
        help="Which attention maps of a local model are channels: layers, heads, a list such as "
        "3,5,9.1 (9.1 is layer 9, head 1), or auto (train: the few layers that validation finds to "
        "be needed). Default: layers.",
        panel=SCORES,
        metavar="NAMES",
        remembered=True,
    )
    method: str | None = option(
        None,
        help="What a score of a local model is: attention, copy, ablation, gradient, several as "
        "attention+copy, or embedding. Default: attention.",
        panel=SCORES,
        metavar="NAMES",
        remembered=True,
    )
    word_vectors: str | None = option(
        None,
        help="A provider whose word vectors the model's words start as (transformers, openai, "
        "custom, ...; see docs/transfer.md). Which model's: -o NAME.embedding_model=...",
        panel=SCORES,
        metavar="PROVIDER",
        remembered=True,
    )
    cache: str = option(
        "lmdb",
        help="What keeps the scores: lmdb, memory (till the end), or a plugin.",
        panel=SCORES,
    )
    cache_dir: Path | None = option(
        None,
        help="Its folder. Default: LLMATTN_CACHE_DIR, else the user's cache folder.",
        panel=SCORES,
    )
    transform: str = option(
        "auto",
        name="score_transform",
        help="How the model reads scores in context: identity (as they are), log (their "
        "logarithm), or auto, as the provider says.",
        panel=SCORES,
        scope="prefix",
        remembered=True,
    )
    context_words: int = option(
        0,
        help="For scores in context: how many tokens before each window the provider sees, too.",
        panel=SCORES,
        at_least=0,
        scope="prefix",
        remembered=True,
    )
    coverage: float = option(
        1.0,
        help="Ask only for the most frequent pairs, which make up this share of all attention "
        "positions; the others take their row's mean. Not for scores in context.",
        panel=LIMITS,
        above=0,
        at_most=1,
        scope="pair",
        remembered=True,
    )
    min_pair_count: int = option(
        1,
        help="Ask only for pairs that occur this often. Not for scores in context.",
        panel=LIMITS,
        at_least=1,
        scope="pair",
        remembered=True,
    )
    executor: str = option(
        LOCAL,
        help="Who sends requests, and makes the runs of a comparison: local, this machine; or a "
        "plugin, such as dask, a cluster (see docs/clusters.md).",
        panel=SCORES,
        metavar="NAME",
    )
    scoring: ScoringOptions = field(factory=ScoringOptions)

    @property
    def settings(self) -> dict[str, str]:
        """What is said of providers and of the cache, by ``KEY`` or ``NAME.KEY``."""
        named = {name: getattr(self, name) for name in SETTINGS}
        return {**{k: v for k, v in named.items() if v is not None}, **self.options}

    @property
    def others(self) -> tuple[str, ...]:
        """What settings may be of, beside the providers of scores."""
        executor = () if self.executor == LOCAL else (self.executor,)
        return (self.cache, *executor, *filter(None, [self.word_vectors]))

    def with_settings(self, settings: Mapping[str, str]) -> ScoreChoice:
        """The same with ``settings`` in place of its own."""
        named: dict[str, Any] = dict.fromkeys(SETTINGS)
        return attrs.evolve(self, options=settings, **named)

    def says_of(self, scope: str) -> bool:
        """Whether it says anything that is for scores of this scope alone."""
        scoped = options_of(ScoreChoice, scope=scope)
        return any(getattr(self, field.name) != field.default for field, _ in scoped)

    def without(self, scope: str, like: ScoreChoice) -> ScoreChoice:
        """The same without what it says, as ``like`` does, for scores of this scope alone."""
        plain: dict[str, Any] = {
            field.name: field.default
            for field, _ in options_of(ScoreChoice, scope=scope)
            if getattr(self, field.name) == getattr(like, field.name)
        }
        return attrs.evolve(self, **plain)

    @property
    def remembered(self) -> dict[str, Any]:
        """What decides which scores there are, by the names of the commands' options, beside the
        providers, which the scores tell themselves.
        """
        told = [(f.name, said) for f, said in options_of(ScoreChoice) if said.remembered]
        asked = {said.name: getattr(self, name) for name, said in told if name != "providers"}
        return {**asked, **{name: self.settings.get(name) for name in SETTINGS}}
