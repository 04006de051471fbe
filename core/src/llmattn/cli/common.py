"""Parameters that several commands share and no settings class has, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmattn.cli.build import AlsoOption
from llmattn.options import SCORES
from llmattn.scoring.options import SETTINGS

__all__ = ["ASKING_AGAIN", "Ask", "Checkpoint", "Corpus", "Json"]

ASKING_AGAIN = (
    "model",
    *SETTINGS,
    "option",
    "cache",
    "cache_dir",
    "max_cost",
    "max_requests",
    "yes",
    "price_in",
    "price_out",
    "max_wait",
    "provider_timeout",
    "ask_batched",
)
"""Options by which a checkpoint's providers are asked again: it sets none of them."""

# Typer reads these at run time. Each may also be typed as an option, as other commands have it.
Checkpoint = Annotated[
    Path, typer.Argument(help="What training or export wrote."), AlsoOption("checkpoint")
]
Corpus = Annotated[
    Path,
    typer.Argument(metavar="CORPUS", help="A text file, one sentence a line."),
    AlsoOption("corpus"),
]
Ask = Annotated[
    bool,
    typer.Option(
        "--ask",
        help="Let the checkpoint's provider score what it has not scored yet (may cost money). It "
        "is asked as you have set it up here; the checkpoint decides nothing.",
        rich_help_panel=SCORES,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
