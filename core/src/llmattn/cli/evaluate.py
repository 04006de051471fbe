"""``llmattn eval``: how well a trained model predicts a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmattn.cli.build import Uses, command
from llmattn.cli.common import ASKING_AGAIN, Ask, Checkpoint, Corpus, Json
from llmattn.cli.output import echo, echo_json
from llmattn.notices import notify
from llmattn.options import RUN
from llmattn.reading.files import check_there
from llmattn.scoring.options import ScoreChoice
from llmattn.training.config import Machine
from llmattn.training.recognise import check_checkpoint
from llmattn.wording import counted

if TYPE_CHECKING:
    from llmattn.training.measure import Measure

__all__ = ["evaluate"]


@command(panels={RUN: None})
def evaluate(
    checkpoint: Checkpoint,
    corpus: Corpus,
    *,
    split: Annotated[
        str,
        typer.Option(
            help="all of the text, or its val or test part, as the checkpoint's training cut it."
        ),
    ] = "all",
    as_json: Json = False,
    machine: Machine,
    ask: Ask = False,
    scores: Annotated[ScoreChoice, Uses(only=ASKING_AGAIN)],
) -> None:
    """Print a checkpoint's loss, perplexity and bits per byte on a text.

    Bits per byte compare models of different tokenizers: they write the text to the byte, with
    unknown words, case and spaces. A pair of words that was never scored counts as the mean of
    its row; so does one in context that is not cached, unless --ask has the provider score it.
    """
    check_checkpoint(checkpoint)
    check_there(corpus)
    machine.use_threads()

    from llmattn.devices import choose_device
    from llmattn.training.checkpoint import load_checkpoint
    from llmattn.training.measure import measure

    where = choose_device(machine.device)
    loaded = load_checkpoint(checkpoint, device=where)
    found = measure(loaded, corpus, part=split, choice=scores, ask=ask, device=where)
    if as_json:
        about = {"checkpoint": str(checkpoint), "corpus": str(corpus), "split": split}
        echo_json({**about, **found.to_dict()})
    else:
        _show(found)
    if split == "all" and found.trained:
        notify("The model was trained on most of this text: --split val is what it has not seen.")


def _show(found: Measure) -> None:
    share = found.unknown / found.tokens
    echo(
        f"text    {counted(found.tokens, 'token')} for {found.size:,} bytes; "
        f"{counted(found.unknown, 'unknown word')} ({share:.1%} of the tokens)"
    )
    if found.coverage is not None:
        echo(f"scores  {found.coverage:.1%} of the attention is scored")
    echo(f"loss    {found.loss:.4f} nats a token, perplexity {found.perplexity:.1f}")
    parts = [f"{found.model_bits_per_byte:.4f} for the tokens"]
    if found.unknown:
        parts.append(f"{8 * found.unknown_size / found.size:.4f} to spell unknown words")
    if found.left_out_bits:
        parts.append(f"{found.left_out_bits / found.size:.4f} for case and spaces left out")
    more = f": {', '.join(parts)}" if len(parts) > 1 else ""
    echo(f"bits    {found.bits_per_byte:.4f} a byte{more}")
