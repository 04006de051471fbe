"""Models of vendors with an API of their own, as attention providers for llmattn.

Importing this imports no vendor's library.
"""

from __future__ import annotations

from llmattn.plugin import ProviderRegistry, hookimpl

from llmattn_vendors import settings

_VENDORS = {
    "anthropic": (settings.AnthropicSettings, "Claude models, through Anthropic's Messages API"),
    "gemini": (settings.GeminiSettings, "Gemini models, through Google's Gemini API"),
    "vertex": (settings.VertexSettings, "models on Google Cloud (Vertex AI)"),
    "mistral": (settings.MistralSettings, "models of Mistral AI"),
    "bedrock": (settings.BedrockSettings, "models on Amazon Bedrock, through its Converse API"),
}


@hookimpl
def llmattn_register_providers(registry: ProviderRegistry) -> None:
    for name, (settings_class, about) in _VENDORS.items():
        registry.add(
            name,
            f"llmattn_vendors.provider:{name.capitalize()}Provider",
            settings_class,
            about,
            prices=f"llmattn_vendors.prices:{name.upper()}",
        )
