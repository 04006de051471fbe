"""``llmattn show``: what the heads of a model, or the scores of a provider, look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmattn.cli.build import AlsoOption, Uses, Written, command
from llmattn.cli.common import ASKING_AGAIN, Ask, Json
from llmattn.cli.utf8 import check_utf8
from llmattn.drawing import check_picture
from llmattn.errors import ConfigError
from llmattn.options import SCORES
from llmattn.reading.files import check_there
from llmattn.scoring.options import ScoreChoice
from llmattn.training.recognise import check_checkpoint

__all__ = ["show"]


@command()
def show(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="What training wrote; or leave it out, see --provider."),
        AlsoOption("checkpoint"),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Show what attends to what in this line of text.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Draw a picture; the file's ending names the format."),
        Written(),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="The text to measure on, or for a provider that counts in a text. "
            "Default: the one the checkpoint was trained on."
        ),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="Draw these channels of a provider. Default: at most 12 of all."),
    ] = None,
    as_json: Json = False,
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            "-p",
            help="Show the scores of this provider for --text.",
            rich_help_panel=SCORES,
        ),
    ] = None,
    *,
    ask: Ask = False,
    scores: Annotated[ScoreChoice, Uses(only=ASKING_AGAIN)],
) -> None:
    """Show what each head of a trained model listens to, or how a provider scores a text.

    With a checkpoint alone: how each head weighs the channels and the distance, and how widely
    it looks. With --text: the attention weights of that text. With --provider and --text: the
    scores themselves. Prints a table; --out draws.
    """
    if (checkpoint is None) == (provider is None):
        raise ConfigError("Name a checkpoint to show, or a --provider with a --text; one of them.")
    if text is not None:
        check_utf8(text, "--text")
    if checkpoint is not None:
        check_checkpoint(checkpoint)
    if corpus is not None:
        check_there(corpus)
    if out:
        check_picture(out)

    from llmattn.cli import show_print as printing

    if provider is not None:
        if text is None:
            raise ConfigError("--provider shows how a text is scored: give one with --text.")
        printing.show_scores(provider, text, scores, corpus, channel or (), out, as_json=as_json)
        return
    assert checkpoint is not None
    if channel:
        raise ConfigError("--channel chooses channels of a --provider; a checkpoint shows all.")
    if text is None:
        printing.show_heads(checkpoint, scores, corpus, out, ask=ask, as_json=as_json)
    else:
        printing.show_weights(checkpoint, text, scores, out, ask=ask, as_json=as_json)
