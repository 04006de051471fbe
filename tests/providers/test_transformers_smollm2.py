"""The provider `transformers` with a real model: SmolLM2-135M, read from its GGUF file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llmattn.rows import Row, prefix_rows
from llmattn.testing.providers import check_provider
from llmattn_transformers.provider import TransformersProvider
from llmattn_transformers.settings import TransformersSettings
from llmattn_transformers.teacher import Teacher, load_teacher
from llmattn_transformers.weights import find_weights
from support_transformers import gguf_of_wheel, needs_smollm2

pytestmark = [pytest.mark.model, needs_smollm2]

TEXT = ("The", " old", " dog", " don't", " bark", "--", "\n", "the", " dog", " sleeps", ".")


@pytest.fixture(scope="module", autouse=True)
def teacher() -> Iterator[Teacher]:
    """The model, held so that every provider here shares it."""
    loaded = load_teacher(find_weights("smollm2"), "cpu")
    yield loaded
    del loaded


def provider(**settings: Any) -> TransformersProvider:
    return TransformersProvider(TransformersSettings(device="cpu", **settings))


def test_attention_passes_the_kit_with_its_proof_of_causality() -> None:
    check_provider(
        provider,
        text=TEXT,
        tolerance=1e-3,
        rows=20,
        skip=[  # tried with small models; of this one they take minutes
            "settings in identity",
            "another process",
            "large requests",
            "neighbours",
            "earlier texts",
            "at once",
            "readings",
            "random rows",
        ],
    )


@pytest.mark.parametrize("method", ["ablation", "gradient"])
def test_relevance_keeps_later_words_out(method: str) -> None:
    one = provider(method=method)
    rows = prefix_rows(TEXT[:5])
    other = prefix_rows((*TEXT[:3], " wolf", "\n"))
    scores = asyncio.run(one.score(rows)).scores
    changed = asyncio.run(one.score(other)).scores
    for i in range(3):
        np.testing.assert_allclose(scores[i], changed[i], atol=1e-3)
    assert np.abs(scores[3] - changed[3]).max() > 1e-2


def test_a_name_begun_again_is_likely_to_be_copied() -> None:
    words = ["Doctor", " Bramble", " met", " the", " smith", ".", " The", " smith", " asked"]
    text = (*words, " after", " Doctor")
    one = provider(method="copy")
    (scores,) = asyncio.run(one.score(prefix_rows(text)[-1:])).scores
    assert text[int(scores[0].argmax())] == " Bramble"


def test_every_layer_is_a_channel_and_every_head_with_heads() -> None:
    assert len(provider().channels) == 30
    assert len(provider(channels="heads").channels) == 270


def test_a_word_attends_to_the_same_word_before_it_in_some_head() -> None:
    text = ("The", " zebra", " met", " a", " lion", ".", " Then", " the", " zebra")
    (scores,) = asyncio.run(provider(channels="heads").score(prefix_rows(text)[-1:])).scores
    assert (scores[:, 1] > 0.5).any()


def test_the_text_begins_with_the_token_that_the_model_was_trained_with(teacher: Teacher) -> None:
    assert teacher.tokenizer.convert_ids_to_tokens(0) == "<|endoftext|>"
    plain = provider(channels="3").score(prefix_rows(TEXT)[-1:])
    named = provider(channels="3", start_token="<|endoftext|>").score(prefix_rows(TEXT)[-1:])
    np.testing.assert_allclose(
        asyncio.run(plain).scores[0], asyncio.run(named).scores[0], atol=1e-5
    )


def test_a_path_and_the_short_name_are_one_identity(tmp_path: Path) -> None:
    path = gguf_of_wheel()
    elsewhere = tmp_path / path.name
    elsewhere.symlink_to(path)
    identity = provider().identity()
    assert provider(model=str(elsewhere)).identity() == identity
    name = str(dict(identity.details)["model"])
    assert provider(model=name).identity() == identity


def test_embeddings_find_a_cat_nearer_to_a_dog_than_to_a_bank() -> None:
    (scores,) = asyncio.run(
        provider(method="embedding").score([Row("cat", ["dog", "bank", "cat"])])
    ).scores
    assert scores[0, 0] > scores[0, 1]
    assert scores[0, 2] == pytest.approx(1, abs=1e-5)
