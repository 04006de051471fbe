"""A vendor's server: asked through its library, while what goes wrong is judged as of any other."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from attrs import define
from llmattn.plugin import Prompt, ProviderRejected, excerpt, redact
from llmattn_openai.answers import Answered
from llmattn_openai.endpoint import Endpoint
from llmattn_openai.form import Form
from llmattn_openai.wire import HttpAnswer, Wire
from pydantic_ai.messages import ModelRequest, ModelResponse, SystemPromptPart, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings

from llmattn_vendors.transport import EXCHANGE, Exchange

__all__ = ["Asked", "VendorEndpoint", "first_form"]

log = logging.getLogger(__name__)

_NO_TEMPERATURE = (
    "anthropic_disallows_sampling_settings",
    "bedrock_disallows_sampling_settings",
)


@define
class Asked:
    """What a library made of an answer, or why it could not."""

    answered: Answered
    response: ModelResponse | None
    fault: Exception | None


class VendorEndpoint(Endpoint):
    """One vendor's server; ``model`` is set once it is made, with this as its sender."""

    model_of_library: Model[Any]

    @property
    def wire(self) -> Wire:
        if self._wire is None:
            self._wire = Wire(self._headers_of_address, self._timeout)
        return self._wire

    @property
    def base(self) -> str:
        """The address without credentials and query."""
        return self._address.base

    @property
    def _headers_of_address(self) -> Mapping[str, str]:
        return self._address.basic_auth()

    async def send(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        path = url.removeprefix(self.base)
        log.debug("%s: %s %s%s", self.name, method, self.shown_url, path)
        log.debug("%s: %s", self.name, redact((data or b"").decode("utf-8", "replace")))
        if "Authorization" in self._headers_of_address:
            headers = {n: t for n, t in (headers or {}).items() if n.lower() != "authorization"}
        answer = await super().send(method, self._address.of(path), data, headers)
        log.debug("%s: %d %s", self.name, answer.status, redact(answer.text))
        return answer

    async def ask_library(self, prompt: Prompt, settings: ModelSettings) -> Asked:
        """Ask once, in the form that the model takes; raises ProviderError."""
        response: ModelResponse | None = None
        fault: Exception | None = None

        async def once(form: Form) -> HttpAnswer:
            nonlocal response, fault
            exchange, response, fault = Exchange(), None, None
            EXCHANGE.set(exchange)
            try:
                response = await self.model_of_library.request(
                    [_message(form, prompt)],
                    _settings(form, prompt, settings),
                    _parameters(form, prompt),
                )
            except Exception as error:  # each library has its own, and more beneath them
                fault = error
                log.debug("%s: %s", self.name, redact(f"{type(error).__name__}: {error}"))
            if exchange.failure is not None:
                raise exchange.failure
            if exchange.answer is None:
                raise ProviderRejected(
                    f"{self.name}: the request could not be made: {excerpt(str(fault), 400)}."
                ) from None
            return exchange.answer

        answered = await self.agree("", prompt, once)
        return Asked(answered, response, fault)

    async def _unknown_model(self) -> ProviderRejected | None:
        return None  # each vendor lists its models in another way, and says what is wrong


def first_form(model: Model[Any], effort: str) -> Form:
    """The strictest form that the library knows the model to take."""
    profile: Mapping[str, Any] = model.profile
    if profile.get("supports_json_schema_output"):
        format = "json_schema"
    else:
        format = "json_object" if profile.get("supports_json_object_output") else "text"
    temperature = not any(profile.get(name) for name in _NO_TEMPERATURE)
    return Form(format, "max_tokens", temperature=temperature, effort=effort)


def _message(form: Form, prompt: Prompt) -> ModelRequest:
    kinds = {"system": SystemPromptPart, "user": UserPromptPart}
    return ModelRequest(
        [kinds[message["role"]](message["content"]) for message in form.messages(prompt)]
    )


def _settings(form: Form, prompt: Prompt, settings: ModelSettings) -> ModelSettings:
    made: ModelSettings = {"max_tokens": form.limit(prompt), **settings}
    if not form.temperature:
        made.pop("temperature", None)
    if form.effort:
        made["thinking"] = False if form.effort == "none" else form.effort  # type: ignore[typeddict-item]
    return made


def _parameters(form: Form, prompt: Prompt) -> ModelRequestParameters:
    if form.format == "text":
        return ModelRequestParameters()
    return ModelRequestParameters(
        output_mode="native" if form.format == "json_schema" else "prompted",
        output_object=OutputObjectDefinition(
            json_schema=dict(prompt.schema), name="scores", strict=True
        ),
        # The prompt says it already, with an example.
        prompted_output_template=False,
        allow_text_output=False,
    )
