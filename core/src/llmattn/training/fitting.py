"""Whether the parts of a checkpoint fit each other, found out before anything is built of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from llmattn.errors import CheckpointDamaged
from llmattn.model.config import ModelConfig
from llmattn.model.shapes import parameter_shapes
from llmattn.training.optimizer import parameter_groups
from llmattn.untrusted import check_plain

__all__ = ["check_state", "check_weights"]

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}


def check_weights(config: ModelConfig, weights: object) -> None:
    """Raise CheckpointDamaged unless ``weights`` are those of a model of this shape, all finite."""
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise CheckpointDamaged("its weights are no named tensors")
    if config.n_layer > len(weights):
        raise _no_fit(f"{config.n_layer:,} layers, and {len(weights)} tensors")
    wanted = parameter_shapes(config)
    if wrong := sorted(wanted.keys() ^ weights.keys()):
        raise _no_fit(", ".join(wrong[:3]))
    for name, shape in wanted.items():
        value = weights[name]
        if value.shape != shape:
            raise _no_fit(f"{name} is {tuple(value.shape)}, not {shape}")
        _check_numbers(name, value)
    _check_own(weights.values())


def check_state(config: ModelConfig, last: Mapping[str, Any]) -> None:
    """Raise CheckpointDamaged unless ``last`` is the state of a training of such a model."""
    plain = {name: value for name, value in last.items() if name not in ("model", "optimizer")}
    try:
        check_plain(plain)
    except ValueError as error:
        raise _no_state(str(error)) from None
    for name in ("step", "tokens", "waited", "loss_tokens"):
        if type(number := last.get(name)) is not int or number < 0:
            raise _no_state(f"{name} is no whole number")
    for name in ("seconds", "train_seconds", "loss_sum"):
        number = last.get(name)
        if not isinstance(number, (int, float)) or not math.isfinite(number):
            raise _no_state(f"{name} is no number")
    for name in ("launch", "asked", "optimizer"):
        if not isinstance(last.get(name), Mapping):
            raise _no_state(f"{name} is no table")
    check_weights(config, last.get("model"))
    _check_moments(config, last["optimizer"].get("state"))


def _check_moments(config: ModelConfig, moments: object) -> None:
    """What the optimizer remembers of each parameter; nothing before the first step."""
    shapes = parameter_shapes(config)
    shapes_in_order = [shapes[name] for group in parameter_groups(shapes) for name in group]
    if not isinstance(moments, Mapping) or (moments and {*moments} != {*range(len(shapes))}):
        raise _no_state("its optimizer is that of another model")
    for number, values in moments.items():
        if not isinstance(values, Mapping) or {*values} != _MOMENTS:
            raise _no_state("its optimizer is another one")
        for name, value in values.items():
            wanted = () if name == "step" else shapes_in_order[number]
            if not isinstance(value, Tensor) or value.shape != wanted:
                raise _no_state(f"{name} of a parameter does not fit it")
            _check_numbers(name, value)
    _check_own([value for values in moments.values() for value in values.values()])


def _check_own(tensors: Iterable[Tensor]) -> None:
    """Raise CheckpointDamaged unless each of these has numbers of its own: as views of the same
    ones a small file would describe a large model.
    """
    tensors = list(tensors)
    held = {value.untyped_storage().data_ptr(): value.untyped_storage() for value in tensors}
    if sum(value.nbytes for value in tensors) > sum(storage.nbytes() for storage in held.values()):
        raise _no_fit("some of its tensors are made of the same numbers")


def _check_numbers(name: str, value: Tensor) -> None:
    if value.dtype not in _FLOATS:
        raise _no_fit(f"{name} is made of {value.dtype}")
    if not torch.isfinite(value).all():
        raise CheckpointDamaged(f"its weights {name} hold numbers that are not finite")


def _no_fit(why: str) -> CheckpointDamaged:
    return CheckpointDamaged(f"its weights do not fit its model: {why}")


def _no_state(why: str) -> CheckpointDamaged:
    return CheckpointDamaged(f"it holds no whole state of training: {why}")
