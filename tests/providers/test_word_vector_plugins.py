"""The word vectors of the plugins, and the kit that checks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from llmattn.identity import Identity
from llmattn.plugins import load_plugins
from llmattn.providers.protocol import VectorReply
from llmattn.rows import Scope
from llmattn.secrets import Secret
from llmattn.testing.server import ScoreServer
from llmattn.testing.vectors import check_vectors
from llmattn_custom.provider import CustomVectors
from llmattn_custom.settings import CustomSettings
from llmattn_openai.settings import OpenAISettings
from llmattn_openai.vectors import OpenAIVectors
from llmattn_transformers.settings import TransformersSettings
from llmattn_transformers.teacher import load_teacher
from llmattn_transformers.vectors import TransformersVectors
from llmattn_transformers.weights import find_weights
from support_transformers import save_model

KEY = "sk-test-7d9f2c41aa0e4bd5b6c8e1f0"


def test_those_of_servers_are_sound() -> None:
    with ScoreServer(api_key=KEY) as server:
        own = OpenAISettings(api_key=Secret(KEY), base_url=server.url, dimensions=6)
        check_vectors(lambda: OpenAIVectors(own), secrets=[KEY])
        other = CustomSettings(base_url=server.url, model="test-model", api_key=Secret(KEY))
        check_vectors(lambda: CustomVectors(other), secrets=[KEY])


def test_a_language_models_are_the_means_of_its_input_embeddings(tmp_path: Path) -> None:
    settings = TransformersSettings(model=str(save_model(tmp_path)), device="cpu")
    check_vectors(lambda: TransformersVectors(settings), tolerance=1e-6)
    provider = TransformersVectors(settings)
    found = provider._ask([" dog", "dog"]).vectors
    teacher = load_teacher(find_weights(settings.model), "cpu")
    table = teacher.model.get_input_embeddings().weight
    for word, vector in zip((" dog", "dog"), found, strict=True):
        ids = teacher.tokenizer(word, add_special_tokens=False)["input_ids"]
        torch.testing.assert_close(torch.from_numpy(vector), table[torch.tensor(ids)].mean(0))


def test_another_model_may_give_the_vectors(tmp_path: Path) -> None:
    one, other = (str(save_model(tmp_path / name, seed=seed)) for seed, name in enumerate("ab"))
    settings = TransformersSettings(model=one, device="cpu")
    identity = TransformersVectors(evolve(settings, embedding_model=other)).identity()
    assert identity == TransformersVectors(TransformersSettings(model=other)).identity()
    assert identity != TransformersVectors(settings).identity()


def test_plugins_tell_who_has_vectors() -> None:
    offered = {entry.name for entry in load_plugins().providers if entry.vectors}
    assert offered == {"custom", "openai", "transformers"}


@pytest.mark.parametrize(
    ("fault", "told"),
    [("short", "1 words|words have"), ("nan", "finite"), ("order", "order"), ("flat", "shape")],
)
def test_the_kit_finds_a_fault(fault: str, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_vectors(lambda: _Faulty(fault))


class _Faulty:
    dimensions, words_per_request, requests_at_once, timeout = 0, 100, 1, 1.0

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def identity(self) -> Identity:
        return Identity("faulty", 1, Scope.PAIR, ("vectors",))

    async def vectors(self, words: Any) -> VectorReply:
        sizes = np.array([[len(word), place] for place, word in enumerate(words)], np.float32)
        made = {
            "short": sizes[:-1, :1],
            "nan": sizes[:, :1] + np.float32("nan"),
            "order": sizes,
            "flat": sizes[:, 0],
        }
        return VectorReply(made[self._fault])

    async def aclose(self) -> None:
        pass
