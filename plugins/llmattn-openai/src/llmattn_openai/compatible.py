"""Chat completions as OpenAI-compatible servers have them: the base of `cerebras` and `custom`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai
from llmattn.plugin import Cause, ChatProvider, ChatSettings, Completion, Prompt, Secret, bad_reply

from llmattn_openai.answers import Answered, too_deep
from llmattn_openai.endpoint import Endpoint
from llmattn_openai.fields import model_named, texts_of, tokens_billed
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
            "/chat/completions", prompt, lambda form: self._body(prompt, form)
        )
        try:
            return read_chat_completion(self.name, answered)
        except RecursionError:
            raise too_deep(self.name) from None

    def ask_plainer(self) -> bool:
        return self.endpoint.agreement.plainer()

    def keep_form(self) -> None:
        self.endpoint.useful()

    async def reach(self) -> str:
        return await self.endpoint.reach()

    def _body(self, prompt: Prompt, form: Form) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.settings.model,
            "messages": form.messages(prompt),
            form.limit_name: form.limit(prompt),
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


def read_chat_completion(name: str, answered: Answered) -> Completion:
    """The completion in a chat completion object; raises BadReply."""
    data = answered.data
    usage = tokens_billed(data, "prompt_tokens", "completion_tokens", answered.requests)
    choice = _choice(data)
    message = choice.get("message", choice.get("delta"))
    if isinstance(message, str):
        message = {"content": message}
    elif not isinstance(message, dict):
        message = {"content": choice.get("text")} if "text" in choice else None
    if message is None:
        raise bad_reply(name, Cause.NO_REPLY, str(data), usage=usage)
    text, thoughts = texts_of(message.get("content"))
    for place in ("reasoning_content", "reasoning", "thinking", "reasoning_details"):
        thoughts = thoughts or "".join(texts_of(message.get(place)))
    finish = choice.get("finish_reason")
    finish = finish if isinstance(finish, str) and finish else "stop"
    if message.get("tool_calls") or message.get("function_call"):
        finish = "tool_calls"
    refusal = message.get("refusal")
    if refusal and not text.strip():
        text, finish = str(refusal), "refusal"
    return Completion(text, usage, model_named(data), finish, answered.rate, thoughts)


def _choice(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice; some servers give it without the list, or a message alone."""
    choices = data.get("choices")
    if isinstance(choices, list) and choices:
        choices = choices[0]
    if isinstance(choices, dict):
        return choices
    return data if isinstance(data.get("message"), dict) and choices is None else {}
