"""Tables and JSON of ``llmattn show CHECKPOINT``. Imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
from rich import box

from llmattn.cli.output import echo, echo_json
from llmattn.cli.show_ranking import print_ranking, ranking_data
from llmattn.console import Table, make_console
from llmattn.data.corpus import Corpus, load_corpus
from llmattn.errors import CheckpointError, CorpusError
from llmattn.notices import notify
from llmattn.scoring.options import ScoreChoice
from llmattn.training.checkpoint import Checkpoint, load_checkpoint
from llmattn.training.own_text import own_text
from llmattn.training.taken import taken_words
from llmattn.view.heads import Heads, heads_of, measure
from llmattn.view.plots import draw_heads
from llmattn.wording import counted, signed

__all__ = ["show_heads"]

_STRONGEST = 3
"""Channels of a head that the table names."""


def show_heads(
    path: Path,
    choice: ScoreChoice,
    corpus_path: Path | None,
    out: Path | None,
    *,
    ask: bool,
    as_json: bool,
) -> None:
    """What each head of a checkpoint listens to."""
    checkpoint = load_checkpoint(path)
    checkpoint.check_scores()
    heads = heads_of(checkpoint)
    corpus = _corpus(path, checkpoint, corpus_path)
    if corpus is not None:
        heads = attrs.evolve(heads, measured=measure(checkpoint, corpus, choice, ask=ask))
    if out:
        draw_heads(heads, out)
    if as_json:
        echo_json({**_heads_data(heads), "taken": dict(checkpoint.taken)}, indent=1)
    else:
        _print_heads(heads)
        for sentence in taken_words(checkpoint.taken):
            echo(f"Taken: {sentence}.")
    if out:
        notify(f"Wrote {out}.")


def _corpus(file: Path, checkpoint: Checkpoint, path: Path | None) -> Corpus | None:
    """The text to measure on; None if the checkpoint's own is not there any more, or not where
    it may be read from.
    """
    if path is None and not checkpoint.corpus:
        notify(
            "An export does not tell its text: nothing is measured, only what was learned is "
            "shown. Name a text to measure on with --corpus."
        )
        return None
    try:
        corpus = load_corpus(
            path or own_text(file, checkpoint),
            checkpoint.train_config,
            tokenizer=checkpoint.tokenizer,
        )
    except (CorpusError, CheckpointError) as error:
        if path is not None:
            raise
        notify(f"{error} Until then nothing is measured, only what was learned is shown.")
        return None
    if path is None and corpus.digest != checkpoint.corpus_digest:
        raise CheckpointError(
            f"{checkpoint.corpus!r} is not the text any more that the checkpoint was trained on: "
            "name a text to measure on with --corpus."
        )
    return corpus


def _print_heads(heads: Heads) -> None:
    measured = heads.measured
    table = Table(box=box.SIMPLE_HEAD)
    if heads.layers > 1:
        table.add_column("layer", justify="right")
    table.add_column("head", justify="right")
    if measured:
        for name in ("entropy", "of uniform", "looks back"):
            table.add_column(name, justify="right")
    if heads.tau is not None:
        name = "strongest channels, tau" + (" (moves logits by)" if measured else "")
        table.add_column(name, overflow="fold")
    for layer, head in np.ndindex(heads.layers, heads.n_head):
        cells = [str(layer + 1)] if heads.layers > 1 else []
        cells.append(str(head + 1))
        if measured:
            entropy = measured.entropy[layer, head]
            cells.append(f"{entropy:.2f}")
            cells.append(f"{entropy / measured.uniform_entropy:.0%}")
            cells.append(f"{measured.distance[layer, head]:.1f}")
        if heads.tau is not None:
            cells.append(_strongest_channels(heads, layer, head))
        table.add_row(*cells)
    console = make_console()
    shared = ", the same in all layers" if heads.layers == 1 and heads.n_layer > 1 else ""
    layers = counted(heads.n_layer, "layer")
    console.print(f"{heads.attention} attention, {layers}{shared}")
    console.print(table)
    if measured:
        console.print(
            f"Means over {counted(measured.tokens, 'token')} of validation text. Entropy in nats; "
            f"looking everywhere alike has {measured.uniform_entropy:.2f}. Looks back: tokens."
        )
        if measured.ranking is not None:
            print_ranking(measured.ranking)


def _strongest_channels(heads: Heads, layer: int, head: int) -> str:
    assert heads.tau is not None
    tau = heads.tau[layer, head]
    moved = None if heads.influence is None else heads.influence[layer, head]
    order = np.argsort(-(np.abs(tau) if moved is None else moved), kind="stable")
    return ", ".join(
        f"{heads.channels[c]} {signed(tau[c], 1)}" + ("" if moved is None else f" ({moved[c]:.2f})")
        for c in order[:_STRONGEST]
    )


def _heads_data(heads: Heads) -> dict[str, Any]:
    measured, influence = heads.measured, heads.influence

    def by_channel(values: Any) -> dict[str, float]:
        return dict(zip(heads.channels, _rounded(values), strict=True))

    listed = []
    for layer, head in np.ndindex(heads.layers, heads.n_head):
        each: dict[str, Any] = {"layer": None if heads.layers == 1 else layer + 1, "head": head + 1}
        if measured:
            each["entropy"] = _rounded(measured.entropy[layer, head])
            each["looks_back"] = _rounded(measured.distance[layer, head])
        if heads.tau is not None:
            each["tau"] = by_channel(heads.tau[layer, head])
        if influence is not None:
            each["moves_logits_by"] = by_channel(influence[layer, head])
        if heads.distance_bias is not None:
            each["distance_bias"] = _rounded(heads.distance_bias[layer, head])
        listed.append(each)
    return {
        "attention": heads.attention,
        "layers": heads.n_layer,
        "channels": list(heads.channels),
        "measured_tokens": measured.tokens if measured else 0,
        "uniform_entropy": _rounded(np.float32(measured.uniform_entropy)) if measured else None,
        "heads": listed,
        "ranking": ranking_data(measured.ranking) if measured and measured.ranking else None,
    }


def _rounded(values: Any) -> Any:
    """As plain numbers, to as many places as float32 holds."""
    return np.round(values.astype(np.float64), 6).tolist()
