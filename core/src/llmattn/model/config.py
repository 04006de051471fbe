"""The shape of an AttnGPT. Light: imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import evolve, field, frozen

from llmattn.errors import ConfigError
from llmattn.options import MODEL, option

__all__ = ["ATTENTION", "ModelConfig", "Variant", "variants_with"]


@frozen
class Variant:
    """A kind of attention: which parts its logits are the sum of.

    ``meaning``: where the weights come from, in a few words. ``scores``: external scores times
    tau. ``query_key``: products of queries and keys. ``distance``: a bias by distance, which
    ``adds_distance`` and ``drops_distance`` let ``ModelConfig.distance_bias`` and ``no_distance``
    change. ``one_tau``: all heads share a tau, which starts at a mean over the channels, not at 0.
    """

    meaning: str
    scores: bool = False
    query_key: bool = False
    distance: bool = False
    adds_distance: bool = False
    drops_distance: bool = False
    one_tau: bool = False


ATTENTION = {
    "external": Variant("scores and distance", scores=True, distance=True, drops_distance=True),
    "hybrid": Variant("learned and external", scores=True, query_key=True, distance=True),
    "learned": Variant("queries and keys", query_key=True, adds_distance=True),
    "position": Variant("distance alone", distance=True),
    "pure": Variant("scores alone", scores=True, one_tau=True),
    "uniform": Variant("nothing"),
}
"""The variants, which differ only in where the attention weights come from; docs/model.md has their
formulae. The command line, the arms of comparisons and the tests read this table.
"""


def variants_with(part: str) -> str:
    """The names of the variants that have a field of :class:`Variant`, such as "external, hybrid or
    pure".
    """
    *others, last = [name for name, variant in ATTENTION.items() if getattr(variant, part)]
    return f"{', '.join(others)} or {last}" if others else last


_MOST = {
    "vocab_size": 1 << 24,
    "block_size": 1 << 20,
    "n_layer": 1 << 10,
    "n_head": 1 << 12,
    "n_embd": 1 << 16,
    "mlp_width": 1 << 20,
}
"""Beyond what anybody trains here: a slip, or a file that wants to take all memory."""


def _names(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen
class ModelConfig:
    """Raises ConfigError when the parts do not fit together.

    ``channels``: names of the external scores' channels, C of them. ``mlp_width``: 0 stands
    for ``4 * n_embd``. ``distance_bias`` adds one to ``learned``; ``external``, ``hybrid``
    and ``position`` have one anyway. ``per_layer`` gives each layer a tau and a distance bias
    of its own over the same scores, instead of one for all. ``no_distance`` takes the distance
    bias from ``external``.
    """

    vocab_size: int
    block_size: int = option(
        64,
        help="How many tokens the model looks back on at most.",
        panel=MODEL,
        at_least=1,
        at_most=_MOST["block_size"],
    )
    n_layer: int = option(3, help="Layers.", panel=MODEL, at_least=1, at_most=_MOST["n_layer"])
    n_head: int = option(
        4, help="Heads in each layer.", panel=MODEL, at_least=1, at_most=_MOST["n_head"]
    )
    n_embd: int = option(
        128,
        help="Width, a multiple of the heads.",
        panel=MODEL,
        at_least=1,
        at_most=_MOST["n_embd"],
    )
    dropout: float = option(
        0.2, help="Share of values left out in training.", panel=MODEL, at_least=0, below=1
    )
    attention: str = option(
        "external",
        help="Where the weights come from: "
        + ", ".join(f"{name} ({variant.meaning})" for name, variant in ATTENTION.items())
        + ".",
        panel=MODEL,
        choices=tuple(ATTENTION),
    )
    distance_bias: bool = option(
        False,
        help="Let `learned` know the distance, too.",
        panel=MODEL,
    )
    mlp_width: int = 0
    channels: tuple[str, ...] = field(default=(), converter=_names)
    per_layer: bool = option(
        False,
        help="Each layer has its own scale of the scores and distance bias.",
        panel=MODEL,
    )
    no_distance: bool = False

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.vocab_size <= _MOST["vocab_size"]:
            raise ConfigError(
                f"--vocab-size must be 1 to {_MOST['vocab_size']:,}, not {self.vocab_size}."
            )
        if not 0 <= self.mlp_width <= _MOST["mlp_width"]:
            raise ConfigError(
                f"--mlp-width must be 0 to {_MOST['mlp_width']:,}, not {self.mlp_width}."
            )
        if self.n_embd % self.n_head:
            raise ConfigError(
                f"--n-embd {self.n_embd} cannot be shared out evenly among --n-head {self.n_head}."
            )
        if self.uses_scores and not self.channels:
            raise ConfigError(f"--attention {self.attention} needs scores of at least one channel.")
        if self.no_distance and not self._variant.drops_distance:
            raise ConfigError(
                f"Only {variants_with('drops_distance')} attention can do without its distance "
                f"bias, not {self.attention}."
            )
        if self.per_layer and not (self.uses_distance or self.no_distance):
            raise ConfigError(
                "--per-layer gives each layer a distance bias of its own, and --attention "
                f"{self.attention} has none: leave --per-layer out, or choose "
                f"{variants_with('distance')}, or {variants_with('adds_distance')} with "
                "--distance-bias."
            )

    @classmethod
    def from_options(cls, **shape: Any) -> ModelConfig:
        """A model for a text and scores that are not known yet; :meth:`fitted` makes it one for
        those that are. Everything else is checked.
        """
        return cls(vocab_size=2, channels=("any",), **shape)

    def fitted(self, vocab_size: int, channels: Iterable[str], **changes: Any) -> ModelConfig:
        """The model for a text of so many tokens, and for these channels of scores."""
        return evolve(self, vocab_size=vocab_size, channels=channels, **changes)

    @property
    def _variant(self) -> Variant:
        return ATTENTION[self.attention]

    @property
    def uses_scores(self) -> bool:
        """Whether the weights depend on external scores."""
        return self._variant.scores

    @property
    def uses_query_key(self) -> bool:
        """Whether each layer has queries and keys of its own."""
        return self._variant.query_key

    @property
    def uses_distance(self) -> bool:
        """Whether there is a distance bias."""
        added = self._variant.adds_distance and self.distance_bias
        return added or (self._variant.distance and not self.no_distance)

    @property
    def uses_positions(self) -> bool:
        """Whether positions are embedded: only where nothing else tells the order of the words.

        With a distance bias they did harm (validation 0.03 to 0.07 nats on Tiny Shakespeare).
        """
        return self.uses_query_key and not self.uses_distance

    @property
    def has_one_tau(self) -> bool:
        """Whether all heads share a tau, which starts at a mean over the channels."""
        return self._variant.one_tau

    @property
    def hidden_width(self) -> int:
        """Width of the MLP's middle."""
        return self.mlp_width or 4 * self.n_embd
