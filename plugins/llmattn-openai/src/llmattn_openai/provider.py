"""The provider `openai`: the Responses API with a strict JSON schema, and batches of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from llmattn.plugin import (
    BatchStatus,
    Cause,
    ChatProvider,
    Completion,
    Prompt,
    ProviderError,
    Reply,
    Row,
    bad_reply,
)

from llmattn_openai import batch
from llmattn_openai.answers import Answered, too_deep
from llmattn_openai.endpoint import Endpoint
from llmattn_openai.fields import model_named, texts_of, tokens_billed
from llmattn_openai.form import Form, response_format
from llmattn_openai.settings import OpenAISettings

__all__ = ["OpenAIProvider", "read_response"]

PATH = "/responses"


class OpenAIProvider(ChatProvider):
    """Asks OpenAI's Responses API. The schema is constant, so that it is compiled once."""

    name: ClassVar[str] = "openai"
    settings: OpenAISettings

    def __init__(self, settings: OpenAISettings) -> None:
        super().__init__(settings)
        self.endpoint = Endpoint(
            self.name,
            settings.base_url,
            model=settings.model,
            api_key=settings.api_key,
            key_variable="OPENAI_API_KEY",
            timeout=settings.timeout,
            form=Form(
                format="json_schema",
                limit_name="max_output_tokens",
                effort=settings.reasoning_effort,
            ),
        )

    async def complete(self, prompt: Prompt) -> Completion:
        answered = await self.endpoint.ask(PATH, prompt, lambda form: self.body(prompt, form))
        return read_response(answered)

    def ask_plainer(self) -> bool:
        return self.endpoint.agreement.plainer()

    def keep_form(self) -> None:
        self.endpoint.useful()

    async def reach(self) -> str:
        return await self.endpoint.reach()

    def body(self, prompt: Prompt, form: Form) -> dict[str, Any]:
        """The request's JSON."""
        body: dict[str, Any] = {
            "model": self.settings.model,
            # As a message, not as `instructions`: json_object wants the word JSON in the input.
            "input": form.messages(prompt),
            form.limit_name: form.limit(prompt),
            "store": False,
        }
        if wanted := response_format(prompt, form.format):
            body["text"] = {"format": {"type": wanted["type"], **wanted.get("json_schema", {})}}
        if form.temperature:
            body["temperature"] = self.settings.temperature
        if form.effort:
            body["reasoning"] = {"effort": form.effort}
        return body

    def fits_batch(self, requests: Sequence[Sequence[Row]]) -> int:
        return batch.fits(self._lines(requests))

    async def submit_batch(self, requests: Sequence[Sequence[Row]], mark: str) -> str:
        """Upload ``requests`` as a batch, at half price; gives its id.

        They have the form that the model was found to take by the requests before.
        """
        return await batch.submit(self.endpoint, self._lines(requests), mark)

    async def find_batch(self, mark: str) -> str | None:
        return await batch.find(self.endpoint, mark)

    async def batch_status(self, batch_id: str) -> BatchStatus:
        return await batch.status(self.endpoint, batch_id)

    async def collect_batch(
        self, batch_id: str, requests: Sequence[Sequence[Row]]
    ) -> list[Reply | ProviderError]:
        """What became of each request; a batch that expired or was cancelled gives its part."""
        prompts = [self.prompt(rows) for rows in requests]
        answers = await batch.collect(self.endpoint, batch_id, [p.user for p in prompts])
        return [
            self._read_batched(rows, prompt, answer)
            for rows, prompt, answer in zip(requests, prompts, answers, strict=True)
        ]

    def _lines(self, requests: Sequence[Sequence[Row]]) -> Iterator[bytes]:
        """A batch's file, one request a line."""
        form = self.endpoint.agreement.form
        for number, rows in enumerate(requests):
            prompt = self.prompt(rows)
            yield batch.line(number, prompt.user, self.body(prompt, form))

    def _read_batched(
        self, rows: Sequence[Row], prompt: Prompt, answer: Mapping[str, Any] | ProviderError
    ) -> Reply | ProviderError:
        if isinstance(answer, ProviderError):
            return answer
        try:
            completion = read_response(self.endpoint.read(answer))
            return self.read(rows, completion, prompt.max_output_tokens)
        except ProviderError as error:
            return error

    async def aclose(self) -> None:
        await self.endpoint.aclose()


def read_response(answered: Answered) -> Completion:
    """The completion in a response object; raises BadReply."""
    try:
        return _completion(answered)
    except RecursionError:
        raise too_deep(OpenAIProvider.name) from None


def _completion(answered: Answered) -> Completion:
    data = answered.data
    usage = tokens_billed(data, "input_tokens", "output_tokens", answered.requests)
    output = data.get("output")
    items = [output] if isinstance(output, dict) else output
    if not isinstance(items, list) or not items:
        raise bad_reply(OpenAIProvider.name, Cause.NO_REPLY, str(data), usage=usage)
    texts, thoughts, refusals, finish = [], [], [], "stop"
    for item in items:
        if not isinstance(item, dict):
            continue
        kind = str(item.get("type"))
        if kind == "reasoning":
            thoughts += [*texts_of(item.get("summary")), *texts_of(item.get("content"))]
        elif kind.endswith("_call"):
            finish = "tool_calls"
        else:
            content = item.get("content")
            parts: list[Any] = content if isinstance(content, list) else [content]
            refusals += [str(part["refusal"]) for part in parts if _is_refusal(part)]
            text, thought = texts_of([part for part in parts if part and not _is_refusal(part)])
            texts.append(text)
            thoughts.append(thought)
    text = "".join(texts)
    if why := _incomplete(data.get("incomplete_details")):
        finish = why
    if refusals and not text.strip():
        text, finish = "".join(refusals), "refusal"
    return Completion(text, usage, model_named(data), finish, answered.rate, "".join(thoughts))


def _is_refusal(part: object) -> bool:
    return isinstance(part, dict) and "refusal" in part


def _incomplete(details: object) -> str | None:
    """Why the response ended too early, in the words of chat completions."""
    reason = details.get("reason") if isinstance(details, dict) else None
    return None if reason is None else str(reason).replace("max_output_tokens", "length")
