"""Action chunks as small drawings (SVG): where the robot would go, beside where it really went.

Robots that drive: a path seen from above, x forward upwards and y left to the left. Arms: the same view of
the end effector, its height over the steps with the gripper's state below, and the turn of the wrist about the
vertical. All drawings of one `Scale` can be compared by eye. Numbers and fixed words only: nothing from a
dataset gets into the markup.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

Chunk = Float[np.ndarray, "_ a"]
"""The valid rows of an action chunk, however many: see `datasets.contract` for frame and time."""
_CENTIMETRES_BELOW_M = 0.5
"""Extent below which metres are shown as centimetres."""
_ROOM = 1.08
"""Factor by which the axes outreach the data."""


@dataclass(frozen=True)
class Scale:
    """The axes that all drawings of a page share, in the data's own position unit."""

    kind: Literal["nav", "arm"]
    steps: int
    """H, rows of a whole chunk."""
    back: float
    """Lowest x, zero or less."""
    front: float
    """Highest x."""
    side: float
    """Highest |y|."""
    lift: float
    """Highest |z|; 0 for robots that drive."""
    unit: str
    """What the axes are labelled with: m, cm, or nothing where the unit is unknown."""
    factor: float
    """Shown number = number in the data times this."""

    @staticmethod
    def over(chunks: Iterable[Chunk], kind: Literal["nav", "arm"], steps: int, position_unit: str) -> "Scale":
        """Return the axes that hold all chunks; `position_unit` is `m` or `unknown`."""
        corners = [np.zeros((2, 3)), *(_corners(chunk, kind) for chunk in chunks if len(chunk))]
        low, high = np.min([c[0] for c in corners], axis=0), np.max([c[1] for c in corners], axis=0)
        reach = float(max(high.max(), -low.min())) or 1.0
        front, side = max(float(high[0]), 0.2 * reach), max(float(high[1]), -float(low[1]), 0.2 * reach)
        lift = max(float(high[2]), -float(low[2]), 0.2 * reach) if kind == "arm" else 0.0
        small = position_unit == "m" and reach < _CENTIMETRES_BELOW_M
        unit = "cm" if small else "m" if position_unit == "m" else ""
        back = min(float(low[0]), -0.06 * reach)
        return Scale(
            kind, steps, back * _ROOM, front * _ROOM, side * _ROOM, lift * _ROOM, unit, 100.0 if small else 1.0
        )


def draw_chunk(chunk: Chunk, real: Chunk, scale: Scale) -> Markup:
    """Return a label's chunk in colour (CSS `currentColor`) over what really happened in grey, as inline SVG."""
    parts = _nav(chunk, real, scale) if scale.kind == "nav" else _arm(chunk, real, scale)
    width, height = (230, 190) if scale.kind == "nav" else (312, 164)
    body = "".join(parts)
    return Markup(f'<svg class="chunk" viewBox="0 0 {width} {height}" role="img">{body}</svg>')


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) within [low, high], at most `most`.

    >>> ticks(-0.4, 1.1)
    [0.0, 0.5, 1.0]
    """
    decade = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (decade, 2 * decade, 5 * decade, 10 * decade):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [round(index * step, 12) + 0.0 for index in range(first, last + 1)]


def _corners(chunk: Chunk, kind: str) -> Float[np.ndarray, "2 3"]:
    axes = 2 if kind == "nav" else 3
    corners = np.zeros((2, 3))
    corners[0, :axes], corners[1, :axes] = chunk[:, :axes].min(axis=0), chunk[:, :axes].max(axis=0)
    return corners


@dataclass(frozen=True)
class _Panel:
    """A rectangle of the drawing with its own axes: u to the right, v upwards."""

    left: float
    top: float
    width: float
    height: float
    u: tuple[float, float]
    v: tuple[float, float]

    def at(self, u: float, v: float) -> tuple[float, float]:
        x = self.left + (u - self.u[0]) / (self.u[1] - self.u[0]) * self.width
        y = self.top + (self.v[1] - v) / (self.v[1] - self.v[0]) * self.height
        return round(x, 1), round(y, 1)

    def frame(self) -> str:
        return (
            f'<rect class="frame" x="{self.left:g}" y="{self.top:g}" width="{self.width:g}" height="{self.height:g}"/>'
        )

    def across(self, at: Sequence[float], shown: Sequence[str], title: str) -> str:
        """Return vertical grid lines with their numbers below, and the axis' title."""
        bottom = self.top + self.height
        parts = [_text(self.left + self.width / 2, bottom + 24, title, "name")]
        for u, number in zip(at, shown, strict=True):
            x, _ = self.at(u, 0)
            parts += [_line((x, self.top), (x, bottom), "grid"), _text(x, bottom + 12, number)]
        return "".join(parts)

    def upwards(self, at: Sequence[float], shown: Sequence[str], title: str) -> str:
        """Return horizontal grid lines with their numbers at the left, and the axis' title above."""
        parts = [_text(self.left, self.top - 5, title, "name", "start")]
        for v, number in zip(at, shown, strict=True):
            _, y = self.at(0, v)
            parts.append(_line((self.left, y), (self.left + self.width, y), "grid"))
            parts.append(_text(self.left - 4, y + 3, number, anchor="end"))
        return "".join(parts)

    def path(self, u: Sequence[float], v: Sequence[float], style: str) -> str:
        """Return a line from the origin through the points, a dot at each and a larger one at the last."""
        points = [self.at(0, 0), *(self.at(*pair) for pair in zip(u, v, strict=True))]
        line = " ".join(f"{x:g},{y:g}" for x, y in points)
        dots = "".join(f'<circle cx="{x:g}" cy="{y:g}" r="1.7"/>' for x, y in points[1:-1])
        end = points[-1]
        return (
            f'<g class="{style}"><polyline points="{line}"/>{dots}<circle cx="{end[0]:g}" cy="{end[1]:g}" r="3.4"/></g>'
        )


def _nav(chunk: Chunk, real: Chunk, scale: Scale) -> list[str]:
    left, top, width, height = 36.0, 20.0, 184.0, 140.0
    per_pixel = max(2 * scale.side / width, (scale.front - scale.back) / height)
    spare = (per_pixel * height - (scale.front - scale.back)) / 2
    half = per_pixel * width / 2
    panel = _Panel(left, top, width, height, (-half, half), (scale.back - spare, scale.front + spare))
    return [panel.frame(), *_seen_from_above(panel, scale), *_above(panel, real, chunk), _robot(panel)]


def _arm(chunk: Chunk, real: Chunk, scale: Scale) -> list[str]:
    reach = max(scale.front, -scale.back, scale.side, scale.lift)
    above = _Panel(26, 20, 100, 100, (-reach, reach), (-reach, reach))
    height = _Panel(160, 20, 88, 66, (0, scale.steps), (-reach, reach))
    marks = ticks(*height.v, most=3)
    numbers = [_shown(value, scale) for value in marks]
    parts = [above.frame(), *_seen_from_above(above, scale), *_above(above, real, chunk), height.frame()]
    parts.append(height.upwards(marks, numbers, _named("z up", scale)))
    for rows, style in ((real, "real"), (chunk, "told")):
        if len(rows):
            parts.append(height.path([float(i + 1) for i in range(len(rows))], rows[:, 2].tolist(), style))
    return [*parts, *_gripper(height, real, chunk), *_wrist(285, 56, real, chunk)]


def _seen_from_above(panel: _Panel, scale: Scale) -> tuple[str, str]:
    sideways, forward = ticks(*panel.u), ticks(*panel.v)
    return (
        panel.across(sideways, [_shown(-value, scale) for value in sideways], _named("y left", scale)),
        panel.upwards(forward, [_shown(value, scale) for value in forward], _named("x forward", scale)),
    )


def _above(panel: _Panel, real: Chunk, chunk: Chunk) -> list[str]:
    pairs = ((real, "real"), (chunk, "told"))
    return [panel.path((-rows[:, 1]).tolist(), rows[:, 0].tolist(), style) for rows, style in pairs if len(rows)]


def _robot(panel: _Panel) -> str:
    x, y = panel.at(0, 0)
    return f'<path class="robot" d="M{x:g},{y - 7:g} l5,11 l-5,-3 l-5,3 z"/>'


def _gripper(panel: _Panel, real: Chunk, chunk: Chunk) -> list[str]:
    """Return a row of cells for what really happened and one for the label: filled where the gripper is closed."""
    cell = panel.width / (panel.u[1] - panel.u[0])
    top = panel.top + panel.height + 9
    parts = [_text(panel.left - 4, top + 13, "grip", anchor="end")]
    for row, (rows, style) in enumerate(((real, "real"), (chunk, "told"))):
        for step, value in enumerate(rows[:, 6].tolist()):
            state = "closed" if value < 0.5 else "open"
            x, y = panel.left + step * cell, top + row * 11
            parts.append(
                f'<rect class="{style} {state}" x="{x + 0.7:.1f}" y="{y:g}" width="{cell - 1.4:.1f}" height="8"/>'
            )
    low = top + 32
    parts.append(_text(panel.left, low, "1", anchor="start"))
    parts.append(_text(panel.left + panel.width, low, f"{panel.u[1]:g}", anchor="end"))
    return [*parts, _text(panel.left + panel.width / 2, low + 11, "step · filled = closed", "name")]


def _wrist(x: float, y: float, real: Chunk, chunk: Chunk) -> list[str]:
    """Return a dial: the wrist's turn about the vertical, counterclockwise positive, zero pointing forward."""
    parts = [_text(x, y - 41, "wrist", "name"), f'<circle class="frame" cx="{x:g}" cy="{y:g}" r="22"/>']
    for rows, radius, style in ((real, 14, "real"), (chunk, 19, "told")):
        if len(rows):
            parts.append(_hand(x, y, radius, float(rows[-1, 5]), style))
    degrees = round(math.degrees(float(chunk[-1, 5]))) if len(chunk) else 0
    return [*parts, _text(x, y + 36, f"{degrees:+d}°" if degrees else "0°", "value")]


def _hand(x: float, y: float, radius: float, turn: float, style: str) -> str:
    end_x, end_y = x - radius * math.sin(turn), y - radius * math.cos(turn)
    large, sweep = int(abs(turn) > math.pi), int(turn < 0)
    arc = f"M{x:g},{y - radius:g} A{radius},{radius} 0 {large} {sweep} {end_x:.1f},{end_y:.1f}"
    return f'<g class="{style}"><path d="{arc}"/><path d="M{x:g},{y:g} L{end_x:.1f},{end_y:.1f}"/></g>'


def _shown(value: float, scale: Scale) -> str:
    return f"{value * scale.factor + 0.0:.10g}".replace("-", "−")


def _named(what: str, scale: Scale) -> str:
    return f"{what} ({scale.unit})" if scale.unit else what


def _line(start: tuple[float, float], end: tuple[float, float], style: str) -> str:
    return f'<line class="{style}" x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}"/>'


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "middle") -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'
