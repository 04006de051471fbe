"""``llmattn compare``: several kinds of attention on one text, over several seeds."""

from __future__ import annotations

from typing import Annotated

import typer
from attrs import evolve

from llmattn.cli.build import Uses, command
from llmattn.cli.common import Corpus, Json
from llmattn.cli.given import Given
from llmattn.comparing.config import SHARED, Experiment
from llmattn.comparing.score_sets import why_unread
from llmattn.held import hold
from llmattn.model.config import ModelConfig
from llmattn.notices import notify
from llmattn.options import COURSE, MODEL
from llmattn.reading.files import check_there
from llmattn.scoring.options import ScoreChoice
from llmattn.signals import exit_code
from llmattn.training.config import TrainConfig
from llmattn.writing import make_folder

__all__ = ["compare"]

_LINES, _WINDOWS = 128, 16  # about as many tokens, where a line has ten


@command(
    config="TOML file with any of these options, and with arms of your own as tables "
    "[arms.NAME]; the command line wins over it.",
    tables=["arms"],
    panels={
        MODEL: f"{MODEL}, the same for all arms",
        COURSE: f"{COURSE}, the same for all arms",
    },
)
def compare(
    corpus: Corpus,
    *,
    experiment: Experiment,
    course: Annotated[
        TrainConfig,
        Uses(
            without=("grad_accum", "lr", "seed"),
            defaults={
                "steps": 800,
                "batch_size": None,
                "patience": 5,
                "test_fraction": 0.1,
            },
            help={
                "batch_size": f"Lines or windows in a batch. Default: {_LINES} lines, or with "
                f"--stream {_WINDOWS} windows.",
                "test_fraction": "Share of the lines, the last, whose loss is reported.",
            },
        ),
    ],
    model: Annotated[ModelConfig, Uses(only=SHARED, defaults={"n_embd": 64})],
    scores: ScoreChoice,
    as_json: Json = False,
    given: Given,
) -> None:
    """Does it help? Train each kind of attention over several seeds, and compare on test text.

    Every arm sees the same tokens in the same order, has as many parameters, and chooses its
    learning rate from the same grid. Finished runs are kept in --out: after a break the same
    command makes only those that are missing.
    """
    check_there(corpus)

    from llmattn.comparing.settle import settle

    experiment.use_threads()
    if "batch_size" not in given.names():
        course = evolve(course, batch_size=_WINDOWS if course.stream else _LINES)
    config = settle(corpus, experiment, course, model, scores, given.tables("arms"))
    given.refuse(
        ScoreChoice, lambda said: why_unread(said.name, config.arms, scores), chooser="arms"
    )

    from llmattn.cli.compare_show import run_and_show

    try:
        make_folder(experiment.out)
        with hold(experiment.out, "--out"):
            run_and_show(config, command=given.command(without=["as_json"]), json=as_json)
    except KeyboardInterrupt:
        notify(
            f"Interrupted: finished runs are kept in {experiment.out}. The same command makes the "
            "others."
        )
        raise typer.Exit(exit_code()) from None
