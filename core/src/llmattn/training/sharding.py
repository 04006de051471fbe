"""A model split among the processes of a team (torch's FSDP2), and its state as one process has it.

Of a model that is not split the functions do what one process needs; what splitting takes of torch
is loaded when it is used. Where a function speaks of a split model, the whole team must call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from llmattn.errors import CheckpointDamaged
from llmattn.model.attn_gpt import AttnGPT
from llmattn.training.checkpoint import load_weights
from llmattn.training.distributed import Team

__all__ = [
    "load_optimizer_state",
    "load_whole_weights",
    "optimizer_state",
    "place",
    "whole_weights",
]


def place(model: AttnGPT, device: torch.device, team: Team) -> AttnGPT:
    """``model``, which is on the CPU, on ``device``; of a team that splits it, this process's part.

    The blocks are gathered one by one when they are due. What lies outside of them, the head above
    all, which is the token embedding, is gathered from the beginning of a pass to its end.
    """
    if not team.sharded:
        return model.to(device)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (team.world,))
    for module in (*model.blocks, model):
        fully_shard(module, mesh=mesh)
    return model


def whole_weights(model: AttnGPT, team: Team) -> dict[str, Tensor]:
    """The weights on the CPU, safe from later steps; of a split model the first process gets them,
    and the others nothing.
    """
    if not team.sharded:
        return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    return _gathered(model.state_dict(), team)


def load_whole_weights(model: AttnGPT, weights: Mapping[str, Tensor], team: Team) -> None:
    """Put weights into a model; into a split one those that the first process has.

    Raises CheckpointDamaged if they do not fit it.
    """
    if not team.sharded:
        load_weights(model, weights)
        return
    own = model.state_dict()
    if team.is_first and weights.keys() != own.keys():
        wrong = ", ".join(sorted(weights.keys() ^ own.keys()))
        raise CheckpointDamaged(f"The checkpoint's weights do not fit its model: {wrong}.")
    for name, value in own.items():
        value.copy_(_part(weights.get(name), value, team))


def optimizer_state(optimizer: torch.optim.Optimizer, team: Team) -> dict[str, Any]:
    """What it remembers of each parameter, under ``state``; its settings follow from those of the
    training. Of a split model as :func:`whole_weights`.
    """
    found = optimizer.state_dict()["state"]
    if team.sharded:
        found = {number: _gathered(values, team) for number, values in found.items()}
    return {"state": found}


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, state: Mapping[str, Any], team: Team
) -> None:
    """Undo :func:`optimizer_state`; of a split model with what the first process has.

    Raises CheckpointDamaged, KeyError or ValueError if it does not fit.
    """
    if not team.sharded:
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state["state"]})
        return
    outline = team.from_first(lambda: {"state": _counters(state["state"])})
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, counters in outline["state"].items():
        for name, value in counters.items():
            if value is None:
                given = state["state"][number][name] if team.is_first else None
                counters[name] = _part(given, parameters[number], team)
    optimizer.load_state_dict({**optimizer.state_dict(), **outline})


def _counters(state: Mapping[int, Mapping[str, Tensor]]) -> dict[int, dict[str, Tensor | None]]:
    """An optimizer's state, with None for what is as large as its parameter."""
    return {
        number: {name: None if value.dim() else value for name, value in values.items()}
        for number, values in state.items()
    }


def _gathered(values: Mapping[str, Any], team: Team) -> dict[str, Tensor]:
    """On the CPU of the first process; at most one tensor at a time is whole on the device."""
    from torch.distributed.tensor import DTensor

    found = {}
    for name, value in values.items():
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        if team.is_first:
            found[name] = whole.detach().cpu().clone()
    return found


def _part(whole: Tensor | None, like: Any, team: Team) -> Tensor:
    """This process's part of what the first one has whole, split as ``like`` is."""
    from torch.distributed.tensor import distribute_tensor

    if not team.is_first:
        whole = torch.empty(like.shape, dtype=like.dtype, device=like.device)
    elif whole is None or whole.shape != like.shape:
        raise CheckpointDamaged("The checkpoint's weights do not fit its model.")
    return distribute_tensor(whole.to(like.device, like.dtype), like.device_mesh, like.placements)
