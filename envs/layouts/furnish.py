"""What stands in a floor plan: named objects, people with places to go, and the robot."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32

from embodied_cf.envs import geometry
from embodied_cf.envs.layouts.floorplan import FloorPlan
from embodied_cf.envs.scene import RADIUS_M
from embodied_cf.envs.splits import Split, split_of
from embodied_cf.language.instruction import COLOURS, KINDS

PASSAGE_M = 0.9
"""Free width that the robot can drive through: between things, and between a thing and a wall."""
_SNUG_M = 0.08
"""Gap between a wall and a thing that stands against it."""
_TRIES = 96
_COUNTS = {"rooms": (6, 9), "corridors": (6, 9), "courtyard": (7, 10)}
_TWINS = 0.6
"""Share of scenes in which two things are of one kind, so that the kind alone does not name one."""


@dataclass(frozen=True)
class Furniture:
    """O objects; columns as in `Scene`."""

    kind: Int32[np.ndarray, " o"]
    colour: Int32[np.ndarray, " o"]
    position: Float64[np.ndarray, "o 2"]
    yaw: Float64[np.ndarray, " o"]
    scale: Float64[np.ndarray, " o"]
    radius: Float64[np.ndarray, " o"]


@dataclass(frozen=True)
class People:
    """P people; columns as in `Scene`."""

    start: Float64[np.ndarray, "p 2"]
    goals: Float64[np.ndarray, "p g 2"]
    speed: Float64[np.ndarray, " p"]
    look: Int32[np.ndarray, " p"]


def furnish(world: str, plan: FloorPlan, split: Split, rng: np.random.Generator) -> Furniture:
    """Return objects that leave ways between them; those that find no place are left out."""
    names = _names(world, split, rng)
    scale = rng.uniform(0.9, 1.12, len(names))
    radius = np.array([RADIUS_M[KINDS[kind]] for _, kind in names]) * scale
    place = np.full((len(names), 2), np.nan)
    for row in range(len(names)):
        standing = ~np.isnan(place[:, 0])
        place[row] = _place(plan, float(radius[row]), place[standing], radius[standing], rng)
    kept = ~np.isnan(place[:, 0])
    colour, kind = np.array(names, np.int32).T
    yaw = rng.uniform(-np.pi, np.pi, len(names))
    return Furniture(kind[kept], colour[kept], place[kept], yaw[kept], scale[kept], radius[kept])


def _names(world: str, split: Split, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw (colour, kind) pairs: all from training's names, but for three fresh ones in the other splits."""
    low, high = _COUNTS[world]
    pairs = [
        (c, k) for c in range(len(COLOURS)) for k in range(len(KINDS)) if world == "courtyard" or KINDS[k] != "tree"
    ]
    known = [pair for pair in pairs if split_of(*pair) == "train"]
    fresh = [pair for pair in pairs if split_of(*pair) == split]
    names = [fresh[i] for i in rng.permutation(len(fresh))[:3]]
    names += [known[i] for i in rng.permutation(len(known))[: int(rng.integers(low, high + 1)) - 3]]
    if rng.random() < _TWINS:
        kind = names[0][1]
        twins = [pair for pair in known if pair[1] == kind and pair not in names]
        names[-1:] = [twins[int(rng.integers(len(twins)))]] if twins else names[-1:]
    return list(dict.fromkeys(names))


def _place(
    plan: FloorPlan,
    radius: float,
    others: Float[np.ndarray, "k 2"],
    other_radius: Float[np.ndarray, " k"],
    rng: np.random.Generator,
) -> Float64[np.ndarray, " 2"]:
    """Return a place in the open, or against a wall, with passages to everything else; nan if none is found."""
    snug = rng.random() < 0.4
    point = _along_walls(plan, radius, rng) if snug else plan.sample(rng, _TRIES)
    wall = geometry.segment_distance(point, plan.walls.segment)
    nearest = np.sort(wall, axis=1)
    fits = plan.contains(point) & (nearest[:, 0] >= radius + (_SNUG_M if snug else PASSAGE_M) - 1e-9)
    # against one wall, and away from all others but its neighbour in a straight line
    fits &= (nearest[:, min(2, nearest.shape[1] - 1)] >= radius + PASSAGE_M) | ~np.bool_(snug)
    fits &= clear_of(point, others, other_radius, radius + PASSAGE_M)
    fits &= clear_of(point, plan.clear, np.zeros(len(plan.clear)), radius + 1.1)
    good = np.flatnonzero(fits)
    return point[good[0]] if len(good) else np.full(2, np.nan)


def _along_walls(plan: FloorPlan, radius: float, rng: np.random.Generator) -> Float64[np.ndarray, "n 2"]:
    segment = plan.walls.segment
    length = np.hypot(*(segment[:, 2:] - segment[:, :2]).T)
    row = rng.choice(len(segment), _TRIES, p=length / length.sum())
    unit = (segment[row, 2:] - segment[row, :2]) / length[row, None]
    normal = np.stack([-unit[:, 1], unit[:, 0]], axis=1) * rng.choice((-1, 1), _TRIES)[:, None]
    at = segment[row, :2] + unit * (rng.random(_TRIES) * length[row])[:, None]
    return at + normal * (radius + _SNUG_M)


def clear_of(
    point: Float[np.ndarray, "n 2"],
    others: Float[np.ndarray, "k 2"],
    other_radius: Float[np.ndarray, " k"],
    distance: float,
) -> Bool[np.ndarray, " n"]:
    """Return which points are further than `distance` from the surfaces of all others."""
    gap = np.linalg.norm(point[:, None] - others, axis=2) - other_radius
    return (gap >= distance).all(axis=1)


def free_points(
    plan: FloorPlan, furniture: Furniture, margin: float, rng: np.random.Generator, count: int = 2 * _TRIES
) -> Float64[np.ndarray, "n 2"]:
    """Return points of the ground that are `margin` m from walls and objects, in random order."""
    point = plan.sample(rng, count)
    far = geometry.segment_distance(point, plan.walls.segment).min(axis=1) >= margin
    return point[far & clear_of(point, furniture.position, furniture.radius, margin)]


def populate(plan: FloorPlan, furniture: Furniture, count: int, rng: np.random.Generator) -> People:
    """Return up to `count` people who walk to and fro along straight free lines of at least 2.5 m."""
    ways: list[np.ndarray] = []  # (2, 2): where to, where from
    spots = free_points(plan, furniture, 0.5, rng)
    for start in spots[:_TRIES] if count else ():
        taken = np.array([way[1] for way in ways]).reshape(-1, 2)
        if clear_of(start[None], taken, np.zeros(len(taken)), 1.0)[0]:
            goal = _walk_from(plan, furniture, start, spots)
            ways += [] if goal is None else [np.stack([goal, start])]
        if len(ways) == count:
            break
    goals = np.array(ways, np.float64).reshape(-1, 2, 2)
    speed = rng.uniform(0.6, 1.2, len(goals))
    return People(goals[:, 1].copy(), goals, speed, rng.integers(0, 1 << 16, len(goals)).astype(np.int32))


def _walk_from(
    plan: FloorPlan, furniture: Furniture, start: Float[np.ndarray, " 2"], spots: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, " 2"] | None:
    """Return a spot that can be walked to in a straight line, or None if none of the first few can."""
    far = spots[np.hypot(*(spots - start).T) > 2.5][-6:]
    return next((spot for spot in far if free_line(plan, furniture, start, spot)), None)


def free_line(
    plan: FloorPlan, furniture: Furniture, begin: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"]
) -> bool:
    """Return whether a person can walk straight from one point to another."""
    steps = max(2, int(np.hypot(*(end - begin)) / 0.2))
    point = begin + np.linspace(0.0, 1.0, steps)[:, None] * (end - begin)
    wall = geometry.segment_distance(point, plan.walls.segment).min()
    return bool(wall > 0.4 and clear_of(point, furniture.position, furniture.radius, 0.4).all())
