"""Settings of the vendors, one class each."""

from __future__ import annotations

from attrs import frozen, validators
from llmattn.plugin import ChatSettings, Secret, base_url, server_name, setting

__all__ = [
    "AnthropicSettings",
    "BedrockSettings",
    "GeminiSettings",
    "MistralSettings",
    "VendorSettings",
    "VertexSettings",
]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")


def _address(default: str, env: str) -> str:
    url: str = setting(
        default, env=env, help="where the vendor's API is served", validator=base_url
    )
    return url


def _model(examples: str) -> str:
    name: str = setting(env="LLM_MODEL", help=f"name of a model, such as {examples}")
    return name


def _region(default: str, env: str, help: str) -> str:
    name: str = setting(
        default, env=env, harmless=True, help=help, validator=validators.matches_re("[a-z0-9-]+")
    )
    return name


@frozen(kw_only=True)
class VendorSettings(ChatSettings):
    """What can be set for a model of any vendor."""

    api_key: Secret
    base_url: str
    server_name: str = server_name()
    reasoning_effort: str = setting(
        "none",
        help="reasoning before the reply; a model that does not take it gets the least that it has",
        validator=validators.in_(EFFORTS),
    )
    reasoning_tokens: int = setting(
        2048,
        harmless=True,
        help="tokens that the model may spend on reasoning before its reply",
        validator=validators.ge(0),
    )

    @property
    def address(self) -> str:
        """Where requests go."""
        return self.base_url


@frozen(kw_only=True)
class AnthropicSettings(VendorSettings):
    """Anthropic's Messages API."""

    api_key: Secret = setting(
        env="ANTHROPIC_API_KEY", harmless=True, help="key of an Anthropic account"
    )
    base_url: str = _address("https://api.anthropic.com", "ANTHROPIC_BASE_URL")
    model: str = _model("claude-haiku-4-5")


@frozen(kw_only=True)
class GeminiSettings(VendorSettings):
    """Google's Gemini API."""

    api_key: Secret = setting(env="GEMINI_API_KEY", harmless=True, help="key of Google AI Studio")
    base_url: str = _address("https://generativelanguage.googleapis.com", "GOOGLE_GEMINI_BASE_URL")
    model: str = _model("gemini-2.5-flash")


_VERTEX = "https://aiplatform.googleapis.com"


@frozen(kw_only=True)
class VertexSettings(VendorSettings):
    """Google Cloud (Vertex AI)."""

    api_key: Secret = setting(
        env="VERTEX_API_KEY",
        harmless=True,
        help="an API key of Google Cloud or, with a project, an access token: what "
        "`gcloud auth print-access-token` says",
    )
    project: str = setting(
        "",
        env="VERTEX_PROJECT",
        harmless=True,
        help="the project that is billed, for an access token; empty: api_key is an API key",
    )
    location: str = _region("global", "VERTEX_LOCATION", "the region of a project's requests")
    base_url: str = _address(_VERTEX, "GOOGLE_VERTEX_BASE_URL")
    model: str = _model("gemini-2.5-flash")

    @property
    def address(self) -> str:
        if self.base_url != _VERTEX or not self.project or self.location == "global":
            return self.base_url
        return _VERTEX.replace("aiplatform", f"{self.location}-aiplatform")


@frozen(kw_only=True)
class MistralSettings(VendorSettings):
    """Mistral AI."""

    api_key: Secret = setting(
        env="MISTRAL_API_KEY", harmless=True, help="key of a Mistral AI account"
    )
    base_url: str = _address("https://api.mistral.ai/v1", "MISTRAL_BASE_URL")
    model: str = _model("mistral-small-latest")
    reasoning_effort: str = setting(
        "", help="sent to the server as reasoning_effort; empty: not sent"
    )


_BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com"


@frozen(kw_only=True)
class BedrockSettings(VendorSettings):
    """Amazon Bedrock."""

    api_key: Secret = setting(
        env="AWS_BEARER_TOKEN_BEDROCK", harmless=True, help="an API key of Amazon Bedrock"
    )
    region: str = _region("us-east-1", "AWS_REGION", "the region that is asked")
    base_url: str = _address(_BEDROCK, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
    model: str = _model("us.anthropic.claude-haiku-4-5-20251001-v1:0")

    @property
    def address(self) -> str:
        if self.base_url != _BEDROCK:
            return self.base_url
        return _BEDROCK.replace("us-east-1", self.region)
