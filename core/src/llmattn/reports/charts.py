"""Curves and intervals as drawings inside a page, which follow its colours."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import frozen

from llmattn.view.page import escaped

__all__ = ["Interval", "Series", "interval_chart", "line_chart"]

_WIDE, _HIGH = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 8, 40
_ROW = 30
_COLOURS = 8
"""That the style has."""


@frozen
class Series:
    """A curve: points (x, y) by rising x, and a band (x, low, high) around it if there is one."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()

    @property
    def best(self) -> tuple[float, float]:
        """Its lowest point."""
        return min(self.points, key=lambda point: point[1])


@frozen
class Interval:
    """A mean with half of its interval, None where there is none; single values beside it."""

    name: str
    mean: float
    half: float | None
    single: Sequence[float] = ()


def line_chart(series: Sequence[Series], title: str, x_label: str, y_label: str) -> str:
    """Curves in one figure; empty without a point. The first steps fall from far above, and are cut
    where they would press the others together.
    """
    series = [each for each in series if each.points]
    if not series:
        return ""
    right = max(1.0, max(each.points[-1][0] for each in series))
    low = min(each.best[1] for each in series)
    late = [y for each in series for _, y in each.points[len(each.points) // 4 :]]
    spread = max(max(late) - low, 1e-3)
    low, high = low - 0.06 * spread, max(late) + 0.1 * spread
    x = _Axis(0.0, right, _LEFT, _WIDE - _RIGHT)
    y = _Axis(low, high, _HIGH - _BOTTOM, _TOP)
    drawn = []
    for number, each in enumerate(series):
        kind = f"c{number % _COLOURS}"
        if each.band:
            edge = [(at, top) for at, _, top in each.band]
            edge += [(at, bottom) for at, bottom, _ in reversed(each.band)]
            drawn.append(f'<polygon class="band {kind}" points="{_path(edge, x, y)}"/>')
        drawn.append(f'<polyline class="line {kind}" points="{_path(each.points, x, y)}"/>')
        at, loss = each.best
        drawn.append(_dot(kind, x.at(at), y.at(loss)))
    inside = (
        f'<svg x="{_LEFT}" y="0" width="{_WIDE - _LEFT}" height="{_HIGH - _BOTTOM + 4}" '
        f'viewBox="{_LEFT} 0 {_WIDE - _LEFT} {_HIGH - _BOTTOM + 4}">{"".join(drawn)}</svg>'
    )
    axes = _across(x, _HIGH - _BOTTOM) + "".join(
        _line("grid", _LEFT, y.at(v), _WIDE - _RIGHT, y.at(v))
        + f'<text x="{_LEFT - 6}" y="{y.at(v) + 4:.1f}" text-anchor="end">{_short(v)}</text>'
        for v in y.ticks()
    )
    ends = "; ".join(f"{s.name}: lowest {s.best[1]:.4f} at {s.best[0]:,.0f}" for s in series)
    return _figure(_HIGH, title, f"{title}. {ends}.", axes + inside, x_label, y_label) + _legend(
        [each.name for each in series]
    )


def interval_chart(intervals: Sequence[Interval], title: str, x_label: str) -> str:
    """Means with their intervals, a row each, beside zero; empty without one."""
    intervals = [each for each in intervals if math.isfinite(each.mean)]
    if not intervals:
        return ""
    halves = [each.half or 0.0 for each in intervals]
    pairs = [*zip(intervals, halves, strict=True)]
    ends = [0.0, *(v for each in intervals for v in each.single if math.isfinite(v))]
    ends += [each.mean + sign * half for each, half in pairs for sign in (-1, 1)]
    margin = 0.06 * max(max(ends) - min(ends), 1e-6)
    high = _TOP + _ROW * len(intervals)
    x = _Axis(min(ends) - margin, max(ends) + margin, 12, _WIDE - 12)
    drawn = [_line("zero", x.at(0), _TOP, x.at(0), high)]
    for row, (each, half) in enumerate(pairs):
        middle = _TOP + _ROW * (row + 0.72)
        at = x.at(each.mean)
        drawn.append(f'<text x="12" y="{middle - 9:.1f}">{escaped(_cut(each.name))}</text>')
        drawn += [
            _line("single", x.at(v), middle - 5, x.at(v), middle + 5)
            for v in each.single
            if math.isfinite(v)
        ]
        left, right = x.at(each.mean - half), x.at(each.mean + half)
        drawn.append(_line("line c0", left, middle, right, middle) + _dot("c0", at, middle))
    told = "; ".join(
        f"{each.name}: {each.mean:+.3f}" + (f" ± {each.half:.3f}" if each.half else "")
        for each in intervals
    )
    body = _across(x, high) + "".join(drawn)
    return _figure(high + _BOTTOM, title, f"{title}. {told}.", body, x_label, "")


@frozen
class _Axis:
    """From values to places in the drawing."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.begin + min(max(share, -9.0), 9.0) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round values, four to eight."""
        rough = (self.high - self.low) / 8
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= rough)
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, math.floor(self.high / step) + 1)]


def _across(x: _Axis, bottom: float) -> str:
    return "".join(
        _line("grid", x.at(v), _TOP, x.at(v), bottom)
        + f'<text x="{x.at(v):.1f}" y="{bottom + 16}" text-anchor="middle">{_short(v)}</text>'
        for v in x.ticks()
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _dot(kind: str, x: float, y: float) -> str:
    return f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _figure(high: float, title: str, told: str, body: str, x_label: str, y_label: str) -> str:
    place = f'x="{(_LEFT + _WIDE) / 2}" y="{high - 6}"'
    labels = f'<text {place} text-anchor="middle">{escaped(x_label)}</text>'
    above = f' <span class="soft">({escaped(y_label)})</span>' if y_label else ""
    return (
        f"<figure><figcaption>{escaped(title)}{above}</figcaption>"
        f'<svg class="chart" role="img" aria-label="{escaped(told)}" '
        f'viewBox="0 0 {_WIDE} {high:g}">{body}{labels}</svg></figure>'
    )


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<li><svg class="key" aria-hidden="true" viewBox="0 0 26 8"><line class="line '
        f'c{number % _COLOURS}" x1="0" x2="26" y1="4" y2="4"/></svg>{escaped(name)}</li>'
        for number, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>' if len(names) > 1 else ""


def _path(points: Sequence[tuple[float, float]], x: _Axis, y: _Axis) -> str:
    return " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in points)


def _short(value: float) -> str:
    if value and abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.4g}" if abs(value) > 1e-12 else "0"


def _cut(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"
