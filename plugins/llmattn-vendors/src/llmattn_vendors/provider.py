"""The providers: what a vendor's library made of an answer, as a completion."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import evolve
from llmattn.plugin import Cause, ChatProvider, Completion, Limits, Prompt, Usage, bad_reply
from llmattn_openai.compatible import ChatCompletionsProvider
from llmattn_openai.form import Form

from llmattn_vendors import libraries
from llmattn_vendors.endpoint import Asked, VendorEndpoint
from llmattn_vendors.settings import (
    AnthropicSettings,
    BedrockSettings,
    GeminiSettings,
    MistralSettings,
    VendorSettings,
    VertexSettings,
)
from llmattn_vendors.transport import Carrier

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model

__all__ = [
    "AnthropicProvider",
    "BedrockProvider",
    "GeminiProvider",
    "MistralProvider",
    "VendorProvider",
    "VertexProvider",
]

_MOST_TOKENS = 1e8  # no request of ours is billed more; a larger number is none
_REFUSED = ("refusal", "guardrail_intervened", "prohibited_content")


class VendorProvider(ChatProvider):
    """Asks a vendor through its library."""

    key_variable: ClassVar[str]
    library: ClassVar[tuple[str, str]]
    """The module that has to be there, and the extra that brings it."""
    settings: VendorSettings

    def __init__(self, settings: VendorSettings) -> None:
        super().__init__(settings)
        libraries.require(*self.library)
        self.endpoint = VendorEndpoint(
            self.name,
            settings,
            key_variable=self.key_variable,
            access=self.access(settings.api_key.reveal()),
            build=self.build,
        )

    @abc.abstractmethod
    def build(self, carrier: Carrier) -> Model[Any]:
        """The model as the library has it, which sends by ``carrier``."""

    def access(self, key: str) -> Mapping[str, str]:
        """The headers by which the vendor knows who asks."""
        return {"authorization": f"Bearer {key}"}

    @property
    def limits(self) -> Limits:
        """As set, less what the model's context does not hold."""
        from llmattn_vendors import prices

        limits = super().limits
        models: prices.Models = getattr(prices, self.name.upper())
        context = models.context(self.settings.model)
        if context is None:
            return limits
        tokens = 4 + 2 * len(self.channels)  # a pair's, at most, as words have them
        most = (context - len(self._system) // 3 - self._reasoning_tokens) // tokens
        return evolve(limits, pairs_per_request=max(1, min(limits.pairs_per_request, most)))

    async def complete(self, prompt: Prompt) -> Completion:
        return self._completion(await self.endpoint.ask_model(prompt))

    def ask_plainer(self) -> bool:
        return self.endpoint.agreement.plainer()

    def keep_form(self) -> None:
        self.endpoint.useful()

    async def aclose(self) -> None:
        await self.endpoint.aclose()

    def _completion(self, asked: Asked) -> Completion:
        response, requests = asked.response, asked.answered.requests
        if response is None:
            said = str(asked.answered.data)
            raise bad_reply(self.name, Cause.NO_REPLY, said, usage=Usage(requests))
        model = response.model_name
        return Completion(
            _texts(response, "text"),
            _usage(response, requests),
            model[:200] if isinstance(model, str) else None,
            _finish(response),
            asked.answered.rate,
            _texts(response, "thinking"),
        )


def _texts(response: ModelResponse, kind: str) -> str:
    contents = [getattr(p, "content", "") for p in response.parts if p.part_kind == kind]
    return "".join(text for text in contents if isinstance(text, str))


def _finish(response: ModelResponse) -> str:
    details = response.provider_details or {}
    if str(details.get("finish_reason")).lower() in _REFUSED:
        return "refusal"
    if any(part.part_kind == "tool-call" for part in response.parts):
        return "tool_calls"
    return response.finish_reason or "stop"


def _usage(response: ModelResponse, requests: int) -> Usage:
    """Without tokens, so that the estimate is taken, unless both are numbers that can be meant."""
    counts = (response.usage.input_tokens, response.usage.output_tokens)
    if not all(type(count) is int and 0 <= count <= _MOST_TOKENS for count in counts):
        return Usage(requests)
    return Usage(requests, *counts) if any(counts) else Usage(requests)


class AnthropicProvider(VendorProvider):
    """Claude, from Anthropic."""

    name = "anthropic"
    key_variable = "ANTHROPIC_API_KEY"
    library = ("anthropic", "anthropic")
    settings: AnthropicSettings

    def build(self, carrier: Carrier) -> Model[Any]:
        return libraries.anthropic_model(self.settings, carrier)

    def access(self, key: str) -> Mapping[str, str]:
        return {"x-api-key": key}


class GeminiProvider(VendorProvider):
    """Gemini, from Google AI Studio."""

    name = "gemini"
    key_variable = "GEMINI_API_KEY"
    library = ("google.genai", "google")
    settings: GeminiSettings

    def build(self, carrier: Carrier) -> Model[Any]:
        return libraries.gemini_model(self.settings, carrier)

    def access(self, key: str) -> Mapping[str, str]:
        return {"x-goog-api-key": key}


class VertexProvider(VendorProvider):
    """Gemini, from Google Cloud."""

    name = "vertex"
    key_variable = "VERTEX_API_KEY"
    library = ("google.genai", "google")
    settings: VertexSettings

    def build(self, carrier: Carrier) -> Model[Any]:
        return libraries.vertex_model(self.settings, carrier)

    def access(self, key: str) -> Mapping[str, str]:
        return super().access(key) if self.settings.project else {"x-goog-api-key": key}


class BedrockProvider(VendorProvider):
    """Any model on Amazon Bedrock."""

    name = "bedrock"
    key_variable = "AWS_BEARER_TOKEN_BEDROCK"
    library = ("boto3", "bedrock")
    settings: BedrockSettings

    def build(self, carrier: Carrier) -> Model[Any]:
        return libraries.bedrock_model(self.settings, carrier)


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
            first_form=Form("json_schema", "max_tokens", effort=settings.reasoning_effort or None),
        )
