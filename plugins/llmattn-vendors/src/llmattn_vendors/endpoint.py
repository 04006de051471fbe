"""A vendor's server: asked through its library, while what goes wrong is judged as of any other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen
from llmattn.plugin import Prompt, ProviderRejected, excerpt, redact
from llmattn_openai.answers import Answered
from llmattn_openai.endpoint import Endpoint
from llmattn_openai.form import Form
from llmattn_openai.meaning import Meaning
from llmattn_openai.wire import HttpAnswer, Wire

from llmattn_vendors.settings import VendorSettings
from llmattn_vendors.transport import EXCHANGE, Carrier, Exchange, VendorWire

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelRequest, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

__all__ = ["Asked", "VendorEndpoint"]

log = logging.getLogger(__name__)

_NO_TEMPERATURE = (
    "anthropic_disallows_sampling_settings",
    "bedrock_disallows_sampling_settings",
)


@frozen
class Asked:
    """An answer, and what the vendor's library made of it: None if that was nothing."""

    answered: Answered
    response: ModelResponse | None


class VendorEndpoint(Endpoint):
    """One vendor's server. ``build`` makes the library's model, once it is needed."""

    def __init__(
        self,
        name: str,
        settings: VendorSettings,
        *,
        key_variable: str,
        access: Mapping[str, str],
        build: Callable[[Carrier], Model[Any]],
    ) -> None:
        super().__init__(
            name,
            settings.address,
            model=settings.model,
            api_key=settings.api_key,
            key_variable=key_variable,
            timeout=settings.timeout,
            form=Form("json_schema", "max_tokens", effort=settings.reasoning_effort),
        )
        ends = "It ends before the path of the vendor's API, such as /v1."
        self._meaning = Meaning(name, self.shown_url, key_variable, ends=ends)
        # A user name in the address takes the place of the key.
        self._carrier = Carrier(self, self._address.base, self._address.basic_auth() or access)
        self._settings, self._build = settings, build
        self._made: Model[Any] | None = None

    @property
    def wire(self) -> Wire:
        if self._wire is None:
            self._wire = VendorWire({}, self._timeout)
        return self._wire

    async def send(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        path = url.removeprefix(self._address.base)
        text = (data or b"").decode("utf-8", "replace")
        log.debug("%s: %s %s%s %s", self.name, method, self.shown_url, path, redact(text))
        answer = await super().send(method, self._address.of(path), data, headers)
        log.debug("%s: %d %s", self.name, answer.status, redact(answer.text))
        return answer

    async def ask_model(self, prompt: Prompt) -> Asked:
        """Ask once, in the form that the model takes. Raises ProviderError."""
        response: ModelResponse | None = None
        model = self._model()

        async def once(form: Form) -> HttpAnswer:
            nonlocal response
            response, exchange, wrong = None, Exchange(), ""
            EXCHANGE.set(exchange)
            try:
                response = await model.request(
                    [_message(form, prompt)],
                    _settings(form, prompt, self._settings.temperature),
                    _parameters(form, prompt),
                )
            except Exception as error:  # each library has its own, and more beneath them
                wrong = f"{type(error).__name__}: {error}"
                log.debug("%s: %s", self.name, redact(wrong))
            if exchange.failure is not None:
                raise exchange.failure
            if exchange.answer is None:
                raise ProviderRejected(
                    f"{self.name}: the vendor's library sent nothing: {excerpt(wrong, 400)}."
                )
            return exchange.answer

        return Asked(await self.agree("", prompt, once), response)

    def _model(self) -> Model[Any]:
        """The library's model; the first form is the strictest that it knows the model to take."""
        if self._made is None:
            self._made = self._build(self._carrier)
            profile: Mapping[str, Any] = self._made.profile
            plainer = "json_object" if profile.get("supports_json_object_output") else "text"
            self.agreement.form = Form(
                "json_schema" if profile.get("supports_json_schema_output") else plainer,
                "max_tokens",
                temperature=not any(profile.get(name) for name in _NO_TEMPERATURE),
                effort=self._settings.reasoning_effort,
            )
        return self._made

    async def _unknown_model(self) -> ProviderRejected | None:
        return None  # each vendor lists its models in another way, and its refusal names ours


def _message(form: Form, prompt: Prompt) -> ModelRequest:
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

    kinds = {"system": SystemPromptPart, "user": UserPromptPart}
    return ModelRequest(
        [kinds[message["role"]](message["content"]) for message in form.messages(prompt)]
    )


def _settings(form: Form, prompt: Prompt, temperature: float) -> ModelSettings:
    settings: Any = {"max_tokens": form.limit(prompt)}
    if form.temperature:
        settings["temperature"] = temperature
    if form.effort:
        settings["thinking"] = False if form.effort == "none" else form.effort
    made: ModelSettings = settings
    return made


def _parameters(form: Form, prompt: Prompt) -> ModelRequestParameters:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition

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
