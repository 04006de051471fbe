"""Each vendor's library with nothing of its own will: our connections, no retries, no telemetry."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anyio.from_thread
import httpx2
from llmattn.plugin import ConfigError

from llmattn_vendors.settings import (
    AnthropicSettings,
    BedrockSettings,
    GeminiSettings,
    VertexSettings,
)
from llmattn_vendors.transport import Carrier, Transport

if TYPE_CHECKING:
    from google.genai.client import Client
    from pydantic_ai.models import Model

__all__ = ["anthropic_model", "bedrock_model", "gemini_model", "require", "vertex_model"]

_LOGGERS = ("anthropic", "google_genai", "google.auth", "boto3", "botocore", "genai-prices")


def require(library: str, extra: str) -> None:
    """Raise ConfigError if a vendor's library is not installed."""
    try:
        found = find_spec(library)
    except ModuleNotFoundError:  # of what it is a part of
        found = None
    if found is None:
        raise ConfigError(
            f"{library}, the library for this provider, is not installed: "
            f"pip install 'llmattn-vendors[{extra}]'"
        )


def anthropic_model(settings: AnthropicSettings, carrier: Carrier) -> Model[Any]:
    """Claude by Anthropic's SDK."""
    with _silent():
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

    client = AsyncAnthropic(
        api_key=settings.api_key.reveal(),
        base_url=carrier.base,
        max_retries=0,
        timeout=settings.timeout,
        open_telemetry={"traces": {"enabled": False}, "propagation": False},
        http_client=_client(carrier, settings.timeout),
    )
    return AnthropicModel(settings.model, provider=AnthropicProvider(anthropic_client=client))


def gemini_model(settings: GeminiSettings, carrier: Carrier) -> Model[Any]:
    """Gemini by Google's SDK, with a key of Google AI Studio."""
    with _silent():
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

    key = settings.api_key.reveal()
    client = _google(carrier, settings.timeout, vertexai=False, api_key=key)
    return GoogleModel(settings.model, provider=GoogleProvider(client=client))


def vertex_model(settings: VertexSettings, carrier: Carrier) -> Model[Any]:
    """Gemini by Google's SDK, on Google Cloud: with an API key, or a project's access token."""
    with _silent():
        from google.oauth2.credentials import Credentials
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

    key = settings.api_key.reveal()
    access: dict[str, Any] = {"api_key": key}
    if settings.project:
        token = Credentials(token=key)
        access = {"credentials": token, "project": settings.project, "location": settings.location}
    client = _google(carrier, settings.timeout, vertexai=True, **access)
    return GoogleModel(settings.model, provider=GoogleProvider(client=client))


def bedrock_model(settings: BedrockSettings, carrier: Carrier) -> Model[Any]:
    """Any model on Bedrock by AWS' SDK, with an API key of Bedrock."""
    with _silent():
        from botocore.awsrequest import AWSResponse
        from pydantic_ai.models.bedrock import BedrockConverseModel
        from pydantic_ai.providers.bedrock import BedrockProvider

    # botocore gives a key to HTTPS alone; where the user names another address, ours sends it.
    secure = carrier.base.replace("http://", "https://", 1)
    provider = BedrockProvider(
        api_key=settings.api_key.reveal(), base_url=secure, region_name=settings.region
    )

    def send(request: Any, **_: Any) -> Any:
        """In the place of botocore's own connections, in a thread of pydantic-ai's."""
        headers = [
            (name, value.decode("latin-1") if isinstance(value, bytes) else value)
            for name, value in request.headers.items()
        ]
        url = carrier.base + request.url.removeprefix(secure)
        answer = anyio.from_thread.run(carrier.carry, request.method, url, request.body, headers)
        response = AWSResponse(request.url, answer.status, dict(answer.headers), None)
        response._content = answer.body
        return response

    provider.client.meta.events.register_first("before-send.bedrock-runtime", send)
    return BedrockConverseModel(settings.model, provider=provider)


def _client(carrier: Carrier, timeout: float) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=Transport(carrier), timeout=timeout, follow_redirects=False, trust_env=False
    )


def _google(carrier: Carrier, timeout: float, **access: Any) -> Client:
    from google.genai.client import Client, DebugConfig
    from google.genai.types import HttpOptions

    return Client(
        http_options=HttpOptions(
            base_url=carrier.base,
            httpx_async_client=_client(carrier, timeout),
            timeout=round(1000 * timeout),
        ),
        # Else the environment could have every request written to a file.
        debug_config=DebugConfig(client_mode="", replays_directory="", replay_id=""),
        **access,
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Imports libraries that write requests to stderr if the environment says so: what is of use is
    told by our own endpoint, without keys.
    """
    root, shared = logging.getLogger(), logging.getLogger("httpx2")
    handlers, level = list(root.handlers), shared.level
    yield
    root.handlers[:] = handlers
    shared.setLevel(level)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
