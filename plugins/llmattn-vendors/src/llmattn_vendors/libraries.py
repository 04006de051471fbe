"""Each vendor's library with nothing of its own will: our connections, no retries, no telemetry."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import anyio.from_thread
import httpx2
from llmattn.plugin import ConfigError
from pydantic_ai.models import Model

from llmattn_vendors.settings import (
    AnthropicSettings,
    BedrockSettings,
    GeminiSettings,
    VendorSettings,
    VertexSettings,
)
from llmattn_vendors.transport import Sender, Transport, carry

__all__ = ["anthropic_model", "bedrock_model", "gemini_model", "vertex_model"]

V = TypeVar("V", bound=VendorSettings)
Build = Callable[[V, Sender, str], Model[Any]]


def _library(extra: str) -> Callable[[Build[V]], Build[V]]:
    """Marks what builds a model with a library that is installed as an extra of ours."""

    def decorate(build: Build[V]) -> Build[V]:
        def guarded(settings: V, sender: Sender, base: str) -> Model[Any]:
            try:
                model = build(settings, sender, base)
            except ImportError as error:
                raise ConfigError(
                    f"The vendor's library is not installed ({error.name or error}): "
                    f"pip install 'llmattn-vendors[{extra}]'"
                ) from error
            _silence()
            return model

        return guarded

    return decorate


@_library("anthropic")
def anthropic_model(settings: AnthropicSettings, sender: Sender, base: str) -> Model[Any]:
    """Claude by Anthropic's SDK."""
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = AsyncAnthropic(
        api_key=settings.api_key.reveal(),
        base_url=base,
        max_retries=0,
        open_telemetry={"traces": {"enabled": False}, "propagation": False},
        http_client=_client(settings, sender, base),
    )
    return AnthropicModel(settings.model, provider=AnthropicProvider(anthropic_client=client))


@_library("google")
def gemini_model(settings: GeminiSettings, sender: Sender, base: str) -> Model[Any]:
    """Gemini by Google's SDK, with a key of Google AI Studio."""
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    key = settings.api_key.reveal()
    client = _google(settings, sender, base, vertexai=False, api_key=key)
    return GoogleModel(settings.model, provider=GoogleProvider(client=client))


@_library("google")
def vertex_model(settings: VertexSettings, sender: Sender, base: str) -> Model[Any]:
    """Gemini by Google's SDK, on Google Cloud: with an API key, or a project's access token."""
    from google.oauth2.credentials import Credentials
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google_cloud import GoogleCloudProvider

    key = settings.api_key.reveal()
    access: dict[str, Any] = {"api_key": key}
    if settings.project:
        access = {
            "credentials": Credentials(token=key),  # type: ignore[no-untyped-call]
            "project": settings.project,
            "location": settings.location,
        }
    client = _google(settings, sender, base, vertexai=True, **access)
    return GoogleModel(settings.model, provider=GoogleCloudProvider(client=client))


@_library("bedrock")
def bedrock_model(settings: BedrockSettings, sender: Sender, base: str) -> Model[Any]:
    """Any model on Bedrock by AWS' SDK, with an API key of Bedrock."""
    from botocore.awsrequest import AWSResponse
    from pydantic_ai.models.bedrock import BedrockConverseModel
    from pydantic_ai.providers.bedrock import BedrockProvider

    key = settings.api_key.reveal()
    provider = BedrockProvider(api_key=key, base_url=base, region_name=settings.region)

    def send(request: Any, **_: Any) -> AWSResponse:
        """In the place of botocore's own connections, in a thread of pydantic-ai's."""
        headers = [(name, _text(value)) for name, value in request.headers.items()]
        answer = anyio.from_thread.run(
            lambda: carry(sender, base, key, request.method, request.url, request.body, headers)
        )
        response = AWSResponse(request.url, answer.status, dict(answer.headers), None)
        response._content = answer.body
        return response

    provider.client.meta.events.register_first("before-send.bedrock-runtime", send)
    return BedrockConverseModel(settings.model, provider=provider)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _client(settings: VendorSettings, sender: Sender, base: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=Transport(sender, base, settings.api_key.reveal()),
        timeout=settings.timeout,
        follow_redirects=False,
        trust_env=False,
    )


def _google(settings: VendorSettings, sender: Sender, base: str, **access: Any) -> Any:
    from google.genai.client import Client, DebugConfig
    from google.genai.types import HttpOptions

    return Client(
        http_options=HttpOptions(
            base_url=base,
            httpx_async_client=_client(settings, sender, base),
            timeout=round(1000 * settings.timeout),
        ),
        # Else the environment could have every request written to a file.
        debug_config=DebugConfig(client_mode="", replays_directory="", replay_id=""),
        **access,
    )


_LOGGERS = ("anthropic", "google_genai", "google.auth", "boto3", "botocore", "genai-prices")


def _silence() -> None:
    """The libraries log requests if the environment says so; what is of use is told by ours."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
