"""The parameters of an AttnGPT by name and shape, told without building it. Light: no torch."""

from __future__ import annotations

import math

from llmattn.model.config import ModelConfig

__all__ = ["parameter_count", "parameter_shapes"]


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter, in the order of ``AttnGPT.named_parameters``."""
    width, channels = config.n_embd, len(config.channels)
    layers = (config.n_layer,) if config.per_layer else ()
    shapes: dict[str, tuple[int, ...]] = {"token_embedding.weight": (config.vocab_size, width)}
    if config.uses_positions:
        shapes["position_embedding.weight"] = (config.block_size, width)
    if config.attention == "pure":
        shapes["attention.tau"] = (1, channels)
    elif config.uses_scores:
        shapes["attention.tau"] = (*layers, config.n_head, channels)
    if config.uses_distance:
        shapes["attention.distance_bias"] = (*layers, config.n_head, config.block_size)
    parts = 3 if config.uses_query_key else 1
    for layer in range(config.n_layer):
        block = {
            "norm_1": (width,),
            "project_in": (parts * width, width),
            "project_out": (width, width),
            "norm_2": (width,),
            "mlp_in": (config.hidden_width, width),
            "mlp_out": (width, config.hidden_width),
        }
        shapes |= {f"blocks.{layer}.{name}.weight": shape for name, shape in block.items()}
    return {**shapes, "norm.weight": (width,)}


def parameter_count(config: ModelConfig) -> int:
    """How many numbers such a model learns."""
    return sum(map(math.prod, parameter_shapes(config).values()))
