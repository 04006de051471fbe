"""Settings of the provider `cerebras`."""

from __future__ import annotations

from attrs import frozen, validators
from llmattn.plugin import ChatSettings, Secret, base_url, setting

__all__ = ["CerebrasSettings"]


@frozen(kw_only=True)
class CerebrasSettings(ChatSettings):
    """Cerebras' chat completions."""

    api_key: Secret = setting(
        env="CEREBRAS_API_KEY", harmless=True, help="key of a Cerebras account"
    )
    base_url: str = setting(
        "https://api.cerebras.ai/v1",
        env="CEREBRAS_BASE_URL",
        help="where Cerebras' API is served",
        validator=base_url,
    )
    model: str = setting("gpt-oss-120b", env="LLM_MODEL", help="name of a model at Cerebras")
    reasoning_effort: str = setting(
        "low",
        help="reasoning before the reply, where the model reasons (low, medium, high, none)",
        validator=validators.in_(("none", "low", "medium", "high")),
    )
    reasoning_tokens: int = setting(
        4096,
        harmless=True,
        help="tokens that the model may spend on reasoning before its reply",
        validator=validators.ge(0),
    )
