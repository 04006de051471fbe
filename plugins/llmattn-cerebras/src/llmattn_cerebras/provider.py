"""The provider `cerebras`: chat completions with a strict JSON schema."""

from __future__ import annotations

from typing import ClassVar

from llmattn_openai.compatible import ChatCompletionsProvider
from llmattn_openai.form import Form

from llmattn_cerebras.settings import CerebrasSettings

__all__ = ["CerebrasProvider"]


class CerebrasProvider(ChatCompletionsProvider):
    """Asks Cerebras."""

    name: ClassVar[str] = "cerebras"

    def __init__(self, settings: CerebrasSettings) -> None:
        super().__init__(
            settings,
            base_url=settings.base_url,
            api_key=settings.api_key,
            key_variable="CEREBRAS_API_KEY",
            first_form=Form(
                format="json_schema",
                limit_name="max_completion_tokens",
                effort=settings.reasoning_effort,
            ),
        )
