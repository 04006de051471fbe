"""Any OpenAI-compatible server as attention provider. Importing this imports no openai."""

from __future__ import annotations

from llmattn.plugin import ProviderRegistry, hookimpl

from llmattn_custom.settings import CustomSettings


@hookimpl
def llmattn_register_providers(registry: ProviderRegistry) -> None:
    registry.add(
        "custom",
        "llmattn_custom.provider:CustomProvider",
        CustomSettings,
        "any OpenAI-compatible server (llama.cpp, vLLM, Ollama, ...)",
        chosen_when=("CUSTOM_BASE_URL", "LLM_MODEL"),
        order=30,
    )
