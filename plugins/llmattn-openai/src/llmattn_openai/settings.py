"""Settings of the provider `openai`."""

from __future__ import annotations

from attrs import frozen, validators
from llmattn.plugin import ChatSettings, Secret, base_url, server_name, setting

__all__ = ["OpenAISettings"]


@frozen(kw_only=True)
class OpenAISettings(ChatSettings):
    """OpenAI's Responses API."""

    api_key: Secret = setting(env="OPENAI_API_KEY", harmless=True, help="key of an OpenAI account")
    base_url: str = setting(
        "https://api.openai.com/v1",
        env="OPENAI_BASE_URL",
        help="where the Responses API is served",
        validator=base_url,
    )
    server_name: str = server_name(env="OPENAI_SERVER_NAME")
    model: str = setting("gpt-5.4-mini", env="LLM_MODEL", help="name of an OpenAI model")
    reasoning_effort: str = setting(
        "none",
        help="reasoning before the reply; a model that does not take it gets the least that it has",
        validator=validators.in_(("none", "minimal", "low", "medium", "high", "xhigh")),
    )
    reasoning_tokens: int = setting(
        2048,
        harmless=True,
        help="tokens that the model may spend on reasoning before its reply",
        validator=validators.ge(0),
    )
