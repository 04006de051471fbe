"""The provider `openai`: the Responses API with a strict JSON schema, and batches of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from llmattn.errors import BadReply, ProviderError, ProviderUnavailable
from llmattn.providers.chat import ChatProvider, Completion
from llmattn.providers.prompt import Prompt
from llmattn.providers.protocol import BatchStatus, RateHint, Reply
from llmattn.providers.reply import excerpt
from llmattn.rows import Row
from llmattn.usage import Usage

from llmattn_openai import batch
from llmattn_openai.endpoint import Endpoint
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
        answered = await self.endpoint.ask(PATH, lambda form: self.body(prompt, form))
        return read_response(answered.data, answered.rate)

    def body(self, prompt: Prompt, form: Form) -> dict[str, Any]:
        """The request's JSON."""
        body: dict[str, Any] = {
            "model": self.settings.model,
            # As a message, not as `instructions`: json_object wants the word JSON in the input.
            "input": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            form.limit_name: prompt.max_output_tokens,
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
            return self.read(rows, read_response(answer, None), prompt.max_output_tokens)
        except ProviderError as error:
            return error

    async def aclose(self) -> None:
        await self.endpoint.aclose()


def read_response(data: Mapping[str, Any], rate: RateHint | None) -> Completion:
    """The completion in a response object; raises BadReply or ProviderUnavailable."""
    try:
        if data.get("status") == "failed":
            words = (data.get("error") or {}).get("message")
            raise ProviderUnavailable(f"openai: the response failed: {excerpt(str(words))}.")
        texts, refusals = [], []
        for item in data["output"]:
            for part in item.get("content") or []:
                if part.get("type") == "refusal":
                    refusals.append(str(part.get("refusal")))
                elif part.get("type") == "output_text":
                    texts.append(str(part["text"]))
        usage = data.get("usage") or {}
        billed = Usage(1, int(usage.get("input_tokens", 0)), int(usage.get("output_tokens", 0)))
        reason = (data.get("incomplete_details") or {}).get("reason")
        model = data.get("model")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadReply(f"openai: this is no response object: {excerpt(str(data))}.") from None
    finish = {"max_output_tokens": "length", None: "stop"}.get(reason, str(reason))
    if refusals:
        finish = "refusal"
    return Completion("".join(refusals or texts), billed, model, finish, rate)
