"""A policy's explanation as one self-contained page: films, returns and the map of changed states, then numbers."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import nn

from embodied_cf.datasets.files import write_text
from embodied_cf.explain.film import film, typical_start
from embodied_cf.explain.measure_table import Measures
from embodied_cf.explain.policy.change_map import ChangeMap, change_map
from embodied_cf.explain.policy.explanation import PolicyExplanation
from embodied_cf.explain.template import template

_SIDE = 12
"""Of a map's cell, in SVG units."""
_WIDTH, _HEIGHT, _BARS = 560.0, 150.0, 40
"""Of the histogram."""
MEANING = {
    "trajectory_kl": "KL of the changed policy from the original, summed over an episode of the changed one (nats)",
    "forward_kl": "the same per step",
    "reverse_kl": "KL of the original from the changed policy, per step of the original's episodes (nats)",
    "total_variation": "total variation distance, per step",
    "greedy_disagreement": "share of the original's states whose likeliest action differs",
    "touched": "share of the changed policy's states with more than 0.1 nat of change",
    "parameters": "distance of the weights, relative to their norm",
    "plausibility": "log-likelihood under the original policy of the changed one's actions, less that of its own",
}


@dataclass(frozen=True)
class Bar:
    """One bin of two histograms, in SVG units: left edge, width, and the heights before and after."""

    x: float
    width: float
    before: float
    after: float


@dataclass(frozen=True)
class Cell:
    """One cell of a map, in SVG units from the top left."""

    x: int
    y: int
    colour: str
    title: str


def write_policy_page(
    told: PolicyExplanation, measures: Measures, env: str, policy: str, original: nn.Module, path: Path, seed: int
) -> None:
    """Write the page; films are left out where the environment cannot be drawn."""
    where = change_map(told.visits)
    bars, low, high = _histogram(told)
    page = template("policy.html.j2").render(
        told=told, env=env, policy=policy, where=where, bars=bars, low=low, high=high, width=_WIDTH, height=_HEIGHT,
        target_x=_WIDTH * (told.target - low) / (high - low), side=_SIDE, span=_SIDE * len(where.kl),
        films=_films(told, env, original, seed),
        changed=_cells(where, where.kl, _blue, "{:.3g} nats"),
        moved=_cells(where, where.moved, _warm_cold, "{:+.2f}"),
        largest=float(np.nanmax(where.kl)), meaning=MEANING, proximity=asdict(told.proximity),
        measures=measures.rows(),
    )  # fmt: skip
    write_text(path, page)


def _films(told: PolicyExplanation, env: str, original: nn.Module, seed: int) -> list[tuple[str, list, float]]:
    pairs = [(original, told.before.stochastic.mean), (told.policy, told.target)]
    start = typical_start(env, pairs, seed)
    return [(name, *film(env, policy, start)) for name, (policy, _) in zip(("before", "after"), pairs, strict=True)]


def _histogram(told: PolicyExplanation) -> tuple[list[Bar], float, float]:
    before, after = np.array(told.before.drawn), np.array(told.after.drawn)
    low, high = min(*before, *after, told.target), max(*before, *after, told.target)
    edges = np.linspace(low, high if high > low else low + 1.0, _BARS + 1)
    counts = [np.histogram(values, edges)[0] / len(values) for values in (before, after)]
    scale, width = _HEIGHT / max(counts[0].max(), counts[1].max()), _WIDTH / _BARS
    bars = [Bar(width * at, width, scale * a, scale * b) for at, (a, b) in enumerate(zip(*counts, strict=True))]
    return bars, float(edges[0]), float(edges[-1])


def _cells(
    where: ChangeMap, values: Float[np.ndarray, "y x"], colour: Callable[[float], str], words: str
) -> list[Cell]:
    largest = float(np.nanmax(np.abs(values))) or 1.0
    rows, cells = len(values), []
    for y, x in np.argwhere(np.isfinite(values)).tolist():
        value = float(values[y, x])
        across, up = (low + (high - low) * (cell + 0.5) / rows for low, high, cell in
                      zip(where.low, where.high, (x, y), strict=True))  # fmt: skip
        title = f"({across:.3g}, {up:.3g}): " + words.format(value)
        cells.append(Cell(x * _SIDE, (rows - 1 - y) * _SIDE, colour(value / largest), title))
    return cells


def _blue(share: float) -> str:
    """Return a colour from near white (0) to dark (1); the root shows small changes, too."""
    part = math.sqrt(max(share, 0.0))
    return _mix((238, 242, 246), (16, 60, 110), part)


def _warm_cold(share: float) -> str:
    """Return orange for 1, blue for -1, near white for 0."""
    return _mix((240, 240, 240), (200, 80, 0) if share > 0 else (0, 100, 170), abs(share))


def _mix(first: tuple[int, int, int], second: tuple[int, int, int], part: float) -> str:
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(first, second, strict=True))
