"""Which options of training are read: by a new run, by one that goes on, by neither."""

from __future__ import annotations

from llmattn.model.config import ModelConfig, variants_with
from llmattn.options import Option, Refuses, all_options
from llmattn.scoring.options import VECTOR_OPTIONS, ScoreChoice
from llmattn.training.config import ImitationOptions, RunOptions, TrainConfig

__all__ = ["held_against_checkpoints", "refuse_unread", "refuse_unread_again"]


def refuse_unread(
    model: ModelConfig,
    scores: ScoreChoice,
    imitate: ImitationOptions,
    options: RunOptions,
    given: Refuses,
) -> None:
    """Raise ConfigError for what does not go together."""
    if not imitate.imitate:
        given.refuse(
            ImitationOptions,
            lambda said: (
                "is for --imitate: add that, or leave it out."
                if said.name == "imitate_weight" and not options.resume
                else ""
            ),
        )
    if options.resume:
        return
    imitate.check(model)
    if not model.uses_scores:
        read = VECTOR_OPTIONS if scores.word_vectors else ()
        given.refuse(
            ScoreChoice,
            lambda said: (
                ""
                if said.name in read
                else f"is for external scores, and --attention {model.attention} reads none: "
                f"leave it out, or choose {variants_with('scores')}."
            ),
            chooser="attention",
        )


def held_against_checkpoints() -> set[str]:
    """The options that a checkpoint tells: a resumed run can differ in none but the steps."""
    configs = (*all_options(TrainConfig), *all_options(ModelConfig))
    others = (
        *all_options(ScoreChoice),
        *all_options(RunOptions),
        *all_options(ImitationOptions),
    )
    return {said.name for said in configs} | {said.name for said in others if said.remembered}


def refuse_unread_again(reads_texts: bool, given: Refuses) -> None:
    """Raise ConfigError for an option about scores that a resumed run does not need."""
    if not reads_texts:
        given.refuse(ScoreChoice, _unread_again, files=False)


def _unread_again(said: Option) -> str:
    """A resumed run needs what its checkpoint does not remember only to ask again."""
    if said.remembered:
        return ""
    return (
        "cannot be used with --resume: the checkpoint holds the model and its scores. Leave it "
        "out, or train anew."
    )
