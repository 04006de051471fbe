"""Which attention maps are channels: whole layers, single heads, or a list of both."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen
from llmattn.plugin import ConfigError

__all__ = ["ALL", "AUTO", "Channel", "channel_text", "read_channels"]

ALL = ("layers", "heads")
"""What names every map of one kind."""

AUTO = "auto"
"""What leaves the choice among all layers to the training."""

_ITEM = re.compile(r"L?(\d+)(?:[.H](\d+))?")


@frozen
class Channel:
    """One map: that of a head, or the mean of a layer's heads (``head`` None)."""

    layer: int
    head: int | None = None

    @property
    def name(self) -> str:
        """``L03`` or ``L03H1``."""
        return f"L{self.layer:02d}" + ("" if self.head is None else f"H{self.head}")

    def __str__(self) -> str:
        return str(self.layer) if self.head is None else f"{self.layer}.{self.head}"


def read_channels(text: str, n_layer: int, n_head: int) -> tuple[Channel, ...]:
    """The channels that ``layers``, ``heads`` or a list such as ``3,5,9.1`` name, in order; also by
    the channels' own names, ``L03,L05,L09H1``.

    Raises ConfigError for what cannot be read, is not there, or is named twice.
    """
    if text in ("layers", AUTO):
        return tuple(Channel(layer) for layer in range(n_layer))
    if text == "heads":
        return tuple(Channel(layer, head) for layer in range(n_layer) for head in range(n_head))
    channels: list[Channel] = []
    for item in text.split(","):
        match = _ITEM.fullmatch(item.strip())
        if not match:
            raise ConfigError(
                f"transformers: channels cannot be read at {item.strip()!r}: write layers, heads, "
                "auto, or a list such as 3,5,9.1 (9.1 is layer 9, head 1)."
            )
        channel = Channel(int(match[1]), None if match[2] is None else int(match[2]))
        if channel.layer >= n_layer or (channel.head or 0) >= n_head:
            raise ConfigError(
                f"transformers: the model has no channel {item.strip()}: its layers are 0 to "
                f"{n_layer - 1}, its heads 0 to {n_head - 1}."
            )
        if channel in channels:
            raise ConfigError(f"transformers: the channel {item.strip()} is named twice.")
        channels.append(channel)
    return tuple(channels)


def channel_text(channels: Sequence[Channel], text: str) -> str | None:
    """``text``, which named ``channels``, as everybody would write it; None for no channels."""
    if text == AUTO:
        return "layers"
    if text in ALL or not channels:
        return text if channels else None
    return ",".join(map(str, channels))
