"""``llmattn eval``: how well a trained model predicts a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmattn.cli import options as o
from llmattn.cli.output import echo, echo_json
from llmattn.cli.parsing import parse_options, use_threads
from llmattn.notices import notify
from llmattn.training.choice import ScoreChoice

if TYPE_CHECKING:
    from llmattn.training.measure import Measure

__all__ = ["evaluate"]


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="What training or export wrote.")],
    corpus: o.CorpusArgument,
    split: Annotated[
        str,
        typer.Option(
            help="all of the text, or its val or test part, as the checkpoint's training cut it."
        ),
    ] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads of the processor.")] = None,
    ask: o.Ask = False,
    model: o.Model = None,
    option: o.Option = None,
    criteria: o.Criteria = None,
    scope: o.ScoreScope = None,
    channels: o.Channels = None,
    method: o.Method = None,
    cache: o.CacheName = "lmdb",
    cache_dir: o.CacheDir = None,
    max_cost: o.MaxCost = None,
    max_requests: o.MaxRequests = None,
    price_in: o.PriceIn = None,
    price_out: o.PriceOut = None,
    max_wait: o.MaxWait = 600.0,
    ask_batched: o.AskBatched = False,
) -> None:
    """Print a checkpoint's loss, perplexity and bits per byte on a text.

    Bits per byte compare models of different tokenizers: they write the text to the byte, with
    unknown words, case and spaces. A pair of words that was never scored counts as the mean of
    its row; so does one in context that is not cached, unless --ask has the provider score it.
    """
    choice = ScoreChoice(
        options=parse_options(
            option or (), criteria=criteria, scope=scope, channels=channels, method=method
        ),
        model=model,
        cache=cache,
        cache_dir=cache_dir,
        scoring=o.scoring_options(
            max_cost=max_cost,
            max_requests=max_requests,
            price_in=price_in,
            price_out=price_out,
            max_wait=max_wait,
            ask_batched=ask_batched,
        ),
    )
    use_threads(threads)

    from llmattn.devices import choose_device
    from llmattn.training.checkpoint import load_checkpoint
    from llmattn.training.measure import measure

    where = choose_device(device)
    loaded = load_checkpoint(checkpoint, device=where)
    found = measure(loaded, corpus, part=split, choice=choice, ask=ask, device=where)
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
        f"text    {found.tokens:,} tokens for {found.size:,} bytes; {found.unknown:,} unknown "
        f"words ({share:.1%} of the tokens)"
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
