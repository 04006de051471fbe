"""The provider `custom`: chat completions of any server, as strict a format as it takes."""

from __future__ import annotations

from ipaddress import ip_address
from typing import ClassVar
from urllib.parse import urlsplit

from llmattn_openai.compatible import OPENAI_HEADERS, ChatCompletionsProvider
from llmattn_openai.form import EXACT, Form
from llmattn_openai.vectors import EmbeddingsProvider

from llmattn_custom.settings import CustomSettings

__all__ = ["CustomProvider", "CustomVectors"]


class CustomProvider(ChatCompletionsProvider):
    """Asks any OpenAI-compatible server.

    First with a schema that fixes the number of scores: a small local model then answers in
    shape, since the server turns the schema into a grammar.
    """

    name: ClassVar[str] = "custom"

    def __init__(self, settings: CustomSettings) -> None:
        super().__init__(
            settings,
            base_url=settings.base_url,
            api_key=settings.api_key,
            key_variable="CUSTOM_API_KEY",
            first_form=Form(
                format=EXACT,
                limit_name="max_tokens",
                effort=settings.reasoning_effort or None,
            ),
        )
        self.on_this_machine = _is_loopback(urlsplit(settings.base_url).hostname or "")


class CustomVectors(EmbeddingsProvider):
    """Word vectors of any server that has ``/embeddings``."""

    def __init__(self, settings: CustomSettings) -> None:
        super().__init__(
            "custom",
            settings,
            api_key=settings.api_key,
            key_variable="CUSTOM_API_KEY",
            headers=OPENAI_HEADERS,
        )
        self.on_this_machine = _is_loopback(urlsplit(settings.base_url).hostname or "")


def _is_loopback(host: str) -> bool:
    """Whether a host's name or number always stands for this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
