"""Parameters that several commands share and no settings class has, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Checkpoint", "Corpus", "Json"]

# Typer reads these at run time.
Checkpoint = Annotated[Path, typer.Argument(help="What training or export wrote.")]
Corpus = Annotated[Path, typer.Argument(metavar="CORPUS", help="A text file, one sentence a line.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
