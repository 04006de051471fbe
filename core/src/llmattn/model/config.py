"""The shape of an AttnGPT. Light: imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen

from llmattn.errors import ConfigError

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
    block_size: int = 64
    n_layer: int = 3
    n_head: int = 4
    n_embd: int = 128
    dropout: float = 0.2
    attention: str = "external"
    distance_bias: bool = False
    mlp_width: int = 0
    channels: tuple[str, ...] = field(default=(), converter=_names)
    per_layer: bool = False
    no_distance: bool = False

    def __attrs_post_init__(self) -> None:
        if self.attention not in ATTENTION:
            known = ", ".join(ATTENTION)
            raise ConfigError(f"--attention must be one of {known}; not {self.attention!r}.")
        for name, most in _MOST.items():
            least = 0 if name == "mlp_width" else 1
            if not least <= getattr(self, name) <= most:
                option = name.replace("_", "-")
                raise ConfigError(
                    f"--{option} must be {least} to {most:,}, not {getattr(self, name)}."
                )
        if self.n_embd % self.n_head:
            raise ConfigError(
                f"--n-embd {self.n_embd} cannot be shared out evenly among --n-head {self.n_head}."
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"--dropout must be at least 0 and below 1, not {self.dropout}.")
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
