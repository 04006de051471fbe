"""What is told of a model without building it."""

from __future__ import annotations

import pytest
from llmattn.model.attn_gpt import AttnGPT
from llmattn.model.shapes import parameter_count, parameter_shapes
from support_engine import VARIANTS, small_config


@pytest.mark.parametrize(("attention", "distance_bias"), VARIANTS)
@pytest.mark.parametrize("changes", [{}, {"per_layer": True}, {"mlp_width": 24}])
def test_shapes_are_those_of_the_model(
    attention: str, distance_bias: bool, changes: dict[str, int | bool]
) -> None:
    if "per_layer" in changes and attention not in ("external", "hybrid", "position"):
        changes = {}
    config = small_config(attention, distance_bias, **changes)
    model = AttnGPT(config)
    found = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert parameter_shapes(config) == found
    assert list(parameter_shapes(config)) == list(found)
    assert found.keys() == model.state_dict().keys()
    assert parameter_count(config) == model.parameter_count()
