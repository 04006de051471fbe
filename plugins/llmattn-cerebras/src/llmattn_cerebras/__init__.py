"""Models at Cerebras as attention providers for llmattn. Importing this imports no openai."""

from __future__ import annotations

from llmattn.plugin import ProviderRegistry, hookimpl

from llmattn_cerebras.settings import CerebrasSettings


@hookimpl
def llmattn_register_providers(registry: ProviderRegistry) -> None:
    registry.add(
        "cerebras",
        "llmattn_cerebras.provider:CerebrasProvider",
        CerebrasSettings,
        "models served by Cerebras",
        prices="llmattn_cerebras.prices:PRICES",
        chosen_when="CEREBRAS_API_KEY",
        order=10,
    )
