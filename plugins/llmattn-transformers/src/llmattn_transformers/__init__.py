"""A local language model as attention provider for llmattn. Importing this imports no torch."""

from __future__ import annotations

from llmattn.plugin import ProviderRegistry, hookimpl

from llmattn_transformers.at_hand import why_at_hand
from llmattn_transformers.settings import TransformersSettings


@hookimpl
def llmattn_register_providers(registry: ProviderRegistry) -> None:
    registry.add(
        "transformers",
        "llmattn_transformers.provider:TransformersProvider",
        TransformersSettings,
        "attention maps of a language model on this machine (offline, in context)",
        chosen_when=why_at_hand,
        order=90,  # what has a key was set up on purpose
    )
