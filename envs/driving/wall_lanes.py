"""Lanes along walls: contours of equal clearance, cut to the pieces on which a wall or corridor clause holds."""

import math
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.envs.driving.planner import CELL_M, Field, Grid
from embodied_cf.language.predicate_geometry import clearance, wrap
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import CORRIDOR_M, KEEP_APPROACH_M, KEEP_SHARE, LENGTH_M, WALL_APPROACH_M

OFFSETS_M = (0.6, 0.8)
"""Clearances at which lanes are sought."""
WALL_M = (0.42, 1.1)
"""Clearance to a wall that is followed, with some room to the limits of `predicate_rules`."""
SPARE_M = 1.2
"""By how much a lane is longer than asked."""
BEYOND_M = 2.0
"""By how much it goes on after that, as far as the line does: whoever cuts corners comes to its end too early, and
must not turn round there."""
_SMOOTHED = 9
_CHOICES = 5
_STRAY = 4.0
"""Price of a metre of the lane on which the clause does not hold."""
Path = Float64[np.ndarray, "n 2"]


def lanes(grid: Grid, walls: Float64[np.ndarray, "w 4"], field: Field, side: float, rule: Rule) -> Iterator[Path]:
    """Yield lanes with the wall on a side (+1 left), those that are soonest done first."""
    free_m = WALL_APPROACH_M if rule == Rule.FOLLOW_WALL else KEEP_APPROACH_M
    options: list[tuple[float, Path]] = []
    for offset in OFFSETS_M:
        for contour in _contours(grid, offset):
            for line in (contour, contour[::-1]):
                options += _pieces(line, _holds(line, walls, side, rule), field, free_m)
    for _, lane in sorted(options, key=lambda option: option[0])[: 2 * _CHOICES]:
        yield lane


def _contours(grid: Grid, offset: float) -> Iterator[Path]:
    """Yield closed lines of a clearance, m, smoothed."""
    mask = (grid.clearance >= offset).astype(np.uint8)
    for contour in cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]:
        cells = contour[:, 0].astype(np.float64)
        if len(cells) * CELL_M > LENGTH_M:
            padded = np.concatenate([cells[-_SMOOTHED:], cells, cells[:_SMOOTHED]])
            window = np.full(_SMOOTHED, 1 / _SMOOTHED)
            smooth = np.stack([np.convolve(axis, window, "same") for axis in padded.T], axis=1)
            yield grid.origin + CELL_M * smooth[_SMOOTHED:-_SMOOTHED]


def _holds(line: Path, walls: Float64[np.ndarray, "w 4"], side: float, rule: Rule) -> Bool[np.ndarray, " n"]:
    """Whether the clause holds for a robot that drives along a closed line, at each of its points."""
    along = np.roll(line, -2, axis=0) - np.roll(line, 2, axis=0)
    pose = np.column_stack([line, np.arctan2(along[:, 1], along[:, 0])])
    left, right = clearance(pose, np.broadcast_to(walls, (len(line), *walls.shape)))
    near, other = (left, right) if side > 0 else (right, left)
    if rule == Rule.FOLLOW_WALL:
        return (near >= WALL_M[0]) & (near <= WALL_M[1]) & (near < 0.9 * other)
    return (near + other <= CORRIDOR_M - 0.05) & (near <= (KEEP_SHARE - 0.03) * (near + other))


def _pieces(
    line: Path, holds: Bool[np.ndarray, " n"], field: Field, free_m: float
) -> list[tuple[float, Float64[np.ndarray, "m 2"]]]:
    """Return (price, piece) for the best places to join a closed line: long enough to drive what is asked."""
    step = np.hypot(*(np.roll(line, -1, axis=0) - line).T)
    twice = np.concatenate([[0.0], np.cumsum(np.tile(step, 2))])
    held = np.concatenate([[0.0], np.cumsum(np.tile(step * holds, 2))])
    first = np.flatnonzero(holds & np.isfinite(field.at(line)))
    wanted = LENGTH_M + SPARE_M
    last = np.searchsorted(held, held[first] + wanted)
    stray = twice[np.minimum(last, len(twice) - 1)] - twice[first] - wanted
    approach = field.at(line[first])
    heading = np.arctan2(*(np.roll(line, -2, axis=0) - line)[first, ::-1].T)
    bend = np.abs(wrap(heading - _arrival(line[first], field)))
    price = approach + 0.3 * bend + _STRAY * stray + 3.0 * np.maximum(0.0, approach - free_m + 0.5)
    lost = stray + np.maximum(0.0, approach + 0.2 * bend - free_m)
    price = np.where((last - first < len(line)) & (lost < 0.6), price, np.inf)
    chosen: list[int] = []
    for index in price.argsort(kind="stable").tolist():
        if not math.isfinite(price[index]) or len(chosen) == _CHOICES:
            break
        if all(np.hypot(*(line[first[index]] - line[first[other]])) > 0.8 for other in chosen):
            chosen.append(index)
    doubled = np.concatenate([line, line])
    ends = np.minimum(last + round(BEYOND_M / CELL_M), first + len(line) - 1)
    return [(float(price[index]), doubled[first[index] : ends[index] + 1]) for index in chosen]


def _arrival(points: Path, field: Field) -> Float64[np.ndarray, " n"]:
    """Return the direction in which the cheapest way arrives at each point, rad."""
    cells = field.grid.cells(points)
    parent = field.parent.ravel()[cells]
    row, column = np.divmod(cells, field.cost.shape[1])
    row_before, column_before = np.divmod(np.where(parent < 0, cells, parent), field.cost.shape[1])
    return np.arctan2(row - row_before, column - column_before).astype(np.float64)
