"""The word vectors of the provider `transformers`; the model is loaded when first asked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import ClassVar

import anyio.to_thread
from attrs import evolve
from llmattn.plugin import Identity, Scope, VectorReply

from llmattn_transformers.pieces import PieceEncoder
from llmattn_transformers.settings import TransformersSettings
from llmattn_transformers.teacher import load_teacher
from llmattn_transformers.weights import find_weights
from llmattn_transformers.word_vectors import WordVectors

__all__ = ["TransformersVectors"]


class TransformersVectors:
    """See ``WordVectors``; costs nothing, asks nobody."""

    revision: ClassVar[int] = 1
    local = True
    words_per_request = 1024
    requests_at_once = 1
    timeout = 120.0

    def __init__(self, settings: TransformersSettings) -> None:
        """Raises ConfigError if there is no such model."""
        model = settings.embedding_model or settings.model
        revision = "" if settings.embedding_model else settings.revision
        self._settings = evolve(settings, model=model, revision=revision)
        self._weights = find_weights(model, revision, download=settings.download)
        self._vectors: WordVectors | None = None
        self._busy = threading.Lock()

    @property
    def dimensions(self) -> int:
        """Told by the first vector: what the model's configuration calls it, varies."""
        return 0

    def identity(self) -> Identity:
        details = {
            "model": self._weights.name,
            "revision": self._weights.revision,
            "digest": self._weights.digest,
        }
        return Identity("transformers", self.revision, Scope.PAIR, ("vectors",), details)

    async def vectors(self, words: Sequence[str]) -> VectorReply:
        return await anyio.to_thread.run_sync(self._ask, words)

    async def aclose(self) -> None:
        """Let go of the model."""
        self._vectors = None

    def _ask(self, words: Sequence[str]) -> VectorReply:
        with self._busy:
            if self._vectors is None:
                teacher = load_teacher(self._weights, self._settings.device)
                causal = self._weights.causal
                encoder = (
                    PieceEncoder(teacher.tokenizer, self._settings.start_token) if causal else None
                )
                self._vectors = WordVectors(teacher, encoder)
            return VectorReply(self._vectors(words), model=self._weights.name)
