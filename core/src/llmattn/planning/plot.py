"""Draws coverage against pairs, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmattn.drawing import need_drawing, save_picture
from llmattn.planning.plan import Plan
from llmattn.wording import counted

__all__ = ["plot_plan"]


def plot_plan(plans: Sequence[Plan], path: Path) -> None:
    """Write a picture to ``path`` (its ending names the format).

    Raises ConfigError without matplotlib, or if the file cannot be written.
    """
    need_drawing()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for plan in plans:
        shares = [100 * point.share for point in plan.curve]
        covered = [100 * point.coverage for point in plan.curve]
        (line,) = axes.plot(shares, covered, marker="o", label=plan.provider)
        for point, x, y in zip(plan.curve, shares, covered, strict=True):
            cost = "" if point.cost is None else f"\n${point.cost:,.2f}"
            axes.annotate(
                f"{counted(point.pairs, 'pair')}{cost}",
                (x, y),
                textcoords="offset points",
                xytext=(6, -20),
                fontsize=7,
                color=line.get_color(),
            )
    axes.set_xscale("log")
    ticks = [100 * point.share for point in plans[0].curve]
    axes.set_xticks(ticks, [f"{tick:g}%" for tick in ticks])
    axes.minorticks_off()
    in_context = all(plan.scope == "prefix" for plan in plans)
    axes.set_xlabel("text, from its beginning" if in_context else "most frequent pairs")
    axes.set_ylabel("attention positions covered (%)")
    axes.set_ylim(0, 105)
    axes.set_xlim(0.8, 250)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save_picture(figure, path, "--plot")
