"""A run begun anew: its text is read, its scores are asked for, its model is made."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import frozen

from llmattn.data.corpus import Corpus, load_corpus
from llmattn.devices import choose_device
from llmattn.feeds.channels import Scored
from llmattn.feeds.feed import Feeds, NoScores
from llmattn.feeds.open import ModelScores, open_scores
from llmattn.model.attn_gpt import match_parameters
from llmattn.model.config import ModelConfig
from llmattn.providers.protocol import ChannelChooser
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.vectors import VectorSource, for_vectors_alone
from llmattn.training.config import RunOptions, TrainConfig
from llmattn.training.distributed import ALONE, Team
from llmattn.training.few_channels import choose_few, undecided, with_channels
from llmattn.training.output import Output, check_space
from llmattn.training.ready import check_ready
from llmattn.training.run import Run, from_first, new_model, new_trainer
from llmattn.training.word_vectors import WordStart, read_word_vectors

__all__ = ["begin", "matched"]


def begin(
    corpus_path: Path,
    config: TrainConfig,
    shape: ModelConfig,
    scores: ScoreChoice = ScoreChoice(),
    options: RunOptions = RunOptions(),
    *,
    team: Team = ALONE,
    asked: Mapping[str, Any] = {},
) -> Run:
    """A new run. What can be wrong with the settings is found before a score is asked for.

    ``shape``: a model for any text, see ``ModelConfig.from_options``. Of a ``team``, the first
    process reads the corpus, fills the cache and loads the scores. ``asked``: more of what its
    checkpoint shall remember.
    """
    chosen = choose_device(options.device)

    def prepare() -> _Material:
        check_ready(options, chosen, config.precision)
        output = Output.of_new_run(options.out)
        return _prepare(corpus_path, config, shape, scores, options, output, chosen)

    material = from_first(team, prepare, lambda made: made.feeds)
    model = new_model(material.model_config, config, material.start, chosen, team)
    trainer = new_trainer(model, material.corpus, config, material.feeds, options.compile, team)
    asked = {"match_params": options.match_params, **scores.remembered, **asked}
    return Run(
        trainer,
        material.output,
        str(corpus_path),
        material.feeds,
        material.scored,
        asked,
        taken={"word_vectors": material.start.to_dict()} if material.start else {},
        start=material.start,
    )


@frozen(eq=False)
class _Material:
    """What a new model is trained with."""

    corpus: Corpus
    model_config: ModelConfig
    feeds: Feeds
    scored: tuple[Scored, ...]
    output: Output
    start: WordStart | None = None


def _prepare(
    corpus_path: Path,
    config: TrainConfig,
    shape: ModelConfig,
    scores: ScoreChoice,
    options: RunOptions,
    output: Output,
    chosen: torch.device,
) -> _Material:
    """Read the corpus, and get all that a model of it needs; where the channels are left open, they
    are chosen first.
    """
    corpus = load_corpus(corpus_path, config)
    material, source = _gather(corpus, shape, scores, options, output, chosen)
    if source is None:
        return material
    name, choosable = source
    few = choose_few(corpus, config, material.model_config, material.feeds, choosable, chosen)
    scores = with_channels(scores, name, few)
    return _gather(corpus, shape, scores, options, output, chosen)[0]


def _gather(
    corpus: Corpus,
    shape: ModelConfig,
    scores: ScoreChoice,
    options: RunOptions,
    output: Output,
    chosen: torch.device,
) -> tuple[_Material, tuple[str, tuple[str, ...]] | None]:
    """Decide the model's shape, and get its scores; also the provider whose channels are left
    open, if any, with those that may be left out.
    """
    size = len(corpus.tokenizer)
    open_choice: tuple[str, tuple[str, ...]] | None = None
    feeds = Feeds(NoScores(), NoScores(), NoScores())
    scored: tuple[Scored, ...] = ()
    channels: tuple[str, ...] = ()
    vectors: VectorSource | None = None
    with ExitStack() as stack:
        opened: ModelScores | None = None
        if shape.uses_scores:
            opened = stack.enter_context(open_scores(scores, corpus, shape.block_size))
            scored, channels = opened.scored, opened.channels
            if (source := undecided(opened.sources)) and isinstance(
                source.provider, ChannelChooser
            ):
                open_choice = source.name, source.provider.choosable
        model_config = shape.fitted(size, channels)
        if options.match_params:
            model_config = matched(model_config)
        if scores.word_vectors:
            choice = scores if opened else for_vectors_alone(scores)
            vectors = stack.enter_context(VectorSource(choice))
            vectors.check_limit(opened.sources if opened else ())
        check_space(output.path, model_config)  # before anything is paid
        if opened:
            feeds = opened.feeds(corpus, block_size=shape.block_size, device=chosen)
        check_space(output.path, model_config, feeds.table)
        start = None
        if vectors and open_choice is None:  # else all is gathered anew
            start = read_word_vectors(vectors, corpus, shape.n_embd)
    return _Material(corpus, model_config, feeds, scored, output, start), open_choice


def matched(config: ModelConfig) -> ModelConfig:
    """``config`` with as many parameters as `learned` has. Raises ConfigError."""
    learned = attrs.evolve(
        config, attention="learned", mlp_width=0, per_layer=False, no_distance=False
    )
    return match_parameters(config, learned)
