"""Which things of a scene a noun phrase means, and the gaps between them."""

import numpy as np
from jaxtyping import Float, Int64

from embodied_cf.errors import InstructionError
from embodied_cf.language.instruction import WALL, Thing
from embodied_cf.language.surroundings import Surroundings


def referents(thing: Thing, surroundings: Surroundings) -> Int64[np.ndarray, " n"]:
    """Return the rows of all things that the words fit, at least one. Raises InstructionError if there is none."""
    names = zip(surroundings.kind, surroundings.colour, strict=True)
    rows = [row for row, (kind, colour) in enumerate(names) if kind == thing.kind and thing.colour in ("", colour)]
    if not rows:
        there = ", ".join(sorted({" ".join(name) for name in zip(surroundings.colour, surroundings.kind, strict=True)}))
        wanted = f"{thing.colour} {thing.kind}".strip()
        raise InstructionError(f"the scene has no {wanted}", remedy=f"It has: {there or 'no things at all'}.")
    return np.array(rows, np.int64)


def nearest(thing: Thing, anchor: Thing, surroundings: Surroundings) -> Int64[np.ndarray, " n"]:
    """Return the row of the one whose centre is nearest to the anchor's centre (or to any wall), never the anchor.

    An anchor that fits several things has one nearest for each. Raises InstructionError.
    """
    rows = referents(thing, surroundings)
    position = surroundings.position
    if anchor.kind == WALL:
        away = np.array([np.hypot(*(wall_point(position[row], surroundings) - position[row])) for row in rows])
        return rows[[away.argmin()]]
    found = []
    for center in referents(anchor, surroundings).tolist():
        others = rows[rows != center]
        if len(others):
            found.append(others[np.hypot(*(position[others] - position[center]).T).argmin()])
    if not found:
        raise InstructionError(f"the only {thing.kind} of the scene cannot be near itself")
    return np.unique(np.array(found, np.int64))


def gaps(first: Thing, second: Thing, surroundings: Surroundings) -> Float[np.ndarray, "n 4"]:
    """Return the segments x0, y0, x1, y1 (m) between the facing surfaces of each pair that the words fit.

    For the wall, the segment runs from the thing to the nearest point of the nearest wall. Raises
    InstructionError if there is no pair with a gap.
    """
    found = []
    for row in referents(first, surroundings).tolist():
        here, radius = surroundings.position[row], surroundings.radius[row]
        if second.kind == WALL:
            ends = [(wall_point(here, surroundings), 0.0)]
        else:
            others = referents(second, surroundings)
            ends = [(surroundings.position[k], surroundings.radius[k]) for k in others[others != row].tolist()]
        for there, margin in ends:
            length = float(np.hypot(*(there - here)))
            if length > radius + margin:
                toward = (there - here) / length
                found.append(np.concatenate([here + radius * toward, there - margin * toward]))
    if not found:
        raise InstructionError(f"there is no gap between the {first.kind} and the {second.kind}")
    return np.stack(found)


def wall_point(point: Float[np.ndarray, " 2"], surroundings: Surroundings) -> Float[np.ndarray, " 2"]:
    """Return the nearest point of the nearest wall. Raises InstructionError where there are no walls."""
    if not len(surroundings.walls):
        raise InstructionError("the scene has no wall")
    start, along = surroundings.walls[:, :2], surroundings.walls[:, 2:] - surroundings.walls[:, :2]
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip(((point - start) * along).sum(axis=1) / length, 0.0, 1.0)
    nearest_points = start + share[:, None] * along
    return nearest_points[np.hypot(*(nearest_points - point).T).argmin()]
