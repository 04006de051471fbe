"""The providers: what a vendor's library made of an answer, as a completion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from attrs import evolve
from llmattn.plugin import (
    Cause,
    ChatProvider,
    Completion,
    Limits,
    Prompt,
    Usage,
    bad_reply,
)
from llmattn_openai.compatible import ChatCompletionsProvider
from llmattn_openai.form import Form
from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from llmattn_vendors import libraries, prices
from llmattn_vendors.endpoint import Asked, VendorEndpoint, first_form
from llmattn_vendors.prices import Models
from llmattn_vendors.settings import MistralSettings, VendorSettings
from llmattn_vendors.transport import Sender

__all__ = [
    "AnthropicProvider",
    "BedrockProvider",
    "GeminiProvider",
    "MistralProvider",
    "VendorProvider",
    "VertexProvider",
]

_MOST_TOKENS = 1e8  # no request of ours is billed more; a larger number is none
_REFUSED = ("refusal", "guardrail_intervened")


class VendorProvider(ChatProvider):
    """Asks a vendor through its library."""

    key_variable: ClassVar[str]
    models: ClassVar[Models]
    build: ClassVar[Callable[[Any, Sender, str], Model[Any]]]
    settings: VendorSettings

    def __init__(self, settings: VendorSettings) -> None:
        super().__init__(settings)
        self.endpoint = VendorEndpoint(
            self.name,
            settings.address,
            model=settings.model,
            api_key=settings.api_key,
            key_variable=self.key_variable,
            timeout=settings.timeout,
            form=Form("text", "max_tokens"),
        )
        model = type(self).build(settings, self.endpoint, self.endpoint.base)
        self.endpoint.model_of_library = model
        self.endpoint.agreement.form = first_form(model, settings.reasoning_effort)
        self._context = self.models.context(settings.model)

    @property
    def limits(self) -> Limits:
        """As set, less what the model's context does not hold."""
        limits = super().limits
        if self._context is None:
            return limits
        tokens = 4 + 2 * len(self.channels)  # a pair's, at most, as words have them
        most = (self._context - len(self._system) // 3 - self._reasoning_tokens) // tokens
        return evolve(limits, pairs_per_request=max(1, min(limits.pairs_per_request, most)))

    async def complete(self, prompt: Prompt) -> Completion:
        given = ModelSettings(temperature=self.settings.temperature, timeout=self.settings.timeout)
        return self._completion(await self.endpoint.ask_library(prompt, given))

    def ask_plainer(self) -> bool:
        return self.endpoint.agreement.plainer()

    def keep_form(self) -> None:
        self.endpoint.useful()

    async def aclose(self) -> None:
        await self.endpoint.aclose()

    def _completion(self, asked: Asked) -> Completion:
        response, requests = asked.response, asked.answered.requests
        if response is None:
            raise bad_reply(
                self.name, Cause.NO_REPLY, str(asked.answered.data), usage=Usage(requests)
            )
        return Completion(
            _texts(response, TextPart),
            _usage(response, requests),
            (response.model_name or None) and str(response.model_name)[:200],
            _finish(response),
            asked.answered.rate,
            _texts(response, ThinkingPart),
        )


def _texts(response: ModelResponse, kind: type[TextPart] | type[ThinkingPart]) -> str:
    return "".join(
        part.content
        for part in response.parts
        if isinstance(part, kind) and isinstance(part.content, str)
    )


def _finish(response: ModelResponse) -> str:
    details = response.provider_details or {}
    if str(details.get("finish_reason")).lower() in _REFUSED:
        return "refusal"
    if any(isinstance(part, ToolCallPart) for part in response.parts):
        return "tool_calls"
    return response.finish_reason or "stop"


def _usage(response: ModelResponse, requests: int) -> Usage:
    """Without tokens, so that the estimate is taken, unless both are numbers that can be meant."""
    counts = (response.usage.input_tokens, response.usage.output_tokens)
    if not all(type(count) is int and 0 <= count <= _MOST_TOKENS for count in counts):
        return Usage(requests)
    return Usage(requests, *counts)


class AnthropicProvider(VendorProvider):
    """Claude, from Anthropic."""

    name = "anthropic"
    key_variable = "ANTHROPIC_API_KEY"
    models = prices.ANTHROPIC
    build = staticmethod(libraries.anthropic_model)


class GeminiProvider(VendorProvider):
    """Gemini, from Google AI Studio."""

    name = "gemini"
    key_variable = "GEMINI_API_KEY"
    models = prices.GEMINI
    build = staticmethod(libraries.gemini_model)


class VertexProvider(VendorProvider):
    """Gemini, from Google Cloud."""

    name = "vertex"
    key_variable = "VERTEX_API_KEY"
    models = prices.VERTEX
    build = staticmethod(libraries.vertex_model)


class BedrockProvider(VendorProvider):
    """Any model on Amazon Bedrock."""

    name = "bedrock"
    key_variable = "AWS_BEARER_TOKEN_BEDROCK"
    models = prices.BEDROCK
    build = staticmethod(libraries.bedrock_model)


class MistralProvider(ChatCompletionsProvider):
    """Models of Mistral AI, whose API is OpenAI's: no library is needed, and its own could send
    what it was asked to a second address.
    """

    name: ClassVar[str] = "mistral"

    def __init__(self, settings: MistralSettings) -> None:
        super().__init__(
            settings,
            base_url=settings.base_url,
            api_key=settings.api_key,
            key_variable="MISTRAL_API_KEY",
            first_form=Form("json_schema", "max_tokens"),
        )
