"""Chat completions as OpenAI-compatible servers have them: the base of `cerebras` and `custom`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai
from llmattn.errors import BadReply
from llmattn.providers.chat import ChatProvider, Completion
from llmattn.providers.chat_settings import ChatSettings
from llmattn.providers.prompt import Prompt
from llmattn.providers.protocol import RateHint
from llmattn.providers.reply import excerpt
from llmattn.secrets import Secret
from llmattn.usage import Usage

from llmattn_openai.endpoint import Endpoint
from llmattn_openai.form import Form, response_format

__all__ = ["ChatCompletionsProvider", "read_chat_completion"]

# The SDK would send these from OpenAI's variables to whatever server is named.
_OPENAI_HEADERS = {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}


class ChatCompletionsProvider(ChatProvider):
    """Asks ``/chat/completions``; ``first_form`` is what is tried first."""

    def __init__(
        self,
        settings: ChatSettings,
        *,
        base_url: str,
        api_key: Secret | None,
        key_variable: str,
        first_form: Form,
    ) -> None:
        super().__init__(settings)
        self.endpoint = Endpoint(
            self.name,
            base_url,
            model=settings.model,
            api_key=api_key,
            key_variable=key_variable,
            timeout=settings.timeout,
            form=first_form,
            headers=_OPENAI_HEADERS,
        )

    async def complete(self, prompt: Prompt) -> Completion:
        answered = await self.endpoint.ask(
            "/chat/completions", lambda form: self._body(prompt, form)
        )
        return read_chat_completion(self.name, answered.data, answered.rate)

    def _body(self, prompt: Prompt, form: Form) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.settings.model,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            form.limit_name: prompt.max_output_tokens,
        }
        if wanted := response_format(prompt, form.format):
            body["response_format"] = wanted
        if form.temperature:
            body["temperature"] = self.settings.temperature
        if form.effort:
            body["reasoning_effort"] = form.effort
        return body

    async def aclose(self) -> None:
        await self.endpoint.aclose()


def read_chat_completion(name: str, data: Mapping[str, Any], rate: RateHint | None) -> Completion:
    """The completion in a chat completion object; raises BadReply."""
    try:
        choice = data["choices"][0]
        message = choice["message"]
        content = message.get("content") or ""
        if not isinstance(content, str):  # some servers give parts
            content = "".join(part["text"] for part in content if part.get("type") == "text")
        refusal = message.get("refusal")
        finish = "refusal" if refusal else str(choice.get("finish_reason") or "stop")
        usage = data.get("usage") or {}
        billed = Usage(
            1, int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        )
        model = data.get("model")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise BadReply(f"{name}: this is no chat completion: {excerpt(str(data))}.") from None
    return Completion(str(refusal or content), billed, model, finish, rate)
