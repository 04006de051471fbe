"""Where models look in sample sentences, as small maps and tables."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from attrs import frozen

from llmattn.data.corpus import Corpus
from llmattn.errors import LlmattnError
from llmattn.feeds.channels import reads_texts
from llmattn.printable import printable
from llmattn.reports.parts import folded, note, table
from llmattn.scoring.options import ScoreChoice
from llmattn.training.checkpoint import Checkpoint
from llmattn.view.heads import text_weights
from llmattn.view.maps import Floats, Maps, Sheet, token_label
from llmattn.view.page import escaped
from llmattn.view.scales import fit_scale, usual_scale
from llmattn.view.scores import model_sheet

__all__ = ["Sentences", "attention", "sentences_of"]

_TOKENS, _MAPS = 32, 24
"""Most that are shown: tokens of a sentence, maps of a model."""
_CELL = 18
_INK = (64, 112, 240)
"""Stands out on light and on dark ground."""


@frozen
class Sentences:
    """What models are shown. ``stated``: by the user, who so lets local providers score them."""

    texts: tuple[str, ...]
    stated: bool


def sentences_of(corpus: Corpus, most: int = 3) -> Sentences:
    """Up to ``most`` lines of the validation part that a page has room for."""
    fit = (
        line
        for text in corpus.val.texts
        for line in text.splitlines()
        if 5 <= len(line.split()) <= _TOKENS // 2
    )
    return Sentences(tuple(next(fit, "") for _ in range(most)), stated=False)


def attention(
    models: Sequence[tuple[str, Checkpoint]], sentences: Sentences, choice: ScoreChoice
) -> str:
    """For each sentence the maps of each model; or why there is none."""
    found, reasons = [], dict[str, None]()
    for text in filter(None, sentences.texts):
        for name, checkpoint in models:
            if reads_texts(checkpoint.scored) and not sentences.stated:
                reasons[
                    f"{name} reads scores in context, which its checkpoint does not hold: name a "
                    "sentence with --text, and its provider is asked if it is one of this machine."
                ] = None
                continue
            try:
                read = text_weights(checkpoint, text, choice)
            except LlmattnError as error:
                reasons[f"{name}: {error}"] = None
                continue
            found.append(_figure(name, model_sheet(name, read)))
    if found:
        found.insert(
            0,
            note(
                "Rows are queries, columns are keys, and a token's name stands where its row ends: "
                "the darker a cell, the more of its row's weight lies there. "
                "llmattn show CHECKPOINT --text … --out FILE.html is a page to look around in."
            ),
        )
    return "".join([*found, *map(note, reasons)])


def _figure(name: str, sheet: Sheet) -> str:
    (maps,) = sheet.sources
    labels = [token_label(token) for token in sheet.tokens[:_TOKENS]]
    values = maps.values[:_MAPS, : len(labels), : len(labels)]
    text = printable("".join(sheet.tokens[: len(labels)]).strip().replace("\n", " ⏎ "))
    parts = [_map("mean of all", values.mean(0), labels, labelled=True)]
    if len(values) > 1:
        small = (_map(n, m, labels) for n, m in zip(maps.names, values, strict=False))
        parts.append(f'<div class="maps">{"".join(small)}</div>')
    shown = [["token", *maps.names[: len(values)]], *_strongest(maps, values, labels)]
    caption = f"The strongest keys of each token, {name}"
    parts.append(folded("As a table", table(shown, caption, text_columns=len(shown[0]))))
    return (
        f'<figure class="sentence"><figcaption><strong>{escaped(name)}</strong>: '
        f"<q>{escaped(text)}</q></figcaption>{''.join(parts)}</figure>"
    )


def _strongest(maps: Maps, values: Floats, labels: Sequence[str]) -> Iterator[list[str]]:
    for query, label in enumerate(labels):
        cells = []
        for matrix in values:
            order = np.argsort(-matrix[query, : query + 1], kind="stable")[:3]
            cells.append(", ".join(f"{labels[key]} {matrix[query, key]:.2f}" for key in order))
        yield [label, *cells]


def _map(name: str, matrix: Floats, labels: Sequence[str], *, labelled: bool = False) -> str:
    """One heat map; the numbers behind it stand in the table."""
    size = len(labels)
    scale = fit_scale(usual_scale(size), matrix[None])
    picture = _picture(np.nan_to_num(scale.places(matrix)))
    side = size * _CELL
    more = 9 * max(map(len, labels)) if labelled else 0
    names = "".join(
        f'<text x="{(row + 1) * _CELL + 4}" y="{row * _CELL + 13}">{escaped(label)}</text>'
        for row, label in enumerate(labels)
        if labelled
    )
    kind = "map large" if labelled else "map"
    return (
        f'<div><svg class="{kind}" role="img" aria-label="{escaped(f"Heat map: {name}")}" '
        f'viewBox="0 0 {side + more} {side}"><image href="data:image/png;base64,{picture}" '
        f'width="{side}" height="{side}"/>{names}</svg>'
        f'<div class="small soft">{escaped(name)}</div></div>'
    )


def _picture(places: Floats) -> str:
    """Numbers in [0, 1] as a PNG whose opacity they are, in base64."""
    size = len(places)
    pixels = np.empty((size, size, 4), np.uint8)
    pixels[..., :3] = _INK
    pixels[..., 3] = np.round(places * 255)
    rows = np.concatenate([np.zeros((size, 1), np.uint8), pixels.reshape(size, -1)], axis=1)
    header = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (
            (b"IHDR", header),
            (b"IDAT", zlib.compress(rows.tobytes())),
            (b"IEND", b""),
        )
    )
    return base64.b64encode(data).decode()
