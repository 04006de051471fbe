"""OpenAI models as attention providers for llmattn. Importing this imports no openai."""

from __future__ import annotations

from llmattn.plugin import ProviderRegistry, hookimpl

from llmattn_openai.settings import OpenAISettings


@hookimpl
def llmattn_register_providers(registry: ProviderRegistry) -> None:
    registry.add(
        "openai",
        "llmattn_openai.provider:OpenAIProvider",
        OpenAISettings,
        "models of OpenAI, through the Responses API",
        prices="llmattn_openai.prices:PRICES",
        chosen_when="OPENAI_API_KEY",
        order=20,
    )
