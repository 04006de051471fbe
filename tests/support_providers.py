"""What the tests of the LLM providers share: providers by name, rows, and the server's scores."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from llmattn.plugins import load_plugins
from llmattn.providers.protocol import Reply
from llmattn.rows import Row, Scores
from llmattn.settings import resolve
from llmattn.testing.api import digit

NAMES = ("openai", "cerebras", "custom")
KEY = "sk-planted-key-1234567890"
ROWS = (Row("eats", ("the", "cat", "of")), Row("ran", ("a dog", "dog")))


def environ(name: str, url: str) -> dict[str, str]:
    """The seed's variables that make ``name`` ask the server at ``url``."""
    prefix = name.upper()
    return {f"{prefix}_API_KEY": KEY, f"{prefix}_BASE_URL": url, "LLM_MODEL": "test-model"}


def make(name: str, url: str, environment: Mapping[str, str] = {}, **options: object) -> Any:
    """The provider ``name``, built as the command line builds it."""
    registered = load_plugins().provider(name)
    settings: Any = resolve(
        registered.settings,
        owner=name,
        options={option: str(value) for option, value in options.items()},
        environ={**environ(name, url), **environment},
    )
    return registered.build(settings)


def ask(provider: Any, rows: Sequence[Row] = ROWS) -> Reply:
    """One request, then the provider is closed."""

    async def once() -> Reply:
        try:
            reply: Reply = await provider.score(rows)
            return reply
        finally:
            await provider.aclose()

    return asyncio.run(once())


def expected(row: Row, channels: Sequence[str] = ("relevance",)) -> Scores:
    """The scores that the test server gives, shape (C, len(row.keys))."""
    digits = [[digit(row.query, key, channel) for key in row.keys] for channel in channels]
    scores: Scores = np.array(digits, np.float32) / np.float32(9)
    return scores
