"""Settings of the provider `custom`."""

from __future__ import annotations

from attrs import frozen
from llmattn.plugin import ChatSettings, Secret, base_url, server_name, setting

__all__ = ["CustomSettings"]


@frozen(kw_only=True)
class CustomSettings(ChatSettings):
    """Chat completions of any OpenAI-compatible server."""

    base_url: str = setting(
        env="CUSTOM_BASE_URL",
        help="where the server is, such as http://127.0.0.1:8080/v1",
        validator=base_url,
    )
    server_name: str = server_name(env="CUSTOM_SERVER_NAME")
    api_key: Secret | None = setting(
        None, env="CUSTOM_API_KEY", harmless=True, help="key, if the server wants one"
    )
    model: str = setting(
        env="LLM_MODEL", help="name of a model that the server has; GET /models there lists them"
    )
    reasoning_effort: str = setting(
        "", help="sent to the server as reasoning_effort; empty: not sent"
    )
