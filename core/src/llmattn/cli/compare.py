"""``llmattn compare``: several kinds of attention on one text, over several seeds."""

from __future__ import annotations

from typing import Annotated

import typer

from llmattn.cli.build import Uses, command
from llmattn.cli.common import Corpus, Json
from llmattn.cli.given import Given
from llmattn.comparing.config import (
    COURSE_DEFAULTS,
    LINES,
    MODEL_DEFAULTS,
    OWN_COURSE,
    SHARED,
    WINDOWS,
    Experiment,
    with_batches,
)
from llmattn.model.config import ModelConfig
from llmattn.notices import notify
from llmattn.options import COURSE, MODEL
from llmattn.reading.files import check_there
from llmattn.scoring.options import ScoreChoice
from llmattn.signals import exit_code
from llmattn.training.config import ImitationOptions, TrainConfig

__all__ = ["compare"]


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
            without=OWN_COURSE,
            defaults={**COURSE_DEFAULTS, "batch_size": None},
            help={
                "batch_size": f"Lines or windows in a batch. Default: {LINES} lines, or with "
                f"--stream {WINDOWS} windows.",
                "test_fraction": "Share of the lines, the last, whose loss is reported.",
            },
        ),
    ],
    model: Annotated[ModelConfig, Uses(only=SHARED, defaults=MODEL_DEFAULTS)],
    scores: ScoreChoice,
    imitation: Annotated[
        ImitationOptions,
        Uses(
            only=("imitate_weight",),
            help={
                "imitate_weight": "For arms such as transfer: what a nat between an arm's weights "
                "and those that it imitates adds to the loss."
            },
        ),
    ],
    as_json: Json = False,
    given: Given,
) -> None:
    """Does it help? Train each kind of attention over several seeds, and compare on test text.

    Every arm sees the same tokens in the same order, has as many parameters, and chooses its
    learning rate from the same grid. Finished runs are kept in --out: after a break the same
    command makes only those that are missing.
    """
    check_there(corpus)

    from llmattn.comparing.settle import refuse_unread, settle

    experiment.use_threads()
    if "batch_size" not in given.names():
        course = with_batches(course)
    config = settle(corpus, experiment, course, model, scores, given.tables("arms"), imitation)
    refuse_unread(config, given)

    from llmattn.cli.compare_show import show
    from llmattn.comparing.whole import carry_out

    try:
        show(carry_out(config, command=given.command(without=["as_json"])), json=as_json)
    except KeyboardInterrupt:
        notify(
            f"Interrupted: finished runs are kept in {experiment.out}. The same command makes the "
            "others."
        )
        raise typer.Exit(exit_code()) from None
