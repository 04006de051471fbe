"""The shape of an AttnGPT. Light: imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import evolve, field, frozen

from llmattn.errors import ConfigError
from llmattn.options import MODEL, option

__all__ = ["ATTENTION", "ModelConfig"]

ATTENTION = {
    "external": "softmax(tau * scores + distance bias), the same weights in all layers",
    "hybrid": "query-key attention with tau * scores + distance bias added to its logits",
    "learned": "query-key attention, as in nanoGPT; with or without a distance bias",
    "position": "softmax(distance bias): external without the scores",
    "pure": "softmax(tau * scores), one tau a channel: LLM-Computing's, made causal",
    "uniform": "the mean of everything so far",
}
"""The variants, which differ only in where the attention weights come from."""


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
        64, help="How many tokens the model looks back on at most.", panel=MODEL, at_least=1
    )
    n_layer: int = option(3, help="Layers.", panel=MODEL, at_least=1)
    n_head: int = option(4, help="Heads in each layer.", panel=MODEL, at_least=1)
    n_embd: int = option(128, help="Width, a multiple of the heads.", panel=MODEL, at_least=1)
    dropout: float = option(
        0.2, help="Share of values left out in training.", panel=MODEL, at_least=0, below=1
    )
    attention: str = option(
        "external",
        help="Where the weights come from: external (scores and distance), hybrid (learned "
        "and external), learned (queries and keys), position (distance alone), pure (scores "
        "alone), uniform (nothing).",
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
        if self.vocab_size < 1:
            raise ConfigError(f"--vocab-size must be at least 1, not {self.vocab_size}.")
        if self.n_embd % self.n_head:
            raise ConfigError(
                f"--n-embd {self.n_embd} cannot be shared out evenly among --n-head {self.n_head}."
            )
        if self.uses_scores and not self.channels:
            raise ConfigError(f"--attention {self.attention} needs scores of at least one channel.")
        if self.no_distance and self.attention != "external":
            raise ConfigError(
                f"Only external attention can do without its distance bias, not {self.attention}."
            )
        if self.per_layer and not (self.uses_distance or self.no_distance):
            raise ConfigError(
                "--per-layer gives each layer a distance bias of its own, and --attention "
                f"{self.attention} has none: leave --per-layer out, or choose external, hybrid, "
                "position, or learned with --distance-bias."
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
    def uses_scores(self) -> bool:
        """Whether the weights depend on external scores."""
        return self.attention in ("external", "hybrid", "pure")

    @property
    def uses_query_key(self) -> bool:
        """Whether each layer has queries and keys of its own."""
        return self.attention in ("hybrid", "learned")

    @property
    def uses_distance(self) -> bool:
        """Whether there is a distance bias."""
        if self.attention == "learned":
            return self.distance_bias
        return self.attention in ("external", "hybrid", "position") and not self.no_distance

    @property
    def uses_positions(self) -> bool:
        """Whether positions are embedded: only where nothing else tells the order of the words.

        With a distance bias they did harm (validation 0.03 to 0.07 nats on Tiny Shakespeare).
        """
        return self.attention == "learned" and not self.distance_bias

    @property
    def hidden_width(self) -> int:
        """Width of the MLP's middle."""
        return self.mlp_width or 4 * self.n_embd
