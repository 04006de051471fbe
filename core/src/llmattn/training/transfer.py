"""The second of two runs: a model that needs no scores imitates the one that was trained first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmattn.devices import choose_device
from llmattn.errors import CheckpointError
from llmattn.feeds.feed import Feeds, NoScores
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.vectors import VectorSource
from llmattn.training.begin import matched
from llmattn.training.checkpoint import load_checkpoint
from llmattn.training.config import ImitationOptions, RunOptions
from llmattn.training.distributed import ALONE, Team
from llmattn.training.imitation import Imitation, attention_digest, path_of_imitated, student_of
from llmattn.training.output import Output
from llmattn.training.run import Run, new_model, new_trainer
from llmattn.training.word_vectors import WordStart, read_word_vectors

__all__ = ["begin_student", "has_student"]


def has_student(out: Path) -> bool:
    """Whether the model in ``out`` imitates the one beside it, so that its training has begun."""
    try:
        first = attention_digest(load_checkpoint(path_of_imitated(out)).weights)
        imitated = load_checkpoint(out).taken.get("imitated")
    except CheckpointError:
        return False
    return imitated is not None and imitated["digest"] == first


def begin_student(
    first: Run,
    imitate: ImitationOptions,
    scores: ScoreChoice,
    options: RunOptions,
    *,
    team: Team = ALONE,
) -> Run:
    """A new run of the same course on the same text. Its checkpoint names no provider, and using it
    needs neither scores nor a cache.
    """
    trainer, device = first.trainer, choose_device(options.device)
    shape = student_of(trainer.model.config)
    if first.asked["match_params"]:
        shape = matched(shape)

    def read() -> tuple[dict[str, Any], WordStart | None, Output]:
        start = first.start
        if scores.word_vectors and start is None:  # the first run was taken up again
            with VectorSource(scores) as source:
                start = read_word_vectors(source, trainer.corpus, shape.n_embd)
        return dict(trainer.best_weights), start, Output.of_new_run(options.out)

    weights, start, output = team.from_first(read)
    imitation = Imitation.of(
        trainer.model.config,
        weights,
        first.feeds.train,
        imitate.imitate_weight,
        first.scored,
        device,
    )
    model = new_model(shape, trainer.config, start, device, team)
    feeds = Feeds(*(NoScores(),) * 3)
    return Run(
        new_trainer(model, trainer.corpus, trainer.config, feeds, options.compile, team, imitation),
        output,
        first.corpus_path,
        feeds,
        (),
        first.asked,
        taken={**first.taken, "imitated": imitation.to_dict()},
    )
