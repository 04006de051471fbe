"""What the engine's tests share: small corpora and small models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import evolve
from llmattn.data.corpus import Corpus, load_corpus
from llmattn.data.tokenizer import WordTokenizer
from llmattn.feeds.channels import Scored
from llmattn.feeds.table import KnownPairs, ScoreTable
from llmattn.identity import Identity
from llmattn.model.attn_gpt import AttnGPT
from llmattn.model.config import ATTENTION, ModelConfig
from llmattn.rows import Scope
from llmattn.training.checkpoint import Checkpoint
from llmattn.training.config import TrainConfig

# The models here are tiny: a second thread only costs, most of all on a busy machine.
torch.set_num_threads(1)

VARIANTS = [*((name, False) for name in sorted(ATTENTION)), ("learned", True)]
"""Every kind of attention; ``learned`` without and with a distance bias."""

SMALL = ("--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--batch-size", "4")
ANIMALS = ("cat", "dog", "owl", "fox", "hen")
VERBS = ("sees", "likes", "hears", "chases")


def write_corpus(folder: Path) -> Path:
    """A text of 100 lines in ``folder``."""
    lines = [
        f"the {a} {v} the {b}{'.' if a < b else ' at night.'}"
        for v in VERBS
        for a in ANIMALS
        for b in ANIMALS
    ]
    path = folder / "corpus.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def small_corpus(folder: Path) -> Corpus:
    """The text of :func:`write_corpus`, ready for training."""
    return load_corpus(write_corpus(folder))


def small_config(attention: str, distance_bias: bool = False, **changes: Any) -> ModelConfig:
    """A model of 12 words, two layers and two channels of scores."""
    config = ModelConfig(
        vocab_size=12,
        block_size=16,
        n_layer=2,
        n_head=2,
        n_embd=8,
        dropout=0.0,
        attention=attention,
        distance_bias=distance_bias,
        channels=("one", "two"),
    )
    return evolve(config, **changes)


def lively_model(config: ModelConfig, seed: int = 0) -> AttnGPT:
    """A model whose every parameter matters: those that start at 0 are drawn too."""
    torch.manual_seed(seed)
    model = AttnGPT(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("attention.", "position_embedding.")):
                parameter.normal_(std=0.5)
    return model.eval()


def full_table(vocab_size: int = 12, channels: int = 2, seed: int = 0) -> ScoreTable:
    """Random scores of all pairs."""
    query, key = np.divmod(np.arange(vocab_size**2), vocab_size)
    scores = np.random.default_rng(seed).random((channels, vocab_size**2))
    return ScoreTable(
        KnownPairs.of(query, key, scores.astype(np.float16)),
        vocab_size=vocab_size,
        channels=["one", "two"][:channels],
        absent=[None] * channels,
    )


def example_checkpoint() -> Checkpoint:
    """A checkpoint of a small model that reads a full table."""
    config = small_config("external")
    return Checkpoint(
        model_config=config,
        train_config=TrainConfig(steps=7),
        tokenizer=WordTokenizer.train(["a b c d e f g h i j"]),
        weights=lively_model(config).state_dict(),
        best={"loss": 1.5, "step": 5},
        last={"step": 7},
        table=full_table(),
        scored=(Scored(Identity("p", 1, Scope.PAIR, ("one", "two"), {"model": "m"})),),
        coverage=0.75,
        corpus="corpus.txt",
        corpus_digest="00",
    )
