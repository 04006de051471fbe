"""Pictures of heads, of attention weights and of scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmattn.drawing import need_drawing, save_picture
from llmattn.errors import ConfigError
from llmattn.printable import printable
from llmattn.view.heads import Heads
from llmattn.view.maps import Maps, Sheet, token_label
from llmattn.view.scales import fit_scale, usual_scale
from llmattn.wording import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_heads", "draw_maps"]

_MOST_LABELS = 48
"""Tokens or channels up to which each is named at the axes."""
_WRITTEN_IN = 60
"""Cells up to which the numbers of a heat map are written into it."""


def draw_heads(heads: Heads, path: Path) -> None:
    """Tau, distance bias and entropy of each head, one row of panels a layer.

    Raises ConfigError without matplotlib, if there is nothing to draw, or if the file cannot
    be written.
    """
    panels: list[tuple[float, Any]] = []
    if heads.tau is not None:
        panels.append((min(9.0, max(2.8, 1.2 + 0.42 * len(heads.channels))), _draw_tau))
    if heads.distance_bias is not None:
        panels.append((3.6, _draw_bias))
    if heads.measured is not None:
        panels.append((2.6, _draw_entropy))
    if not panels:
        raise ConfigError(
            f"{heads.attention} attention learns nothing about where to look, and no text was "
            "measured: there is nothing to draw. Name the text with --corpus."
        )
    widths = [width for width, _ in panels]
    height = max(2.4, 1.3 + 0.3 * heads.n_head)
    labels = _channel_labels(heads)
    below = 0.065 * max(map(len, labels), default=0)
    figure = _figure(sum(widths) + 0.6, height * heads.layers + 0.4 + below)
    grid = figure.subplots(heads.layers, len(panels), squeeze=False, width_ratios=widths)
    for layer, row in enumerate(grid):
        for axes, (_, draw) in zip(row, panels, strict=True):
            draw(axes, heads, layer, layer == heads.layers - 1)
    title = f"{heads.attention} attention"
    title += ", the same in all layers" if heads.layers == 1 and heads.n_layer > 1 else ""
    figure.suptitle(title, fontsize=11)
    save_picture(figure, path)


def _draw_tau(axes: Axes, heads: Heads, layer: int, last: bool) -> None:
    assert heads.tau is not None
    tau = heads.tau[layer]
    most = max(float(np.abs(heads.tau).max()), 1e-6)
    image = axes.imshow(tau, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    _head_ticks(axes, heads.n_head, layer if heads.layers > 1 else None)
    labels = _channel_labels(heads)
    places = range(0, len(labels), -(-len(labels) // _MOST_LABELS)) if last else []
    axes.set_xticks(
        list(places), [labels[place] for place in places], rotation=90, fontsize=7, parse_math=False
    )
    if tau.size <= _WRITTEN_IN:
        for head, values in enumerate(tau.tolist()):
            for channel, value in enumerate(values):
                style: Any = {"ha": "center", "va": "center", "fontsize": 7}
                color = "white" if abs(value) > 0.6 * most else "black"
                axes.text(channel, head, signed(value, 1), color=color, **style)
    else:
        axes.figure.colorbar(image, ax=axes, pad=0.02).ax.tick_params(labelsize=7)
    if layer == 0:
        axes.set_title("tau: scale of each channel", fontsize=9)


def _channel_labels(heads: Heads) -> list[str]:
    """Short names; a provider's only channel often has the name of its provider."""
    names = []
    for name in heads.channels:
        owner, _, channel = name.partition(".")
        name = printable(channel if owner == channel else name, keep="")
        names.append(name if len(name) <= 26 else f"…{name[-25:]}")
    return names


def _draw_bias(axes: Axes, heads: Heads, layer: int, last: bool) -> None:
    assert heads.distance_bias is not None
    bias = heads.distance_bias[layer]
    distances = np.arange(bias.shape[1])
    for head, values in enumerate(bias):
        # What is the same at all distances changes no weight.
        axes.plot(
            distances, values - values.mean(), color=f"C{head % 10}", linewidth=1.2,
            label=f"head {head + 1}",
        )  # fmt: skip
    axes.set_xscale("symlog", base=2, linthresh=1)
    ticks = [0, *(2**n for n in range(max(1, math.ceil(math.log2(max(2, bias.shape[1]))))))]
    axes.set_xticks(ticks, [str(tick) for tick in ticks] if last else [], fontsize=7)
    axes.minorticks_off()
    axes.tick_params(axis="y", labelsize=7)
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axes.grid(alpha=0.25)
    if last:
        axes.set_xlabel("tokens back", fontsize=8)
    if layer == 0:
        axes.set_title("distance bias (logits, less their mean)", fontsize=9)
        axes.legend(fontsize=6, ncols=2 if heads.n_head > 4 else 1, framealpha=0.8)


def _draw_entropy(axes: Axes, heads: Heads, layer: int, last: bool) -> None:
    assert heads.measured is not None
    entropy, uniform = heads.measured.entropy[layer], heads.measured.uniform_entropy
    places = np.arange(heads.n_head)
    colors = [f"C{head % 10}" for head in places]
    axes.barh(places, entropy, color=colors, height=0.7)
    for place, value in enumerate(entropy.tolist()):
        inside = value > 0.3 * uniform
        axes.text(
            value - 0.02 * uniform if inside else value + 0.02 * uniform,
            place,
            f"{value:.2f}",
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else "black",
            fontsize=7,
        )
    axes.axvline(uniform, color="0.4", linestyle="--", linewidth=1)
    axes.set_xlim(0, 1.08 * max(uniform, float(heads.measured.entropy.max())))
    axes.invert_yaxis()
    _head_ticks(axes, heads.n_head, None)
    axes.tick_params(axis="x", labelsize=7, labelbottom=last)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if last:
        axes.set_xlabel("nats; dashed: looking everywhere alike", fontsize=8)
    if layer == 0:
        axes.set_title("entropy of the weights", fontsize=9)


def _head_ticks(axes: Axes, n_head: int, layer: int | None) -> None:
    names = [f"head {head + 1}" for head in range(n_head)]
    axes.set_yticks(range(n_head), names, fontsize=7)
    if layer is not None:
        axes.set_ylabel(f"layer {layer + 1}", fontsize=9)


def draw_maps(sheet: Sheet, path: Path, scale: str | None = None) -> None:
    """Every map of a sheet, a panel each; of a model a row a layer. Raises ConfigError as above.

    Maps of one source have one range of colours; with the scale ``rank`` each has its own.
    """
    scale = scale or usual_scale(len(sheet.tokens))
    several = len(sheet.sources) > 1
    widest = max(_columns(source) for source in sheet.sources)
    rows = sum(-(-len(source.names) // _columns(source)) for source in sheet.sources)
    size = len(sheet.tokens)
    side = min(5.0, max(1.9, 0.17 * size + 0.4))
    margin = 0.9 if size <= _MOST_LABELS else 0.3
    figure = _figure(widest * side + margin + 0.9, rows * (side + 0.25) + margin + 0.2)
    grid = figure.subplots(rows, widest, squeeze=False, sharex=True, sharey=True)
    for axes in grid.ravel():
        axes.set_visible(False)
    first = 0
    for source in sheet.sources:
        columns = _columns(source)
        height = -(-len(source.names) // columns)
        panels = grid[first : first + height]
        name = printable(source.source, keep="")
        titles = [f"{name}: {title}" if several else title for title in source.names]
        _draw_source(source, titles, panels, sheet.tokens, scale, columns)
        first += height
    figure.supylabel("query", fontsize=8)
    figure.supxlabel("key", fontsize=8)
    save_picture(figure, path)


def _columns(source: Maps) -> int:
    count = len(source.names)
    if source.what == "score":
        return min(count, 4)
    heads = sum(name.startswith("layer 1,") for name in source.names)
    return heads or min(count, 6)


def _draw_source(
    source: Maps,
    titles: Sequence[str],
    panels: Any,
    tokens: Sequence[str],
    scale: str,
    columns: int,
) -> None:
    size = len(tokens)
    labels = [token_label(token) for token in tokens]
    image: Any = None
    fit = fit_scale(scale, source.values) if scale != "rank" else None
    count = len(source.names)
    for number in range(count):
        axes = panels[number // columns, number % columns]
        axes.set_visible(True)
        matrix = source.values[number]
        places = (fit or fit_scale(scale, matrix[None])).places(matrix)
        image = axes.imshow(places, cmap="viridis", vmin=0, vmax=1)
        axes.set_title(printable(titles[number], keep=""), fontsize=8, parse_math=False)
        if size <= _MOST_LABELS:
            font = 7 if size <= 30 else 5.5
            axes.set_xticks(range(size), labels, rotation=90, fontsize=font, parse_math=False)
            axes.set_yticks(range(size), labels, fontsize=font, parse_math=False)
        # Shared axes are labelled below the last row, which may end early.
        axes.tick_params(length=0, labelbottom=number + columns >= count)
        axes.set_facecolor("0.95")
        for edge in axes.spines.values():
            edge.set_visible(False)
    bar = axes.figure.colorbar(image, ax=panels, fraction=0.03, pad=0.01)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    named = [f"{fit.value_at(tick):.2g}" if fit else f"{tick:.0%}" for tick in ticks]
    if fit:  # colours end here, numbers may go on
        named[-1] = f"≥ {named[-1]}"
        named[0] = f"≤ {named[0]}" if fit.low else named[0]
    bar.set_ticks(ticks, labels=named)
    kind = "attention weight" if source.what == "weight" else f"score of {source.source}"
    label = f"{kind} ({scale})" if fit else f"rank of the {kind} in its panel"
    bar.set_label(printable(label, keep=""), fontsize=8, parse_math=False)
    bar.ax.tick_params(labelsize=7)


def _figure(width: float, height: float) -> Figure:
    need_drawing()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
