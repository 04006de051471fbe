"""Which scores each arm reads; arms that read the same ones share them."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from llmattn.comparing.arms import Arm
from llmattn.errors import ConfigError
from llmattn.plugins import load_plugins
from llmattn.scoring.find_provider import choose_provider
from llmattn.scoring.options import SETTINGS, VECTOR_OPTIONS, ScoreChoice
from llmattn.settings import environment

__all__ = [
    "ArmReader",
    "ScoreSet",
    "arm_readers",
    "score_sets",
    "vector_choice",
    "why_unread",
]


@frozen
class ScoreSet:
    """One set of scores, and what was done to those in context."""

    choice: ScoreChoice
    shuffled: bool = False
    averaged: bool = False

    @property
    def providers(self) -> str:
        """Where they come from, for messages."""
        return "+".join(self.choice.providers)

    @property
    def control(self) -> str:
        """What was done to scores in context, as an arm's ending says it; empty for nothing."""
        return "shuffled" if self.shuffled else "averaged" if self.averaged else ""


@frozen
class ArmReader:
    """An arm that reads scores, and what it takes of the comparison's options about these.

    ``default``: the providers of arms that name none.
    """

    arm: Arm
    default: tuple[str, ...]
    cache: str

    @property
    def providers(self) -> tuple[str, ...]:
        """Where its scores come from."""
        return self.arm.providers or self.default

    @property
    def is_default(self) -> bool:
        """Whether these are the comparison's own."""
        return self.providers == self.default

    def takes(self, option: str) -> bool:
        """Whether it reads an option of the comparison, rather than say the same by itself."""
        arm = self.arm
        if option == "provider":
            return self.is_default
        if option == "model":
            return self.is_default and arm.model is None
        if option == "score_transform":
            return arm.score_transform is None
        if option == "context_words":
            return arm.context_words is None
        return option not in SETTINGS or self.takes_setting(option)

    def takes_setting(self, name: str) -> bool:
        """:meth:`takes` of a setting ``KEY`` or ``NAME.KEY``."""
        return self.has(name) and not self._states(name.rpartition(".")[2])

    def has(self, name: str) -> bool:
        """Whether a setting is meant for its scores: one without an owner is for the comparison's
        own providers.
        """
        owner = name.rpartition(".")[0]
        return owner in (*self.providers, self.cache) if owner else self.is_default

    def _states(self, key: str) -> bool:
        """Whether the arm has this setting, perhaps with its provider where the other is without,
        or the other way round.
        """
        own = self.arm.options
        return key in own or (len(self.providers) == 1 and f"{self.providers[0]}.{key}" in own)

    def score_set(self, scores: ScoreChoice) -> ScoreSet:
        """Its scores: what it does not say itself is the comparison's."""
        arm = self.arm
        own = {k for k in scores.settings if k.rpartition(".")[0] == scores.executor}
        taken = {k: v for k, v in scores.settings.items() if k in own or self.takes_setting(k)}
        choice = evolve(
            scores.with_settings({**taken, **arm.options}),
            providers=self.providers,
            model=arm.model or (scores.model if self.is_default else None),
            transform=arm.score_transform or scores.transform,
            context_words=scores.context_words if arm.context_words is None else arm.context_words,
        )
        return ScoreSet(choice, arm.shuffled, arm.averaged)


def arm_readers(arms: Sequence[Arm], scores: ScoreChoice) -> list[ArmReader]:
    """The arms that read scores. Those that name no provider read the comparison's, or those of
    the one that the environment names.
    """
    readers = [arm for arm in arms if arm.uses_scores]
    default = scores.providers
    if not default and not all(arm.providers for arm in readers):
        default = (choose_provider(load_plugins(), environment()).name,)
    return [ArmReader(arm, default, scores.cache) for arm in readers]


def score_sets(arms: Sequence[Arm], scores: ScoreChoice) -> dict[str, ScoreSet]:
    """The set of scores of each arm that reads any, by the arm's name."""
    return {each.arm.name: each.score_set(scores) for each in arm_readers(arms, scores)}


def why_unread(option: str, arms: Sequence[Arm], scores: ScoreChoice) -> str:
    """Why no arm reads an option of the comparison about scores, and what to do; empty if one
    does.
    """
    readers = arm_readers(arms, scores)
    vectors = any(arm.vectors for arm in arms)
    settings = [name for name in scores.options if name.rpartition(".")[0] != scores.executor]
    if option == "executor" or (option == "option" and not settings):
        return ""  # it makes the runs, too
    if option == "word_vectors":
        return "" if vectors else "is for arms that end in /vectors, and there is none."
    if vectors and option in VECTOR_OPTIONS and (option != "option" or not readers):
        return ""
    if not readers:
        names = ", ".join(arm.name for arm in arms)
        return (
            f"is for external scores, and no arm reads any ({names}): leave it out, or add one, "
            "such as external."
        )
    for setting in settings if option == "option" else ():
        owner, _, key = setting.rpartition(".")
        if vectors and owner == scores.word_vectors:
            continue
        if not any(each.has(setting) for each in readers):
            in_use = dict.fromkeys(name for each in readers for name in each.providers)
            return (
                f"{setting} is for {owner!r}, which is not in use; in use are: "
                f"{', '.join((*in_use, scores.cache))}."
                if owner
                else f"{key} names no provider, and every arm has providers of its own: write it "
                f"as PROVIDER.{key}."
            )
        if not any(each.takes_setting(setting) for each in readers):
            return _all_say_it(readers)
    return "" if any(each.takes(option) for each in readers) else _all_say_it(readers)


def vector_choice(arm: Arm, chosen: ScoreSet | None, scores: ScoreChoice) -> ScoreChoice:
    """Where the word vectors of an arm come from: ``chosen`` are its scores, if it reads any."""
    if scores.word_vectors is None:
        raise ConfigError(
            f"The arm {arm.name!r} starts from word vectors: say whose with --word-vectors "
            "PROVIDER."
        )
    settings = {**scores.settings, **arm.options}
    providers = chosen.choice.providers if chosen else scores.providers
    # What says nothing of these vectors must not make others of them.
    own = {k: v for k, v in settings.items() if k.rpartition(".")[0] in ("", *scores.others)}
    if scores.word_vectors not in providers:
        own = {k: v for k, v in own.items() if "." in k}
        return evolve(scores.with_settings(own), providers=(), model=None)
    model = arm.model or scores.model
    return evolve(scores.with_settings(own), providers=(scores.word_vectors,), model=model)


def _all_say_it(readers: Sequence[ArmReader]) -> str:
    names = ", ".join(each.arm.name for each in readers)
    return (
        f"is for arms that say nothing of it themselves, and here all do ({names}): leave it out, "
        "or write it into the arm (-o NAME.KEY=VALUE for a provider's setting, [arms.NAME] in a "
        "file)."
    )
