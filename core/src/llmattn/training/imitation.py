"""What a model that imitates another's attention aims at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor

from llmattn.data.batches import Batch
from llmattn.errors import CheckpointError
from llmattn.feeds.channels import Scored
from llmattn.feeds.feed import ScoreFeed
from llmattn.model.attention import LLMAttention
from llmattn.model.config import ModelConfig
from llmattn.training.checkpoint import Checkpoint, load_checkpoint

__all__ = [
    "Imitation",
    "attention_digest",
    "load_imitated",
    "path_of_imitated",
    "student_of",
]

_PREFIX = "attention."
"""Of the names of what mixes scores into weights."""


@frozen(eq=False)
class Imitation:
    """A trained model's way of making weights of scores, and the scores of the training text.

    ``attention``: of the model, not trained any more. ``feed``: scores of training batches.
    ``weight``: what being apart from it by a nat adds to the loss. ``scored``: where the scores
    are from.
    """

    attention: LLMAttention
    feed: ScoreFeed
    weight: float
    scored: tuple[Scored, ...] = ()

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        weights: Mapping[str, Tensor],
        feed: ScoreFeed,
        weight: float,
        scored: tuple[Scored, ...],
        device: torch.device | str = "cpu",
    ) -> Imitation:
        """Of the model of shape ``config`` with these ``weights``, of which the attention's do."""
        attention = LLMAttention(config)
        own = {name: weights[_PREFIX + name] for name in attention.state_dict()}
        attention.load_state_dict(own)
        return cls(attention.to(device).requires_grad_(False), feed, weight, scored)

    @torch.no_grad()
    def aims(self, batch: Batch) -> list[Tensor]:
        """The model's weights for a batch, ``(B or 1, H or 1, T, T)``, of each of its layers, or of
        all of them if they share theirs.
        """
        config, length = self.attention.config, batch.ids.shape[1]
        layers = config.n_layer if config.per_layer else 1
        scores = self.feed.scores(batch)
        like = torch.empty(0, device=batch.ids.device)
        with torch.autocast(batch.ids.device.type, enabled=False):
            return [
                self.attention.weights(scores, length, length, like, layer)
                for layer in range(layers)
            ]

    def to_dict(self) -> dict[str, Any]:
        """What is imitated, as plain values."""
        return {
            "attention": self.attention.config.attention,
            "weight": self.weight,
            "scored": [each.to_dict() for each in self.scored],
            "digest": attention_digest(self.attention.state_dict(prefix=_PREFIX)),
        }


def attention_digest(weights: Mapping[str, Tensor]) -> str:
    """Tells what of a model is imitated from any other's."""
    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        if name.startswith(_PREFIX):
            found.update(name.encode())
            found.update(value.float().cpu().numpy().tobytes())
    return found.hexdigest()


def path_of_imitated(out: Path) -> Path:
    """Where the model is that the model in ``out`` imitates, or will be."""
    return out.with_stem(f"{out.stem}-external")


def load_imitated(
    out: Path, checkpoint: Checkpoint, *, device: torch.device | str = "cpu"
) -> Checkpoint:
    """The model that the one in ``out`` imitates. Raises CheckpointError if it is not there, or
    another one.
    """
    path = path_of_imitated(out)
    if not path.exists():
        raise CheckpointError(
            f"{out} imitates a model that should be beside it, in {path}, and its training needs "
            "that one. Put it there, or train anew without --resume."
        )
    found = load_checkpoint(path, device=device)
    if attention_digest(found.weights) != checkpoint.taken["imitated"]["digest"]:
        raise CheckpointError(
            f"{path} is another model than the one that {out} imitates: put that one there, or "
            "train anew without --resume."
        )
    return found


def student_of(config: ModelConfig) -> ModelConfig:
    """The shape of the model that imitates one of the shape ``config``: queries, keys and distance
    in place of scores.
    """
    return evolve(
        config,
        attention="learned",
        distance_bias=True,
        no_distance=False,
        channels=(),
        mlp_width=0,
    )
