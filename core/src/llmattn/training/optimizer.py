"""AdamW in groups, and the learning rate of a step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from llmattn.model.attn_gpt import AttnGPT
from llmattn.training.config import TrainConfig

__all__ = ["build_optimizer", "lr_at", "parameter_groups", "set_lr"]

ATTENTION_LR = 10.0
"""tau and the distance bias start from 0, are few, and have far to go."""


class AdamW(torch.optim.AdamW):
    """torch's own, whose methods load torch's compiler to keep it out: that takes longer than the
    rest of the start. Nothing here compiles them, so they go without the guard.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)


def build_optimizer(model: AttnGPT, config: TrainConfig) -> AdamW:
    """Three groups: matrices with weight decay; gains without; tau and distance bias without,
    at ten times the learning rate.
    """
    named = dict(model.named_parameters())
    names = parameter_groups({name: parameter.shape for name, parameter in named.items()})
    settings = [
        {"weight_decay": config.weight_decay, "lr_scale": 1.0},
        {"weight_decay": 0.0, "lr_scale": 1.0},
        {"weight_decay": 0.0, "lr_scale": ATTENTION_LR},
    ]
    groups: list[dict[str, Any]] = [
        {"params": [named[name] for name in group], **own}
        for group, own in zip(names, settings, strict=True)
        if group
    ]
    return AdamW(groups, lr=config.lr, betas=(0.9, 0.99))


def parameter_groups(shapes: Mapping[str, Sequence[int]]) -> list[list[str]]:
    """The names of a model's matrices, of its gains, and of tau and distance bias."""
    shared = [name for name in shapes if name.startswith("attention.")]
    others = [name for name in shapes if not name.startswith("attention.")]
    matrices = [name for name in others if len(shapes[name]) >= 2]
    return [matrices, [name for name in others if len(shapes[name]) < 2], shared]


def lr_at(step: int, config: TrainConfig) -> float:
    """The learning rate of step ``step`` (from 0): linear warm-up, then half a cosine."""
    warmup = min(config.warmup, config.steps // 10)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, config.steps - warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.lr * (config.min_lr_share + (1 - config.min_lr_share) * cosine)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
