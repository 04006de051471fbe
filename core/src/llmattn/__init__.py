"""llmattn: train and sample small GPTs whose attention scores come from outside.

The names below are loaded when they are used, so that ``import llmattn`` stays light.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes milliseconds to load, in which Ctrl-C shows a traceback
if TYPE_CHECKING:
    from typing import Any

    from llmattn.data.config import TextConfig
    from llmattn.data.corpus import Corpus, load_corpus
    from llmattn.data.tokenizer import WordTokenizer
    from llmattn.errors import LlmattnError
    from llmattn.feeds.table import ScoreTable
    from llmattn.hookspecs import hookimpl
    from llmattn.identity import Identity
    from llmattn.library.compare import Comparison, compare
    from llmattn.library.text import ScoredText, TokenScores, score_text, score_tokens
    from llmattn.library.train import TrainingResult, train
    from llmattn.matrix import AttentionMatrix, get_attention_matrix
    from llmattn.model.attention import LLMAttention
    from llmattn.model.attn_gpt import AttnGPT
    from llmattn.model.config import ModelConfig
    from llmattn.providers.protocol import AttentionProvider, Limits, Reply
    from llmattn.rows import Row, Scope
    from llmattn.sampling.options import SampleOptions
    from llmattn.sampling.sampler import Sampler
    from llmattn.scoring.options import ScoreChoice
    from llmattn.training.checkpoint import Checkpoint, load_checkpoint
    from llmattn.training.config import TrainConfig
    from llmattn.usage import Usage

    __version__: str

_HOME = {
    "AttentionMatrix": "llmattn.matrix",
    "AttentionProvider": "llmattn.providers.protocol",
    "AttnGPT": "llmattn.model.attn_gpt",
    "Checkpoint": "llmattn.training.checkpoint",
    "Comparison": "llmattn.library.compare",
    "Corpus": "llmattn.data.corpus",
    "Identity": "llmattn.identity",
    "LLMAttention": "llmattn.model.attention",
    "Limits": "llmattn.providers.protocol",
    "LlmattnError": "llmattn.errors",
    "ModelConfig": "llmattn.model.config",
    "Reply": "llmattn.providers.protocol",
    "Row": "llmattn.rows",
    "SampleOptions": "llmattn.sampling.options",
    "Sampler": "llmattn.sampling.sampler",
    "Scope": "llmattn.rows",
    "ScoreChoice": "llmattn.scoring.options",
    "ScoreTable": "llmattn.feeds.table",
    "ScoredText": "llmattn.library.text",
    "TextConfig": "llmattn.data.config",
    "TokenScores": "llmattn.library.text",
    "TrainConfig": "llmattn.training.config",
    "TrainingResult": "llmattn.library.train",
    "Usage": "llmattn.usage",
    "WordTokenizer": "llmattn.data.tokenizer",
    "compare": "llmattn.library.compare",
    "get_attention_matrix": "llmattn.matrix",
    "hookimpl": "llmattn.hookspecs",
    "load_checkpoint": "llmattn.training.checkpoint",
    "load_corpus": "llmattn.data.corpus",
    "score_text": "llmattn.library.text",
    "score_tokens": "llmattn.library.text",
    "train": "llmattn.library.train",
}

__all__ = [
    "AttentionMatrix",
    "AttentionProvider",
    "AttnGPT",
    "Checkpoint",
    "Comparison",
    "Corpus",
    "Identity",
    "LLMAttention",
    "Limits",
    "LlmattnError",
    "ModelConfig",
    "Reply",
    "Row",
    "SampleOptions",
    "Sampler",
    "Scope",
    "ScoreChoice",
    "ScoreTable",
    "ScoredText",
    "TextConfig",
    "TokenScores",
    "TrainConfig",
    "TrainingResult",
    "Usage",
    "WordTokenizer",
    "compare",
    "get_attention_matrix",
    "hookimpl",
    "load_checkpoint",
    "load_corpus",
    "score_text",
    "score_tokens",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # takes 30 ms, in which Ctrl-C shows a traceback

        return version("llmattn-core")
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'llmattn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
