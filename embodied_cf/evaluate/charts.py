"""Shares as small drawings (SVG): grouped bars with intervals, and how episodes ended. All texts are escaped."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP = 640.0, 150.0, 58.0, 13.0, 12.0


@dataclass(frozen=True)
class Bar:
    """A share with its interval, in [0, 1]."""

    who: str
    value: float
    low: float
    high: float
    colour: str


@dataclass(frozen=True)
class Group:
    """Bars that belong together, with a name."""

    name: str
    bars: tuple[Bar, ...]
    note: str = ""


@dataclass(frozen=True)
class Part:
    """A piece of a whole."""

    name: str
    count: int
    style: str
    """A class of the style sheet."""


def grouped_bars(groups: Sequence[Group], title: str) -> Markup:
    """Draw each group's bars below each other, from 0 to 100 %, with whiskers and the value at the end."""
    y, parts = 18.0, []
    for group in groups:
        height = _BAR * len(group.bars)
        parts.append(_text(_LEFT - 10, y + height / 2 + 4 - 5 * bool(group.note), group.name, "end", "name"))
        parts += [_text(_LEFT - 10, y + height / 2 + 12, group.note, "end")] if group.note else []
        for row, bar in enumerate(group.bars):
            parts.append(_bar(bar, y + row * _BAR))
        y += max(height, 26.0 if group.note else _BAR) + _GAP
    grid = [_line(share, y - _GAP / 2) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return _svg([*grid, *parts], y, title)


def _at(share: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _bar(bar: Bar, y: float) -> str:
    middle, end = y + _BAR / 2 - 1, _at(bar.value)
    low, high = _at(bar.low), _at(bar.high)
    said = f"{bar.who}: {100 * bar.value:.1f} % [{100 * bar.low:.1f}, {100 * bar.high:.1f}]"
    shape = f'x="{_LEFT:g}" y="{y:.1f}" width="{max(end - _LEFT, 1):.1f}" height="{_BAR - 2:g}"'
    ends = "".join(f"M{x:.1f},{middle - 3:.1f}v6" for x in (low, high))
    return (
        f'<g><title>{escape(said)}</title><rect {shape} fill="{escape(bar.colour)}"/>'
        f'<path class="whisker" d="M{low:.1f},{middle:.1f}H{high:.1f}{ends}"/>'
        f"{_text(max(high, end) + 6, middle + 4, f'{100 * bar.value:.0f} %', 'start', 'value')}</g>"
    )


def _line(share: float, bottom: float) -> str:
    x = _at(share)
    return (
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="14" y2="{bottom:.1f}"/>'
        f"{_text(x, 9, f'{100 * share:g} %', 'middle')}"
    )


def stacked_bar(parts: Sequence[Part], title: str) -> Markup:
    """Draw the parts of a whole side by side, with counts where there is room."""
    total, x, drawn = sum(part.count for part in parts) or 1, 0.0, []
    for part in parts:
        width = _WIDTH * part.count / total
        said = f"<title>{escape(part.name)}: {part.count}</title>"
        drawn.append(f'<rect class="{part.style}" x="{x:.1f}" y="0" width="{width:.1f}" height="22">{said}</rect>')
        if width > 26:
            drawn.append(_text(x + width / 2, 15.5, str(part.count), "middle", "on"))
        x += width
    return _svg(drawn, 22, title)


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: Sequence[str], height: float, title: str) -> Markup:
    body = "".join(parts)
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{escape(title)}">{body}</svg>'
    )  # numbers and escaped texts
