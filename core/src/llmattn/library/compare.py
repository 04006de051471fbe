"""``llmattn compare`` as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from attrs import frozen

from llmattn.comparing.config import (
    COURSE_DEFAULTS,
    MODEL_DEFAULTS,
    OWN_COURSE,
    SHARED,
    Experiment,
    with_batches,
)
from llmattn.comparing.report import legend, table
from llmattn.comparing.results import Results
from llmattn.comparing.settle import refuse_unread, settle
from llmattn.comparing.statistics import estimate
from llmattn.comparing.whole import carry_out
from llmattn.executors.settings import LOCAL
from llmattn.library.frames import frame, html_list, html_table
from llmattn.library.stated import Stated, string_path
from llmattn.model.config import ModelConfig
from llmattn.options import options_of
from llmattn.reading.files import check_there
from llmattn.scoring.options import ScoreChoice
from llmattn.training.config import ImitationOptions, TrainConfig

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Comparison", "compare"]


@frozen(eq=False)
class Comparison:
    """What a comparison came to; its report is in the folder ``out``."""

    out: Path
    results: Results

    def sentences(self) -> list[str]:
        """What may be concluded."""
        return self.results.sentences()

    def warnings(self) -> list[str]:
        """What a reader must know before believing it."""
        return self.results.warnings()

    def to_pandas(self) -> DataFrame:
        """A row an arm: its test loss in nats a token with half the width of its interval, and the
        same of its gain over each baseline; NaN where nothing can be said. Raises ConfigError
        without pandas.
        """
        rows = []
        for arm in self.results.arms:
            loss = estimate(list(arm.losses.values()))
            row = {"arm": arm.name, "parameters": arm.parameters, "lr": arm.lr, "seeds": loss.n}
            row |= {"test_loss": loss.mean, "test_loss_half_width": loss.half}
            for name in self.results.against:
                own = name == arm.name
                gain = None if own else self.results.gain(arm.name, name)
                row[f"gain_over_{name}"] = None if gain is None else gain.mean
                row[f"gain_over_{name}_half_width"] = None if gain is None else gain.half
            rows.append(row)
        made = frame({name: [row[name] for row in rows] for name in rows[0]})
        numbers = [name for name in made.columns if name != "arm"]
        return made.astype({name: float for name in numbers if made[name].dtype == object})

    def runs_to_pandas(self) -> DataFrame:
        """A row a run at an arm's chosen rate. Raises ConfigError without pandas."""
        runs = [(a, seed, run) for a in self.results.arms for seed, run in sorted(a.runs.items())]
        return frame(
            {
                "arm": [arm.name for arm, _, _ in runs],
                "seed": [seed for _, seed, _ in runs],
                "test_loss": [run.test_loss for _, _, run in runs],
                "val_loss": [run.val_loss for _, _, run in runs],
                "best_step": [run.best_step for _, _, run in runs],
                "seconds": [run.seconds for _, _, run in runs],
            }
        )

    def _repr_html_(self) -> str:
        beware = [f"Beware: {warning}" for warning in self.warnings()]
        told = html_list([legend(self.results), *beware, *self.sentences()])
        return html_table(table(self.results), "Comparison") + told


def compare(
    corpus: str | os.PathLike[str],
    *,
    own_arms: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> Comparison:
    """Train several kinds of attention on the text file ``corpus``, each over several seeds.

    ``settings``: the options of the command ``llmattn compare`` (docs/commands.md), dashes as
    underscores: ``arms=["external", "position"]``, ``provider="cooccurrence"``, ``seeds=3``.
    ``own_arms``: what a configuration file says under ``[arms.NAME]``. Runs and report are written
    to ``out`` (``comparison``); finished runs are kept there, so the same call makes only those
    that are missing. ``jobs`` is 1 unless stated: more are processes, for which a script needs
    its ``if __name__ == "__main__":``.

    Prints nothing. Raises LlmattnError.
    """
    classes = Experiment, TrainConfig, ModelConfig, ScoreChoice, ImitationOptions
    jobs = {"jobs": 1} if settings.get("executor", LOCAL) == LOCAL else {}
    others = {said.name for _, said in options_of(ModelConfig)}.difference(SHARED)
    stated = Stated(
        "compare",
        settings,
        classes,
        defaults={**COURSE_DEFAULTS, **MODEL_DEFAULTS, **jobs},
        without={*OWN_COURSE, *others, "imitate"} - {"lr"},
    )
    path = string_path(corpus, "The corpus")
    check_there(path)
    experiment = stated.build(Experiment)
    if experiment.threads is not None:
        experiment.use_threads()
    course = stated.build(TrainConfig)
    if "batch_size" not in stated.names:
        course = with_batches(course)
    model, scores = stated.build(ModelConfig), stated.build(ScoreChoice)
    tables = dict(own_arms or {})
    imitation = stated.build(ImitationOptions)
    config = settle(path, experiment, course, model, scores, tables, imitation)
    refuse_unread(config, stated)
    with torch.random.fork_rng(devices=[]):
        results = carry_out(config, command=stated.call(path, own_arms=tables))
    return Comparison(experiment.out, results)
