"""What ``llmattn show --text`` prints, draws and writes. Imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, frozen
from rich import box

from llmattn.cli.heat import print_heat
from llmattn.cli.output import echo_json
from llmattn.console import Table, make_console
from llmattn.data.corpus import load_corpus
from llmattn.notices import notify
from llmattn.scoring.options import ScoreChoice
from llmattn.training.checkpoint import load_checkpoint
from llmattn.view.heads import TextWeights, text_weights
from llmattn.view.maps import Floats, Maps, Sheet, lines_of, strongest_pairs, token_label
from llmattn.view.page import is_page
from llmattn.view.plots import draw_maps
from llmattn.view.scores import model_sheet, split_choice, text_scores
from llmattn.view.sheet_page import save_sheet

__all__ = ["TextShown", "show_text"]

_COLUMNS = 5
"""Maps up to which each has a column of a table."""
_STRONGEST = 3
"""Keys of a token that the table names."""
_SHORT = 48
"""Tokens up to which the table has a row for each."""
_PICTURED = 12
"""Channels of a provider that are shown, unless they are named or there is a page to choose in."""


@frozen
class TextShown:
    """What is to be shown of a ``text``: the scores of ``providers``, on a ``corpus`` for those
    that count in one, as the ``channels``; ``out`` and ``scale``: the file, and its colours.
    """

    text: str
    providers: tuple[str, ...]
    corpus: Path | None
    channels: tuple[str, ...]
    out: Path | None
    scale: str | None


def show_text(
    path: Path | None, shown: TextShown, choice: ScoreChoice, *, ask: bool, as_json: bool
) -> None:
    """How a checkpoint reads the text, how providers score it, or both, on the same tokens."""
    checkpoint = read = None
    sources: list[Maps] = []
    if path is not None:
        checkpoint = load_checkpoint(path)
        own, choice = split_choice(choice, checkpoint, shown.providers)
        read = text_weights(checkpoint, shown.text, own, ask=ask)
        _tell_reading(read)
        sheet = model_sheet(path.name, read)
        sources += sheet.sources
    else:
        choice = evolve(choice, providers=shown.providers)
    if shown.providers:
        in_page = shown.out is not None and is_page(shown.out)
        sheet = text_scores(
            choice,
            shown.text,
            corpus=load_corpus(shown.corpus, hint=False).train_words() if shown.corpus else None,
            read=read,
            channels=shown.channels,
            most=1_000_000 if in_page else _PICTURED,
        )
        sources += sheet.sources
    sheet = evolve(sheet, sources=sources)
    if shown.out:
        (save_sheet if is_page(shown.out) else draw_maps)(sheet, shown.out, shown.scale)
    if as_json:
        echo_json(_data(sheet))
    else:
        print_heat(sheet, shown.scale)
        for source in sheet.sources:
            _print_strongest(source, sheet.tokens, titled=len(sources) > 1)
    if shown.out:
        notify(f"Wrote {shown.out}.")


def _tell_reading(found: TextWeights) -> None:
    if found.unknown:
        notify(f"Not in the vocabulary, read as <unk>: {', '.join(dict.fromkeys(found.unknown))}")
    if found.unscored:
        notify(
            f"{found.unscored:.0%} of the word pairs were never scored; each counts as the mean "
            "of its row."
        )
    if found.left_out:
        notify(
            f"The model looks at {len(found.tokens)} tokens at once: the last {found.left_out} of "
            "the text are left out."
        )


def _data(sheet: Sheet) -> dict[str, Any]:
    """One source as it is; several in a list, since they share the tokens."""
    listed = [_source_data(source) for source in sheet.sources]
    if len(listed) == 1:
        return {"tokens": sheet.tokens, **listed[0]}
    return {"tokens": sheet.tokens, "sources": listed}


def _source_data(source: Maps) -> dict[str, Any]:
    rows = [_triangle(matrix) for matrix in source.values]
    if source.what == "score":
        channels = dict(zip(source.names, rows, strict=True))
        return {"provider": source.source, "channels": channels}
    weights = []
    for name, each in zip(source.names, rows, strict=True):
        layer, _, head = name.rpartition(", ")
        number = int(layer.removeprefix("layer ")) if layer else None
        weights.append({"layer": number, "head": int(head.removeprefix("head ")), "rows": each})
    return {"checkpoint": source.source, "weights": weights}


def _triangle(matrix: Floats) -> list[list[float | None]]:
    """Row i with its i + 1 numbers, to as many places as float32 holds; None where unknown."""
    rounded = np.round(matrix.astype(np.float64), 6).tolist()
    return [
        [None if value != value else value for value in row[: place + 1]]
        for place, row in enumerate(rounded)
    ]


def _print_strongest(source: Maps, tokens: list[str], *, titled: bool) -> None:
    """The strongest keys of each token, a column a map; of many maps, or of a long text, where
    each map's attention rests, and its strongest pairs besides.
    """
    labels = [token_label(token) for token in tokens]
    console = make_console()
    if titled:
        console.print(f"{source.source}:")
    if len(source.names) <= _COLUMNS and len(tokens) <= _SHORT:
        table = Table("token", *source.names, box=box.SIMPLE_HEAD)
        for query, label in enumerate(labels):
            cells = [
                _strongest_keys(matrix[query, : query + 1], labels) for matrix in source.values
            ]
            table.add_row(label, *cells, end_section=True)
    else:
        table = Table("", "rests on", "strongest pairs besides", box=box.SIMPLE_HEAD)
        for name, matrix in zip(source.names, source.values, strict=True):
            lines = lines_of(matrix)
            pairs = strongest_pairs(matrix, labels, 2 * _STRONGEST, lines)
            besides = (f"{labels[q]} → {labels[k]} {matrix[q, k]:.2g}" for q, k in pairs)
            table.add_row(name, _rests(matrix, labels, lines), ", ".join(besides))
    console.print(table)


def _strongest_keys(row: Floats, labels: list[str]) -> str:
    order = np.argsort(-row, kind="stable")[:_STRONGEST]
    return "\n".join(f"{labels[key]} {row[key]:.2g}" for key in order if row[key] > 0)


def _rests(matrix: Floats, labels: list[str], lines: list[int]) -> str:
    """The keys that most later queries look at, with their mean over those."""
    return ", ".join(
        f"{labels[key]} {np.nanmean(matrix[key + 1 :, key]):.2g}" for key in lines[:_STRONGEST]
    )
