"""The arms of a comparison and how they are written. Light: imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs
from attrs import field, frozen

from llmattn.errors import ConfigError
from llmattn.model.config import ATTENTION, ModelConfig, variants_with
from llmattn.untrusted import check_types

__all__ = ["ARMS", "SUFFIXES", "Arm", "default_arms", "parse_arms"]

_MORE_ARMS: Mapping[str, Mapping[str, Any]] = {
    "external": {},  # as an arm of a configuration file is, before it says anything
    "learned+b": {"attention": "learned", "distance_bias": True},
    "random": {},
}

ARMS: Mapping[str, Mapping[str, Any]] = dict(
    sorted({**{name: {"attention": name} for name in ATTENTION}, **_MORE_ARMS}.items())
)
"""What stands before the colon, each kind of attention among it, and the fields of ModelConfig that
it sets.
"""

SUFFIXES: Mapping[str, str] = {
    "averaged": "scores in context as the means of each pair of words",
    "no-b": "without the distance bias",
    "per-layer": "each layer mixes the scores by itself",
    "shuffled": "scores in context that belong to another window",
}

_NAME = re.compile(r"[^\W_][\w.+ -]*(/[^\W_][\w.+ -]*)*")
"""Of an arm in a configuration file: it stands in tables and pictures."""

_SHAPE = (
    "attention",
    "distance_bias",
    "no_distance",
    "per_layer",
    "n_layer",
    "n_head",
    "n_embd",
    "dropout",
)
_SCORES = (
    "provider",
    "options",
    "model",
    "score_transform",
    "context_words",
    "shuffled",
    "averaged",
)
_OWN = ("like", *_SCORES, "lr")
_TYPES = {
    **{field.name: str(field.type) for field in attrs.fields(ModelConfig)},
    "like": "str",
    "provider": "str | list[str]",
    "options": "table",  # which has a message of its own
    "model": "str",
    "score_transform": "str",
    "context_words": "int",
    "shuffled": "bool",
    "averaged": "bool",
    "lr": "float",
}
"""Of what a table may say."""


@frozen
class Arm:
    """One kind of model in a comparison.

    ``shape``: fields of ModelConfig in which it differs from the comparison's own. ``providers``:
    where its scores come from; empty for the comparison's own providers. ``options``: settings
    of these, over the comparison's. ``model``, ``score_transform`` and ``context_words`` stand
    for the comparison's own where they are None. ``shuffled``: scores in context are those of
    another window, the control that shows whether they must belong to the text. ``averaged``: each
    pair of words has the mean of its scores, the control that shows whether the context is needed.
    ``lr``: fixed learning rate, or None to choose one.
    """

    name: str
    shape: Mapping[str, Any] = field(factory=dict)
    providers: tuple[str, ...] = ()
    options: Mapping[str, str] = field(factory=dict)
    model: str | None = None
    score_transform: str | None = None
    context_words: int | None = None
    shuffled: bool = False
    averaged: bool = False
    lr: float | None = None

    @property
    def uses_scores(self) -> bool:
        """Whether it reads external scores."""
        shape = {"attention": "external", **self.shape}
        return ModelConfig.from_options(**shape).uses_scores

    @property
    def mixes_by_layer(self) -> bool:
        """Whether each of its layers has a distance bias of its own."""
        return bool(self.shape.get("per_layer")) and not self.shape.get("no_distance")

    @property
    def reads_noise(self) -> bool:
        """Whether its scores are those of the provider `random`, which mean nothing."""
        return self.providers == ("random",)

    @property
    def is_control(self) -> bool:
        """Whether its scores mean nothing, or nothing here, or the same everywhere."""
        return self.shuffled or self.averaged or self.reads_noise


def default_arms(tables: Mapping[str, Any], *, in_context: bool = False) -> tuple[str, ...]:
    """What is compared when nobody says: the arms of a configuration file beside the two that
    matter most, or, without such, the comparison's provider beside the controls of its scores.

    ``in_context``: whether any of these scores are in context, which have controls of their own.
    """
    if tables:
        return tuple(dict.fromkeys(("position", "learned+b", *tables)))
    if in_context:
        own = ("external", "external/shuffled", "external/averaged")
        return (*own, "random", "position", "learned+b")
    return ("external", "random", "position", "learned+b", "learned", "uniform")


def parse_arms(names: Sequence[str], tables: Mapping[str, Any]) -> tuple[Arm, ...]:
    """The arms of these names; ``tables`` holds those that a configuration file defines.

    Raises ConfigError for a name that means nothing, or stands twice.
    """
    for name in tables:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"[arms.{name}]: the name of an arm consists of letters, digits, spaces and .+-_, "
                "and begins with a letter or a digit; a / may stand between two such."
            )
    known = {name: _from_table(name, table, tables) for name, table in tables.items()}
    arms = tuple(known[name] if name in known else _from_name(name, known) for name in names)
    if not arms:
        raise ConfigError(f"No arm to compare: {_help(known)}")
    for name in names:
        if list(names).count(name) > 1:
            raise ConfigError(f"The arm {name!r} is named twice; leave one out.")
    for arm in arms:
        if arm.shuffled and arm.averaged:
            raise ConfigError(
                f"The arm {arm.name!r} is both shuffled and averaged, two controls that exclude "
                "each other: make two arms of it."
            )
    return arms


def _from_name(text: str, known: Mapping[str, Arm]) -> Arm:
    """The arm that ``text`` spells: BASE[:PROVIDER[+PROVIDER...]][/SUFFIX...]."""
    head, *suffixes = text.split("/")
    base, colon, providers = head.partition(":")
    if base in known and not colon:
        arm = attrs.evolve(known[base], name=text)
    elif base in ARMS:
        arm = Arm(text, shape=ARMS[base], providers=("random",) if base == "random" else ())
    else:
        raise ConfigError(f"There is no arm {text!r}: {_help(known)}")
    if colon:
        names = tuple(name.strip() for name in providers.split("+"))
        if not arm.uses_scores or arm.providers or not all(names):
            raise ConfigError(
                f"The arm {text!r} names providers, which only {variants_with('scores')} takes: "
                "write it as external:NAME or external:NAME+NAME."
            )
        arm = attrs.evolve(arm, providers=names)
    for suffix in suffixes:
        arm = _with_suffix(arm, suffix, known)
    return arm


def _with_suffix(arm: Arm, suffix: str, known: Mapping[str, Arm]) -> Arm:
    if suffix not in SUFFIXES:
        raise ConfigError(f"The arm {arm.name!r} ends in an unknown /{suffix}: {_help(known)}")
    variant = ATTENTION[arm.shape.get("attention", "external")]
    if suffix in ("shuffled", "averaged"):
        _need(arm, suffix, arm.uses_scores)
        if suffix == "averaged":
            return attrs.evolve(arm, averaged=True)
        return attrs.evolve(arm, shuffled=True)
    if suffix == "no-b":
        _need(arm, suffix, variant.drops_distance)
        return attrs.evolve(arm, shape={**arm.shape, "no_distance": True})
    has_distance = variant.distance or (variant.adds_distance and arm.shape.get("distance_bias"))
    _need(arm, suffix, bool(has_distance))
    return attrs.evolve(arm, shape={**arm.shape, "per_layer": True})


def _need(arm: Arm, suffix: str, holds: bool) -> None:
    if not holds:
        raise ConfigError(
            f"The arm {arm.name!r}: /{suffix} ({SUFFIXES[suffix]}) has no meaning there; leave it "
            "out."
        )


def _from_table(name: str, table: Any, tables: Mapping[str, Any], depth: int = 0) -> Arm:
    """The arm of ``[arms.NAME]``."""
    where = f"[arms.{name}]"
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a table, such as [arms.{name}] with n_head = 8 in it.")
    values = {key.replace("-", "_"): value for key, value in table.items()}
    for key in values:
        if key not in (*_SHAPE, *_OWN):
            raise ConfigError(
                f"{where}: {key!r} is no setting of an arm; they are: "
                f"{', '.join(sorted((*_SHAPE, *_OWN)))}."
            )
    try:
        check_types(values, _TYPES)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}.") from None
    start = Arm(name)
    if "like" not in values:
        with suppress(ConfigError):  # a name that is spelt as an arm means that arm
            start = _from_name(name, {})
    else:
        like = values["like"]
        if depth > len(tables):
            raise ConfigError(f"{where}: 'like' leads back to itself.")
        if like in tables:
            start = _from_table(like, tables[like], tables, depth + 1)
        else:
            start = _from_name(str(like), {})
    shape = {key: values[key] for key in _SHAPE if key in values}
    changes: dict[str, Any] = {"name": name, "shape": {**start.shape, **shape}}
    if "provider" in values:
        given = values["provider"]
        changes["providers"] = (given,) if isinstance(given, str) else tuple(given)
    if "options" in values:
        changes["options"] = {**start.options, **_flat(values["options"], where)}
    for key in ("model", "score_transform", "context_words", "shuffled", "averaged", "lr"):
        if key in values:
            changes[key] = values[key]
    arm = attrs.evolve(start, **changes)
    try:
        uses_scores = arm.uses_scores
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from None
    for key in () if uses_scores else _SCORES:
        if key in values:
            raise ConfigError(
                f"{where}: {key!r} is for arms that read external scores, and "
                f"{arm.shape['attention']} attention reads none."
            )
    return arm


def _flat(options: Any, where: str) -> dict[str, str]:
    """Options of providers as text; a nested table is one provider's."""
    if not isinstance(options, Mapping):
        raise ConfigError(f'{where}: write options as a table, such as {{ channels = "heads" }}.')
    flat: dict[str, str] = {}
    for key, value in options.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{name}": text for name, text in _flat(value, where).items()})
        else:
            flat[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


def _help(known: Mapping[str, Arm]) -> str:
    arms = ", ".join([*ARMS, *(name for name in known if name not in ARMS)])
    endings = ", ".join(f"/{name} ({meaning})" for name, meaning in SUFFIXES.items())
    return (
        f"arms are {arms}; {variants_with('scores')} may name providers, as in "
        f"external:cooccurrence+random; endings are {endings}; anything more goes into a file "
        "for --config, as [arms.NAME]."
    )
