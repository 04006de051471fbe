"""The protocols of other vendors than OpenAI, as their servers speak them: answers and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from attrs import frozen
from llmattn.plugins import load_plugins
from llmattn.settings import resolve
from llmattn.testing import ChatShape
from llmattn.testing.api import RequestLog, ServerOptions, answer
from support_trust import Seen

__all__ = ["KEY", "VENDORS", "Answer", "Vendor", "make_vendor"]

KEY = "sk-planted-vendor-key-5417"

Answer = tuple[int, dict[str, str], bytes]


def _parts(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _anthropic_texts(body: Mapping[str, Any]) -> tuple[str, str]:
    return _parts(body.get("system", "")), _parts(body["messages"][-1]["content"])


def _anthropic_reply(model: str, text: str, finish: str, used: Mapping[str, int]) -> Any:
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": {"stop": "end_turn", "length": "max_tokens"}.get(finish, "refusal"),
        "stop_sequence": None,
        "usage": {"input_tokens": used["prompt"], "output_tokens": used["completion"]},
    }


def _anthropic_error(status: int, kind: str, message: str, headers: dict[str, str]) -> Answer:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_01"}
    return status, {"content-type": "application/json", **headers}, json.dumps(body).encode()


def _gemini_texts(body: Mapping[str, Any]) -> tuple[str, str]:
    system = body.get("systemInstruction", {"parts": []})
    return _parts(system["parts"]), _parts(body["contents"][-1]["parts"])


def _gemini_reply(model: str, text: str, finish: str, used: Mapping[str, int]) -> Any:
    reasons = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
    content = {"role": "model", "parts": [{"text": text}] if text else []}
    return {
        "candidates": [
            {"content": content, "finishReason": reasons.get(finish, "PROHIBITED_CONTENT")}
        ],
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": {
            "promptTokenCount": used["prompt"],
            "candidatesTokenCount": used["completion"],
            "totalTokenCount": used["prompt"] + used["completion"],
        },
    }


def _gemini_error(status: int, kind: str, message: str, headers: dict[str, str]) -> Answer:
    body: dict[str, Any] = {"error": {"code": status, "message": message, "status": kind}}
    if wait := headers.pop("retry-after", None):
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait}s"}
        body["error"]["details"] = [info]
    return status, {"content-type": "application/json", **headers}, json.dumps(body).encode()


def _converse_texts(body: Mapping[str, Any]) -> tuple[str, str]:
    return _parts(body.get("system", [])), _parts(body["messages"][-1]["content"])


def _converse_reply(model: str, text: str, finish: str, used: Mapping[str, int]) -> Any:
    reasons = {"stop": "end_turn", "length": "max_tokens", "content_filter": "content_filtered"}
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text}] if text else []}},
        "stopReason": reasons.get(finish, "guardrail_intervened"),
        "usage": {
            "inputTokens": used["prompt"],
            "outputTokens": used["completion"],
            "totalTokens": used["prompt"] + used["completion"],
        },
        "metrics": {"latencyMs": 1},
    }


def _converse_error(status: int, kind: str, message: str, headers: dict[str, str]) -> Answer:
    return status, {"x-amzn-errortype": kind, **headers}, json.dumps({"message": message}).encode()


@frozen
class Vendor:
    """One vendor's protocol. ``errors``: what its errors are called, by their status."""

    name: str
    model: str
    key_header: str
    shape: ChatShape
    error: Callable[[int, str, str, dict[str, str]], Answer]
    errors: Mapping[int, str]

    def variables(self, url: str) -> dict[str, str]:
        """What a user sets to ask the server at ``url``."""
        fields = attrs.fields_dict(load_plugins().provider(self.name).settings)
        named = {name: fields[name].metadata["env"] for name in ("api_key", "base_url")}
        return {named["api_key"]: KEY, named["base_url"]: url, "LLM_MODEL": self.model}

    def failing(self, status: int, message: str, **headers: str) -> Callable[[Seen], Answer]:
        """A server's part that always answers with this error, in the vendor's words."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return lambda _: self.error(status, self.errors.get(status, ""), message, dict(named))

    def scoring(self, fault: str | None = None) -> Callable[[Seen], Answer]:
        """A server's part that scores, or commits a content fault."""
        options, log = ServerOptions(models=(), shape=self.shape), RequestLog()

        def scored(request: Seen) -> Answer:
            if request.path.partition("?")[0] != self.shape.path:
                return self.failing(404, f"There is nothing at {request.path}.")(request)
            entry = log.add(self.shape.path, json.loads(request.body), fault)
            got = answer(entry, options, log)
            body = got.body if isinstance(got.body, bytes) else json.dumps(got.body).encode()
            return got.status, {"content-type": "application/json", **got.headers}, body

        return scored


VENDORS = {
    vendor.name: vendor
    for vendor in (
        Vendor(
            "anthropic",
            "claude-haiku-4-5",
            "x-api-key",
            ChatShape("/v1/messages", _anthropic_texts, _anthropic_reply),
            _anthropic_error,
            {
                400: "invalid_request_error",
                401: "authentication_error",
                404: "not_found_error",
                429: "rate_limit_error",
                500: "api_error",
                529: "overloaded_error",
            },
        ),
        Vendor(
            "gemini",
            "gemini-2.5-flash",
            "x-goog-api-key",
            ChatShape(
                "/v1beta/models/gemini-2.5-flash:generateContent", _gemini_texts, _gemini_reply
            ),
            _gemini_error,
            {
                400: "INVALID_ARGUMENT",
                403: "PERMISSION_DENIED",
                404: "NOT_FOUND",
                429: "RESOURCE_EXHAUSTED",
                500: "INTERNAL",
                503: "UNAVAILABLE",
            },
        ),
        Vendor(
            "bedrock",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "authorization",
            ChatShape(
                "/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/converse",
                _converse_texts,
                _converse_reply,
            ),
            _converse_error,
            {
                400: "ValidationException",
                403: "UnrecognizedClientException",
                404: "ResourceNotFoundException",
                429: "ThrottlingException",
                500: "InternalServerException",
                503: "ServiceUnavailableException",
            },
        ),
    )
}


def make_vendor(vendor: Vendor, url: str, **options: object) -> Any:
    """The vendor's provider, built as the command line builds it; ``url``: host and port."""
    registered = load_plugins().provider(vendor.name)
    settings: Any = resolve(
        registered.settings,
        owner=vendor.name,
        options={option: str(value) for option, value in options.items()},
        environ=vendor.variables(url),
    )
    return registered.build(settings)
