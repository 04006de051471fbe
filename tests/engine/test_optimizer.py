"""The optimizer: torch's AdamW, without the wait for torch's compiler."""

from __future__ import annotations

from pathlib import Path

import torch
from llmattn.model.attn_gpt import AttnGPT
from llmattn.training.config import TrainConfig
from llmattn.training.optimizer import build_optimizer
from support_cli import run_process
from support_engine import small_config

STEPS = """
import sys, torch
from llmattn.training.optimizer import AdamW
weight = torch.nn.Parameter(torch.ones(3))
optimizer = AdamW([weight], lr=0.1)
for _ in range(2):
    optimizer.zero_grad()
    weight.square().sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_a_step_does_not_load_the_compiler(tmp_path: Path) -> None:
    result = run_process(tmp_path, program=("-c", STEPS))
    assert result.stdout.strip() == "False", result.stderr


def test_steps_are_those_of_torchs_own() -> None:
    model = AttnGPT(small_config("external"))
    ours = build_optimizer(model, TrainConfig())
    twin = AttnGPT(small_config("external"))
    twin.load_state_dict(model.state_dict())
    named = dict(twin.named_parameters())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    theirs = torch.optim.AdamW(
        [
            {**group, "params": [named[names[id(p)]] for p in group["params"]]}
            for group in ours.param_groups
        ]
    )
    for seed in range(3):
        for each, optimizer in ((model, ours), (twin, theirs)):
            torch.manual_seed(seed)
            for parameter in each.parameters():
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
            optimizer.zero_grad()
    for mine, own in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, own)
