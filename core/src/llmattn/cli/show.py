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
from llmattn.view.page import check_page, is_page

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
        typer.Option(
            help="Write a page to look around in (FILE.html, with --text), or draw a picture; the "
            "file's ending names the format."
        ),
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
        typer.Option(
            help="Show these channels of a provider. Default: all in a page, else at most 12."
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="How numbers become colours: linear, sqrt, log or rank. Default: sqrt for up to "
            "48 tokens, log for more. A page can change it."
        ),
    ] = None,
    as_json: Json = False,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            "--provider",
            "-p",
            help="Show the scores of this provider for --text; may be given several times, and "
            "beside a checkpoint.",
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
    scores themselves, of several providers, or beside the weights. Prints a table; --out draws,
    or writes a page to look around in.
    """
    names = list(provider or ())
    if checkpoint is None and not names:
        raise ConfigError("Name a checkpoint to show, or a --provider with a --text, or both.")
    if checkpoint is not None:
        check_checkpoint(checkpoint)
    if corpus is not None:
        check_there(corpus)
    if text is None:
        for said, given in (
            ("--provider shows how a text is scored", names),
            ("--scale is of the pictures of a text", scale),
            ("--channel chooses what is shown of a text", channel),
            ("An HTML page shows how a text is read", out and is_page(out)),
        ):
            if given:
                raise ConfigError(f"{said}: give one with --text.")
    else:
        check_utf8(text, "--text")
    if channel and not names:
        raise ConfigError("--channel chooses channels of a --provider; a checkpoint shows all.")
    from llmattn.view.scales import SCALES

    if scale not in (None, *SCALES):
        raise ConfigError(f"--scale must be one of {', '.join(SCALES)}, not {scale!r}.")
    if out:
        if is_page(out):
            check_page(out)
        else:
            check_picture(out, others=["html"])

    if text is None:
        assert checkpoint is not None
        from llmattn.cli.show_print import show_heads

        show_heads(checkpoint, scores, corpus, out, ask=ask, as_json=as_json)
    else:
        from llmattn.cli.show_text import TextShown, show_text

        shown = TextShown(text, tuple(names), corpus, tuple(channel or ()), out, scale)
        show_text(checkpoint, shown, scores, ask=ask, as_json=as_json)
