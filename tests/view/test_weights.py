"""The weights that are shown are those with which the model mixes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from llmattn.model.config import ATTENTION
from llmattn.view.weights import layer_weights, shown_layers
from support_engine import VARIANTS, full_table, lively_model, small_config
from torch import Tensor, nn

IDS = torch.randint(0, 12, (3, 9), generator=torch.Generator().manual_seed(1))


def scores_for(attention: str) -> Tensor | None:
    return full_table().gather(IDS) if ATTENTION[attention].scores else None


@pytest.mark.parametrize(("attention", "distance_bias"), VARIANTS)
def test_rows_sum_to_1_and_nothing_looks_ahead(attention: str, distance_bias: bool) -> None:
    model = lively_model(small_config(attention, distance_bias))
    found = list(layer_weights(model, IDS, scores_for(attention)))
    assert len(found) == shown_layers(model.config)
    for weights in found:
        assert weights.shape == (3, 2, 9, 9)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 9))
        assert not weights.triu(1).any()


@pytest.mark.parametrize(("attention", "distance_bias"), VARIANTS)
def test_the_model_mixes_with_these_weights(attention: str, distance_bias: bool) -> None:
    model = lively_model(small_config(attention, distance_bias, n_layer=1))
    (weights,) = layer_weights(model, IDS, scores_for(attention))
    mixed: list[Tensor] = []
    block = model.blocks[0]

    def part(name: str) -> nn.Module:
        return block.get_submodule(name)

    part("project_out").register_forward_hook(lambda _m, given, _r: mixed.append(given[0]))
    with torch.no_grad():
        model.hidden(IDS, scores_for(attention))
        x = model.token_embedding(IDS)
        if model.config.uses_positions:
            x = x + model.position_embedding(torch.arange(9))
        values = part("project_in")(part("norm_1")(x))[..., : model.config.n_embd]
        heads = values.view(3, 9, 2, -1).transpose(1, 2)
        expected = (weights @ heads).transpose(1, 2).flatten(2)
    torch.testing.assert_close(mixed[0], expected)


def test_layers_of_their_own_are_shown_one_by_one() -> None:
    model = lively_model(small_config("external", per_layer=True))
    first, second = layer_weights(model, IDS, scores_for("external"))
    assert not torch.allclose(first, second)
    assert F.relu(first).equal(first)
