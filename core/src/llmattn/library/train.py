"""``llmattn train`` as a function."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from attrs import frozen

from llmattn.held import hold
from llmattn.library.frames import frame, html_table
from llmattn.library.stated import Stated, string_path
from llmattn.model.config import ModelConfig
from llmattn.reading.files import check_there
from llmattn.scoring.options import ScoreChoice
from llmattn.training.begin import begin
from llmattn.training.checkpoint import Checkpoint, load_checkpoint
from llmattn.training.config import ImitationOptions, RunOptions, TrainConfig
from llmattn.training.interrupt import StopWish
from llmattn.training.log import check_log
from llmattn.training.loop import Report
from llmattn.training.records import open_records
from llmattn.training.resume import resume
from llmattn.training.run import Run
from llmattn.training.unread import (
    held_against_checkpoints,
    refuse_unread,
    refuse_unread_again,
)

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["TrainingResult", "train"]


@frozen(eq=False)
class TrainingResult:
    """What a run came to. Losses are nats a token, those of the weights that are kept in ``out``.

    ``outcome``: ``finished``, ``patience`` or ``time``. ``reports``: the evaluations. ``coverage``:
    share of the training text's attention positions that were scored. ``test_loss``: None if no
    part was held apart for it.
    """

    out: Path
    outcome: str
    reports: tuple[Report, ...]
    best_loss: float
    best_step: int
    test_loss: float | None
    parameters: int
    channels: tuple[str, ...]
    coverage: float

    def checkpoint(self) -> Checkpoint:
        """What was written. Raises CheckpointError."""
        return load_checkpoint(self.out)

    def to_pandas(self) -> DataFrame:
        """The evaluations, a row each. Raises ConfigError without pandas."""
        names = [field.name for field in attrs.fields(Report)]
        return frame({name: [getattr(each, name) for each in self.reports] for name in names})

    def _repr_html_(self) -> str:
        rows = [
            ["", "loss", "perplexity"],
            ["validation", f"{self.best_loss:.4f}", f"{math.exp(self.best_loss):.1f}"],
        ]
        if self.test_loss is not None:
            rows.append(["test", f"{self.test_loss:.4f}", f"{math.exp(self.test_loss):.1f}"])
        return html_table(rows, f"{self.out}: best at step {self.best_step} ({self.outcome})")


def train(
    corpus: str | os.PathLike[str] | None = None,
    *,
    on_report: Callable[[Report], None] | None = None,
    **settings: Any,
) -> TrainingResult:
    """Train a small GPT on the text file ``corpus``, and keep it in ``out`` (``checkpoint.pt``).

    ``settings``: the options of the command ``llmattn train`` (docs/commands.md), dashes as
    underscores: ``provider="cooccurrence"``, ``steps=400``, ``n_layer=2``; a setting of a provider
    or cache as ``options={"cooccurrence.window": 5}``. The command alone has ``--imitate``,
    ``--shard`` and ``--config``. ``corpus`` may be left out with ``resume=True``. ``on_report``
    is called after each evaluation.

    Prints nothing, and leaves torch's random numbers and signals alone: Ctrl-C raises
    KeyboardInterrupt, and ``resume=True`` goes on from what was saved last. Raises LlmattnError.
    """
    classes = TrainConfig, ModelConfig, ScoreChoice, RunOptions
    stated = Stated("train", settings, classes, without=("shard",))
    course, model = stated.build(TrainConfig), stated.build(ModelConfig)
    scores, options = stated.build(ScoreChoice), stated.build(RunOptions)
    refuse_unread(model, scores, ImitationOptions(), options, stated)
    path = string_path(corpus, "The corpus") if corpus is not None or not options.resume else None
    if path is not None:
        check_there(path)
    if options.log is not None:
        check_log(options.log)
    if options.threads is not None:
        options.use_threads()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(hold(options.out, "--out"))
        if options.resume:
            held = held_against_checkpoints() & stated.names
            run = resume(
                options,
                corpus_path=path,
                given={name: settings[name] for name in held},
                scores=scores,
            )
            refuse_unread_again(run.reads_texts, stated)
        else:
            assert path is not None
            asked = attrs.asdict(ImitationOptions())
            run = begin(path, course, model, scores, options, asked=asked)
        return _carry_out(run, options, on_report)


def _carry_out(
    run: Run, options: RunOptions, on_report: Callable[[Report], None] | None
) -> TrainingResult:
    trainer, reports = run.trainer, list[Report]()
    with ExitStack() as stack:
        records = open_records(options, after=trainer.step)
        for record in records:
            stack.callback(record.close)

        def take(report: Report) -> None:
            reports.append(report)
            for record in records:
                record.add(report)
            if on_report is not None:
                on_report(report)

        outcome = trainer.run(
            on_report=take,
            save=run.save,
            save_on_the_way=run.save_on_the_way,
            stop=StopWish(quiet=True),
            max_seconds=math.inf if options.max_time is None else 60 * options.max_time,
            save_every=options.save_every,
        )
    return TrainingResult(
        out=run.out,
        outcome=outcome,
        reports=tuple(reports),
        best_loss=trainer.best_loss,
        best_step=trainer.best_step,
        test_loss=run.test_loss(),
        parameters=trainer.model.parameter_count(),
        channels=trainer.model.config.channels if run.scored else (),
        coverage=run.feeds.coverage,
    )
