"""Word vectors from ``/embeddings``, as OpenAI and the servers that follow it have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openai
from attrs import evolve
from llmattn.plugin import (
    BadReply,
    Cause,
    Identity,
    Scope,
    Secret,
    StandIn,
    Usage,
    VectorReply,
    excerpt,
    strip_credentials,
)
from numpy.typing import NDArray

from llmattn_openai.answers import Answered
from llmattn_openai.endpoint import Endpoint
from llmattn_openai.fields import model_named, tokens_billed
from llmattn_openai.form import Form
from llmattn_openai.settings import OpenAISettings

__all__ = ["EmbeddingsProvider", "OpenAIVectors"]

PATH = "/embeddings"
_KNOWN = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
_WORDS = 256
_LARGEST = 1e30


class EmbeddingsProvider:
    """Asks a server's ``/embeddings`` for the vectors of words, each by itself."""

    revision = 1
    words_per_request = _WORDS

    def __init__(
        self,
        name: str,
        settings: Any,
        *,
        api_key: Secret | None,
        key_variable: str,
        headers: Mapping[str, str | openai.Omit] = {},
    ) -> None:
        """``settings``: with the fields of ``OpenAISettings`` that say where the server is, and
        which model and how many numbers are wanted.
        """
        self.name = name
        self._settings = settings
        self._model: str = settings.embedding_model.strip() or settings.model
        self.timeout: float = settings.timeout
        self.requests_at_once: int = settings.requests_at_once
        self.endpoint = Endpoint(
            name,
            settings.base_url,
            model=self._model,
            api_key=api_key,
            key_variable=key_variable,
            timeout=settings.timeout,
            form=Form(format="text", limit_name=""),
            headers=headers,
            model_option=f"-o {name}.embedding_model=...",
        )

    @property
    def dimensions(self) -> int:
        known: int = self._settings.dimensions or _KNOWN.get(self._model, 0)
        return known

    @property
    def stand_in(self) -> StandIn | None:
        """See ``NamedServer``."""
        given, address = self._settings, strip_credentials(self._settings.base_url)
        if given.server_name in ("", address):
            return None
        return StandIn(given.server_name, address, given.server_may_differ)

    def identity(self) -> Identity:
        given = self._settings
        details = {
            "model": self._model,
            "base_url": given.server_name or strip_credentials(given.base_url),
            "dimensions": given.dimensions,
        }
        return Identity(self.name, self.revision, Scope.PAIR, ("vectors",), details)

    async def vectors(self, words: Sequence[str]) -> VectorReply:
        # Of a text that is white space alone servers make an error.
        texts = [word.strip() or word for word in words]
        body: dict[str, Any] = {"model": self._model, "input": texts}
        if self._settings.dimensions:
            body["dimensions"] = self._settings.dimensions
        answered = await self.endpoint.post(PATH, body)
        found = self._read(answered, len(texts))
        return VectorReply(found, _billed(answered), model_named(answered.data), answered.rate)

    async def aclose(self) -> None:
        await self.endpoint.aclose()

    def _read(self, answered: Answered, count: int) -> NDArray[np.float32]:
        """``(count, d)``. Raises BadReply."""
        items = answered.data.get("data")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self._bad(answered, f"no vectors: {excerpt(str(answered.data)[:1000])}")
        if len(items) != count:
            raise self._bad(answered, f"{len(items)} vectors where {count} were asked", Cause.COUNT)
        order = [item.get("index", place) for place, item in enumerate(items)]
        if sorted(map(str, order)) != sorted(map(str, range(count))):
            raise self._bad(answered, "vectors, and does not tell of which words", Cause.COUNT)
        found: list[list[float]] = [[]] * count
        for place, item in zip(order, items, strict=True):
            numbers = _numbers(item.get("embedding"))
            if numbers is None:
                raise self._bad(answered, "a vector that is no list of numbers")
            found[int(place)] = numbers
        if len({len(numbers) for numbers in found}) > 1:
            raise self._bad(answered, "vectors of several lengths")
        return np.array(found, np.float32)

    def _bad(self, answered: Answered, what: str, cause: Cause = Cause.OTHER) -> BadReply:
        return BadReply(
            f"{self.name}: the answer has {what}. Is {self._model} a model of word vectors? "
            f"Another is named with -o {self.name}.embedding_model=...",
            cause=cause,
            usage=_billed(answered),
        )


def _billed(answered: Answered) -> Usage:
    usage = tokens_billed(answered.data, "prompt_tokens", "prompt_tokens", answered.requests)
    return evolve(usage, completion_tokens=0)


def _numbers(value: object) -> list[float] | None:
    """The numbers of a vector; None if it is none."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]  # of a server that keeps a vector for each token of a text
    numbers = value if isinstance(value, list) else []
    plain = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers)
    # Neither infinite nor no number.
    return numbers if numbers and plain and all(abs(n) < _LARGEST for n in numbers) else None


class OpenAIVectors(EmbeddingsProvider):
    """OpenAI's own."""

    def __init__(self, settings: OpenAISettings) -> None:
        super().__init__(
            "openai", settings, api_key=settings.api_key, key_variable="OPENAI_API_KEY"
        )
