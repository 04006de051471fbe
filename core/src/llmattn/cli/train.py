"""``llmattn train``: fill the cache with what a corpus needs, then train AttnGPT on it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import attrs
import typer

from llmattn.cli.again import Again
from llmattn.cli.build import AlsoArgument, command
from llmattn.cli.given import Given
from llmattn.held import hold
from llmattn.model.config import ModelConfig, variants_with
from llmattn.options import TEXT, Option, all_options
from llmattn.reading.files import check_there
from llmattn.scoring.options import ScoreChoice
from llmattn.signals import exit_code
from llmattn.training.config import RunOptions, TrainConfig

__all__ = ["train"]


@command(config="TOML file with any of these options; the command line wins over it.")
def train(
    corpus: Annotated[
        Path,
        typer.Option(help="Text, UTF-8, one sentence a line.", rich_help_panel=TEXT),
        AlsoArgument("CORPUS"),
    ] = Path("data/corpus.txt"),
    *,
    course: TrainConfig,
    model: ModelConfig,
    scores: ScoreChoice,
    options: RunOptions,
    given: Given,
) -> None:
    """Train a small GPT whose attention scores come from a provider.

    First the cache is filled with every score that the corpus needs; then training asks
    nobody any more. Ctrl-C stops after the step; --resume goes on from there.
    With several processes: torchrun --nproc-per-node N -m llmattn.train
    """
    if not (options.resume or model.uses_scores):
        given.refuse(
            ScoreChoice,
            lambda _: (
                f"is for external scores, and --attention {model.attention} reads none: "
                f"leave it out, or choose {variants_with('scores')}."
            ),
            chooser="attention",
        )
    if not options.resume or "corpus" in given.names():
        check_there(corpus)
    options.use_threads()
    if options.log is not None:
        from llmattn.training.log import check_log

        check_log(options.log)

    from llmattn.cli.train_show import run_and_show
    from llmattn.training import run as runs
    from llmattn.training.distributed import join_team

    with ExitStack() as held, join_team(options.device, sharded=options.shard) as (team, device):
        # Before anything is paid; of a team the first process writes, so it holds.
        team.from_first(lambda: held.enter_context(hold(options.out, "--out")))
        own = attrs.evolve(options, device=str(device))
        if own.resume or team.from_first(lambda: runs.is_of_this_launch(own.out)):
            run = runs.resume(
                own,
                corpus_path=corpus if "corpus" in given.names() else None,
                given=given.values(_held_against_checkpoints()),
                scores=scores,
                team=team,
            )
            if own.resume and not run.reads_texts:
                given.refuse(ScoreChoice, _unread_again, files=False)
        else:
            run = runs.begin(corpus, course, model, scores, own, team=team)
        outcome = run_and_show(run, Again(given), own)
    if outcome == "interrupted":
        raise typer.Exit(exit_code())


def _held_against_checkpoints() -> set[str]:
    """The options that a checkpoint tells: a resumed run can differ in none but the steps."""
    configs = (*all_options(TrainConfig), *all_options(ModelConfig))
    others = (*all_options(ScoreChoice), *all_options(RunOptions))
    return {said.name for said in configs} | {said.name for said in others if said.remembered}


def _unread_again(said: Option) -> str:
    """A resumed run needs what its checkpoint does not remember only to ask again."""
    if said.remembered:
        return ""
    return (
        "cannot be used with --resume: the checkpoint holds the model and its scores. Leave it "
        "out, or train anew."
    )
