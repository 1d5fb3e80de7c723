"""Small pictures as SVG text: a histogram of weights, values with intervals, one dot per redeployment."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Real
from markupsafe import Markup, escape

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 520, 220, 46, 34


class Mark(NamedTuple):
    """A value with its interval; either end may be infinite."""

    name: str
    value: float
    lower: float
    upper: float
    kind: str = ""
    """A class of the style sheet."""


class _Axis(NamedTuple):
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value, kept within the picture."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * min(max(share, 0.0), 1.0)


def weight_histogram(weight: Real[np.ndarray, " n"], bins: int = 40) -> Markup:
    """Draw how many decisions have which weight, on a scale of powers of ten; weights of 0 stand at the left end."""
    exponent = np.log10(np.maximum(weight, 1e-4))
    low, high = min(-1.0, float(exponent.min())), max(1.0, float(exponent.max()))
    counts, edges = np.histogram(exponent, bins=bins, range=(low, high))
    x, y = _Axis(low, high, _LEFT, _WIDTH - 10), _Axis(0, max(int(counts.max()), 1), _HEIGHT - _BOTTOM, 12)
    bars = [
        f'<rect x="{x.at(a):.1f}" y="{y.at(c):.1f}" width="{max(x.at(b) - x.at(a) - 1, 1):.1f}" '
        f'height="{y.at(0) - y.at(c):.1f}"/>'
        for a, b, c in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
        if c
    ]
    powers = range(int(np.ceil(low)), int(np.floor(high)) + 1)
    ticks = [_tick(x.at(power), f"{'≤ ' if power == -4 else ''}{10.0**power:g}") for power in powers]
    one = f'<line class="one" x1="{x.at(0):.1f}" x2="{x.at(0):.1f}" y1="8" y2="{_HEIGHT - _BOTTOM}"/>'
    top = f'<text x="{_LEFT - 6}" y="18" text-anchor="end">{int(counts.max()):,}</text>'
    label = f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 3}" text-anchor="middle">weight</text>'
    return _svg("Histogram of importance weights", "".join([*bars, one, *ticks, top, label]), _HEIGHT)


def intervals(marks: Sequence[Mark], reference: float | None = None) -> Markup:
    """Draw values with intervals, one row each; `reference` is a line such as the baseline's value."""
    left, row = 190, 26
    axis = _axis(marks, reference, left + 8, _WIDTH - 14)
    height = row * len(marks) + 40
    parts = [_row(mark, axis, 18 + row * i, left) for i, mark in enumerate(marks)]
    ticks = [_tick(axis.at(v), f"{v:.3g}", height - 22) for v in _ticks(axis)]
    return _svg("Values with intervals", "".join([*parts, _line(axis, reference, height), *ticks]), height)


def curve(marks: Sequence[Mark]) -> Markup:
    """Draw one dot with interval per deployment, in order from left to right."""
    y = _axis(marks, None, _HEIGHT - _BOTTOM, 12)
    step = (_WIDTH - _LEFT - 30) / max(len(marks), 1)
    x = [_LEFT + 15 + step * (i + 0.5) for i in range(len(marks))]
    path = " ".join(f"{a:.1f},{y.at(mark.value):.1f}" for a, mark in zip(x, marks, strict=True))
    parts = [f'<polyline points="{path}"/>' if len(marks) > 1 else ""]
    parts += [_post(mark, at, y) for at, mark in zip(x, marks, strict=True)]
    parts += [f'<text x="{_LEFT - 6}" y="{y.at(v) + 4:.1f}" text-anchor="end">{v:.3g}</text>' for v in _ticks(y)]
    return _svg("Mean reward of each deployment", "".join(parts), _HEIGHT)


def _row(mark: Mark, axis: _Axis, y: float, left: float) -> str:
    bar = f'<line class="bar" x1="{axis.at(mark.lower):.1f}" x2="{axis.at(mark.upper):.1f}" y1="{y}" y2="{y}"/>'
    dot = f'<circle cx="{axis.at(mark.value):.1f}" cy="{y}" r="4"/>' if np.isfinite(mark.value) else ""
    name = f'<text x="{left}" y="{y + 4}" text-anchor="end">{escape(_short(mark.name, 32))}</text>'
    return f'<g class="{escape(mark.kind)}"><title>{escape(_said(mark))}</title>{name}{bar}{dot}</g>'


def _post(mark: Mark, x: float, y: _Axis) -> str:
    ends = f'y1="{y.at(mark.lower):.1f}" y2="{y.at(mark.upper):.1f}"'
    return (
        f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" {ends}/>'
        f'<circle cx="{x:.1f}" cy="{y.at(mark.value):.1f}" r="4"><title>{escape(_said(mark))}</title></circle>'
        f'<text x="{x:.1f}" y="{_HEIGHT - 14}" text-anchor="middle">{escape(_short(mark.name, 14))}</text>'
    )


def _line(axis: _Axis, reference: float | None, height: float) -> str:
    if reference is None:
        return ""
    at = axis.at(reference)
    return f'<line class="one" x1="{at:.1f}" x2="{at:.1f}" y1="6" y2="{height - 34}"/>'


def _axis(marks: Sequence[Mark], reference: float | None, start: float, end: float) -> _Axis:
    ends = [v for mark in marks for v in (mark.value, mark.lower, mark.upper) if np.isfinite(v)]
    ends += [] if reference is None else [reference]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.5
    return _Axis(low - margin, high + margin, start, end)


def _ticks(axis: _Axis) -> list[float]:
    """Return about five round numbers within the axis."""
    raw = (axis.high - axis.low) / 5
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(power * min((1, 2, 5, 10), key=lambda factor: abs(factor * power - raw)))
    first = np.ceil(axis.low / step)
    return [float(round(k * step, 12)) + 0.0 for k in np.arange(first, axis.high / step)]  # + 0.0: no "-0"


def _tick(x: float, text: str, y: float = _HEIGHT - 18) -> str:
    return f'<text x="{x:.1f}" y="{y:.0f}" text-anchor="middle">{escape(text)}</text>'


def _said(mark: Mark) -> str:
    value = f"{mark.value:.4g} " if np.isfinite(mark.value) else ""
    return f"{mark.name}: {value}[{mark.lower:.4g}, {mark.upper:.4g}]"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _svg(title: str, content: str, height: float) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">{content}</svg>'
    )  # content is made of numbers and escaped texts
