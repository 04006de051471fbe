"""``llmattn train``: fill the cache with what a corpus needs, then train AttnGPT on it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer
from attrs import frozen

from llmattn.cli.again import Again
from llmattn.cli.build import AlsoArgument, command
from llmattn.cli.given import Given
from llmattn.held import hold
from llmattn.model.config import ModelConfig
from llmattn.notices import notify
from llmattn.options import TEXT
from llmattn.reading.files import check_there
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.shard import Shard
from llmattn.signals import exit_code
from llmattn.training.config import ImitationOptions, RunOptions, TrainConfig
from llmattn.training.unread import (
    held_against_checkpoints,
    refuse_unread,
    refuse_unread_again,
)

if TYPE_CHECKING:
    from llmattn.training.distributed import Team
    from llmattn.training.run import Run

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
    imitate: ImitationOptions,
    options: RunOptions,
    given: Given,
) -> None:
    """Train a small GPT whose attention scores come from a provider.

    First the cache is filled with every score that the corpus needs; then training asks
    nobody any more. Ctrl-C stops after the step; --resume goes on from there.
    --word-vectors lets words start from what a model knows of them; --imitate trains a second
    model, which learns the attention of the first and needs no provider afterwards.
    With several processes: torchrun --nproc-per-node N -m llmattn.train
    """
    refuse_unread(model, scores, imitate, options, given)
    alone = Shard.from_environment().world == 1  # of several, the first tells it, later
    if alone and (not options.resume or "corpus" in given.names()):
        check_there(corpus)
    options.use_threads()
    if options.log is not None:
        from llmattn.training.log import check_log

        check_log(options.log)

    from llmattn.training.distributed import join_team
    from llmattn.training.imitation import path_of_imitated

    outs = [path_of_imitated(options.out)] * imitate.imitate + [options.out]
    with ExitStack() as held, join_team(options.device, sharded=options.shard) as (team, device):
        # Before anything is paid; of a team the first process writes, so it holds.
        team.from_first(lambda: [held.enter_context(hold(out, "--out")) for out in outs] and None)
        own = attrs.evolve(options, device=str(device))
        make = _Runs(corpus, course, model, scores, imitate, given, team)
        outcome = make.train_both(own) if imitate.imitate else make.train(own)
    if outcome == "interrupted":
        raise typer.Exit(exit_code())


@frozen(eq=False)
class _Runs:
    """Trains, as the options say."""

    corpus: Path
    course: TrainConfig
    model: ModelConfig
    scores: ScoreChoice
    imitate: ImitationOptions
    given: Given
    team: Team

    def train(self, own: RunOptions) -> str:
        """One model; what ended its training."""
        from llmattn.cli.train_show import run_and_show

        return run_and_show(self._open(own), Again(self.given), own)

    def train_both(self, own: RunOptions) -> str:
        """A model, then the one that imitates it."""
        from llmattn.cli.train_show import run_and_show
        from llmattn.training import transfer
        from llmattn.training.checkpoint import check_writable
        from llmattn.training.imitation import path_of_imitated
        from llmattn.training.resume import is_of_this_launch

        out, again = own.out, Again(self.given, own.out)
        goes_on = own.resume or self.team.from_first(
            lambda: is_of_this_launch(out) or is_of_this_launch(path_of_imitated(out))
        )
        if goes_on and self.team.from_first(lambda: transfer.has_student(out)):
            return run_and_show(self._open(own), again, own)
        self.team.from_first(lambda: check_writable(out))
        beside: dict[str, Any] = {
            name: path and path_of_imitated(path)
            for name, path in (("log", own.log), ("tensorboard", own.tensorboard))
        }
        own_first = attrs.evolve(own, out=path_of_imitated(out), **beside)
        first = self._open(own_first)
        self._tell(f"First the model to be imitated, in {first.out}.")
        began = time.monotonic()
        outcome = run_and_show(first, again, own_first)
        if outcome in ("interrupted", "time"):
            return outcome
        self._tell(f"Now the model that imitates it, in {out}.")
        if own.max_time is not None:
            left = own.max_time - (time.monotonic() - began) / 60
            own = attrs.evolve(own, max_time=max(left, 1e-3))
        run = transfer.begin_student(first, self.imitate, self.scores, own, team=self.team)
        return run_and_show(run, again, own)

    def _tell(self, text: str) -> None:
        if self.team.is_first:
            notify(text)

    def _open(self, own: RunOptions) -> Run:
        from llmattn.training.begin import begin
        from llmattn.training.resume import is_of_this_launch, resume

        given, team = self.given, self.team
        if own.resume or team.from_first(lambda: is_of_this_launch(own.out)):
            run = resume(
                own,
                corpus_path=self.corpus if "corpus" in given.names() else None,
                given=given.values(held_against_checkpoints()),
                scores=self.scores,
                team=team,
            )
            if own.resume and not self.imitate.imitate:
                refuse_unread_again(run.reads_texts, given)
            return run
        asked = attrs.asdict(self.imitate)  # a printed configuration names them, too
        return begin(self.corpus, self.course, self.model, self.scores, own, team=team, asked=asked)
