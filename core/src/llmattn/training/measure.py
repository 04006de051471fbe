"""How well a checkpoint's model predicts a text: loss, perplexity, bits per byte."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import frozen

from llmattn.data.corpus import Corpus, encode_lines, read_lines, text_digest
from llmattn.data.parts import split_lines
from llmattn.errors import ConfigError, CorpusError
from llmattn.feeds.pairs import corpus_pairs
from llmattn.feeds.trained import reopen_feeds
from llmattn.model.attn_gpt import check_finite
from llmattn.scoring.options import ScoreChoice
from llmattn.training.checkpoint import Checkpoint
from llmattn.training.evaluate import split_loss
from llmattn.training.text_size import TextSize, text_size

__all__ = ["PARTS", "Measure", "measure"]

PARTS = ("all", "val", "test")


@frozen
class Measure(TextSize):
    """What was found. ``loss``: nats a token, over ``tokens`` of them.

    ``coverage``: the share of the attention whose score a provider gave; None for a model that
    reads no scores. ``trained``: whether the text is the one that the model was trained on most of.
    """

    loss: float
    coverage: float | None
    trained: bool

    @property
    def perplexity(self) -> float:
        """The number of equally likely tokens that would give this loss."""
        return math.exp(min(self.loss, 700))

    @property
    def model_bits_per_byte(self) -> float:
        """See ``TextSize.model_bits``."""
        return self.model_bits(self.loss)

    @property
    def bits_per_byte(self) -> float:
        """See ``TextSize.bits``."""
        return self.bits(self.loss)

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        derived = ("perplexity", "bits_per_byte", "model_bits_per_byte")
        return {**attrs.asdict(self), **{name: getattr(self, name) for name in derived}}


def measure(
    checkpoint: Checkpoint,
    path: Path,
    *,
    part: str = "all",
    choice: ScoreChoice | None = None,
    ask: bool = False,
    device: torch.device | str = "cpu",
) -> Measure:
    """Evaluate the best model of ``checkpoint`` on a text.

    ``part``: all of its lines, or those that training with the checkpoint's fractions would
    have kept to validate or to test. Scores of pairs come from the checkpoint; where a model
    reads scores in context, ``choice`` tells where they are; what is not there is asked of local
    providers, and with ``ask`` of any. Raises ConfigError, CorpusError, and what the provider
    raises.
    """
    lines = read_lines(path, keep_blank=checkpoint.train_config.stream)
    corpus = _corpus(checkpoint, lines, path, part)
    split, config = corpus.train, checkpoint.model_config
    coverage: float | None = None
    if checkpoint.table is not None:
        pairs, _ = corpus_pairs(corpus, config.block_size)
        known = checkpoint.table.is_known(pairs.query_ids, pairs.key_ids)
        coverage = float(pairs.counts[known].sum() / max(1, pairs.counts.sum()))
        checkpoint = attrs.evolve(checkpoint, coverage=coverage)
    feeds = reopen_feeds(checkpoint, corpus, choice or ScoreChoice(), ask=ask)
    if config.uses_scores:
        coverage = feeds.coverage
    model = checkpoint.model(device)
    loss = split_loss(model, feeds.train, split, pad_id=corpus.tokenizer.eol_id)
    check_finite(torch.tensor(loss))
    return Measure(
        **attrs.asdict(text_size(split)),
        loss=loss,
        coverage=coverage,
        trained=corpus.digest == checkpoint.corpus_digest,
    )


def _corpus(checkpoint: Checkpoint, lines: list[str], path: Path, part: str) -> Corpus:
    """The part of the text as a corpus of which all parts are that one."""
    settings, tokenizer = checkpoint.train_config, checkpoint.tokenizer
    digest = text_digest(lines)
    if part not in PARTS:
        raise ConfigError(f"--split must be one of {', '.join(PARTS)}; not {part!r}.")
    if part == "test" and not settings.test_fraction:
        raise ConfigError(
            "--split test: the checkpoint was trained without a test part. Train with "
            "--test-fraction, or choose --split val."
        )
    if part != "all":
        parts = split_lines(lines, settings, name=f"The corpus {path}")
        lines = parts[PARTS.index(part)]
    split = encode_lines(lines, tokenizer, stream=settings.stream)
    if not split.targets:
        raise CorpusError(f"{path} holds no token of the preset {tokenizer.preset!r}.")
    return Corpus(tokenizer, split, split, None, digest)
