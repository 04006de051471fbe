"""The pictures of a comparison: validation loss on the way, and gains with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmattn.comparing.results import ArmResult, Results
from llmattn.drawing import need_drawing, save_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PICTURES", "draw"]

_CURVES, _GAINS = "curves.png", "intervals.png"
PICTURES = (_CURVES, _GAINS)
"""Names of what may be drawn."""


def draw(results: Results, folder: Path) -> list[Path]:
    """Write curves.png and intervals.png (the latter only if there is a baseline and another
    arm), and name them. Raises ConfigError without matplotlib.
    """
    need_drawing()
    from matplotlib.figure import Figure

    colors = {result.name: f"C{index % 10}" for index, result in enumerate(results.arms)}
    curves = Figure(figsize=(8, 5), layout="constrained")
    _draw_curves(curves.add_subplot(), results.arms, colors)
    paths = [save_picture(curves, folder / _CURVES, in_folder=True)]
    against = [name for name in results.against if len(results.arms) > 1]
    if against:
        height = 1.3 + 0.38 * len(results.arms)
        intervals = Figure(figsize=(4.4 * len(against) + 1.6, height), layout="constrained")
        panels = intervals.subplots(1, len(against), sharey=True, squeeze=False)[0]
        for axes, baseline in zip(panels, against, strict=True):
            _draw_gains(axes, results, baseline, colors)
        paths.append(save_picture(intervals, folder / _GAINS, in_folder=True))
    return paths


def _draw_curves(axes: Axes, arms: Sequence[ArmResult], colors: dict[str, str]) -> None:
    """Mean over seeds of the validation loss, with the band from the lowest to the highest."""
    ends, lowest = [], []
    for result in arms:
        runs = list(result.runs.values())
        # Runs stop when they no longer get better; a mean is drawn as far as all of them went.
        shared = set.intersection(*({step for step, _, _ in run.curve} for run in runs))
        steps = sorted(shared - {0}) or sorted(shared)
        by_step = [
            [loss for run in runs for at, _, loss in run.curve if at == step] for step in steps
        ]
        means = [sum(losses) / len(losses) for losses in by_step]
        color = colors[result.name]
        axes.plot(steps, means, color=color, label=result.name, linewidth=1.6)
        axes.fill_between(
            steps, [min(v) for v in by_step], [max(v) for v in by_step], color=color, alpha=0.15
        )
        best = min(range(len(means)), key=means.__getitem__)
        axes.plot(steps[best], means[best], "o", color=color, markersize=5)
        lowest.append(min(means))
        ends.append(max(means[len(means) // 4 :]))
    # The first steps fall from far above; what matters is how the curves lie near their best.
    spread = max(max(ends) - min(lowest), 0.05)
    axes.set_ylim(min(lowest) - 0.08 * spread, max(ends) + 0.12 * spread)
    axes.set_xlabel("step")
    axes.set_ylabel("validation loss (nats a token)")
    seeds = max(len(result.runs) for result in arms)
    axes.set_title(
        f"mean of {seeds} seeds, band from lowest to highest, best marked"
        if seeds > 1
        else "one seed, best marked",
        fontsize=10,
    )
    axes.grid(alpha=0.3)
    handles, names = axes.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda place: -lowest[place])  # as the curves lie
    axes.legend(
        [handles[place] for place in order],
        [names[place] for place in order],
        loc="upper right",
        fontsize=9,
        framealpha=0.9,
    )


def _draw_gains(axes: Axes, results: Results, baseline: str, colors: dict[str, str]) -> None:
    """One line an arm: the mean gain, its interval, and the single seeds."""
    others = [result for result in results.arms if result.name != baseline]
    others.sort(key=lambda result: results.gain(result.name, baseline).mean)
    names = [result.name for result in results.arms]
    names.sort(key=lambda name: results.gain(name, results.against[0]).mean)
    base = results.arm(baseline).losses
    axes.axvline(0, color="black", linewidth=1)
    for result in others:
        place = names.index(result.name)
        gain = results.gain(result.name, baseline)
        single = [base[seed] - loss for seed, loss in result.losses.items() if seed in base]
        axes.plot(single, [place] * len(single), "|", color="0.6", markersize=9, zorder=1)
        axes.errorbar(
            gain.mean,
            place,
            xerr=gain.half if gain.trusted else None,
            fmt="o",
            color=colors[result.name],
            capsize=4,
            markersize=6,
            linewidth=1.8,
            zorder=2,
        )
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"gain over {baseline} (nats a token)\n← worse        better →")
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
