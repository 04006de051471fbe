"""``llmattn export``: a trained model as files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmattn.cli.apart import check_apart
from llmattn.cli.build import command
from llmattn.cli.common import Checkpoint
from llmattn.cli.output import echo
from llmattn.training.recognise import check_checkpoint

__all__ = ["export"]


@command()
def export(
    checkpoint: Checkpoint,
    safetensors: Annotated[
        Path,
        typer.Option(
            help="Folder for model.safetensors, config.json and tokenizer.json.", metavar="DIR"
        ),
    ],
) -> None:
    """Write a checkpoint's best model as safetensors, without the state of its training.

    The folder also holds the score table, if the model reads one, and stands for the
    checkpoint in `sample` and `eval`. Nothing in it is ever executed.
    """
    check_checkpoint(checkpoint)

    from llmattn.training.checkpoint import export_checkpoint, load_checkpoint

    check_apart({"--safetensors": safetensors}, {"the checkpoint": checkpoint})
    for path in export_checkpoint(safetensors, load_checkpoint(checkpoint)):
        echo(f"{path}  {path.stat().st_size:,} bytes")
