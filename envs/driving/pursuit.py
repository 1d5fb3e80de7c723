"""Pure pursuit (Coulter 1992) over batches of routes, with explicit progress along them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.envs import state
from embodied_cf.envs.compiled import compiled, fingerprint, kept
from embodied_cf.envs.driving import avoid
from embodied_cf.envs.driving.avoid import MIN_SPEED
from embodied_cf.envs.state import MAX_TURN, PERIOD_S

SPACING_M = 0.1
"""Between the points of a route."""
CRUISE = 0.85
"""Speed on a straight, m/s."""
LOOKAHEAD_M = 0.5
WINDOW = 12
"""Points ahead among which the robot looks for where it is on the route."""
ARRIVED_M, NEARLY_M = 0.05, 0.3
"""Way left to the end of a route at which the robot stops there; who has waited for people is content sooner."""


@dataclass(frozen=True)
class Route:
    """How one clause of an instruction is driven."""

    path: Float64[np.ndarray, "n 2"]
    """Points SPACING_M apart, m; one point to stand still."""
    stop: bool
    """Whether the robot stands at the end; if not, it drives straight on."""
    relative: bool = False
    """Whether the points are in the frame of the robot where the clause begins, and not in the world."""
    turn: float = math.nan
    """Heading to take up and keep instead of following points: rad from where the clause begins."""
    slowest: float = MIN_SPEED
    """Speed in the tightest bends, m/s."""


@dataclass(frozen=True)
class Routes:
    """Routes of B robots for up to C clauses of up to N points; the last clause repeats, the last point too."""

    path: Float64[np.ndarray, "b c n 2"]
    count: Int64[np.ndarray, "b c"]
    stop: Bool[np.ndarray, "b c"]
    relative: Bool[np.ndarray, "b c"]
    turn: Float64[np.ndarray, "b c"]
    slowest: Float64[np.ndarray, "b c"]

    @classmethod
    def of(cls, plans: Sequence[Sequence[Route]]) -> "Routes":
        """Stack plans of one or more clauses."""
        longest = max(len(route.path) for plan in plans for route in plan)
        most = max(len(plan) for plan in plans)
        filled = [[*plan, *[plan[-1]] * (most - len(plan))] for plan in plans]
        return cls(
            np.stack([np.stack([_filled(route.path, longest) for route in plan]) for plan in filled]),
            np.array([[len(route.path) for route in plan] for plan in filled]),
            *(
                np.array([[getattr(route, name) for route in plan] for plan in filled])
                for name in ("stop", "relative", "turn", "slowest")
            ),
        )


def _filled(path: Float64[np.ndarray, "n 2"], size: int) -> Float64[np.ndarray, "m 2"]:
    return np.concatenate([path, np.repeat(path[-1:], size - len(path), axis=0)])


def pursue(
    routes: Routes,
    clause: Int64[np.ndarray, " b"],
    frame: Float64[np.ndarray, "b 3"],
    point: Int64[np.ndarray, " b"],
    pose: Float64[np.ndarray, "b 3"],
    waited: Bool[np.ndarray, " b"],
) -> tuple[Float64[np.ndarray, "b 2"], Int64[np.ndarray, " b"]]:
    """Return the action (v m/s, w rad/s) that follows each robot's route, and the point it has come to.

    `frame` is the pose where the clause began; `point` the index of the point reached before; `waited` says who has
    stood for a while.
    """
    action, reached = np.zeros((len(pose), 2)), point.copy()
    _pursue(routes.path, routes.count, routes.stop, routes.relative, routes.turn, routes.slowest,
            clause, frame, reached, pose, waited, action)  # fmt: skip
    return action, reached


def head_for(
    pose: Float64[np.ndarray, "b 3"], place: Float64[np.ndarray, "b 2"], speed: Float64[np.ndarray, " b"]
) -> Float64[np.ndarray, "b 2"]:
    """Return the action (v m/s, w rad/s) that drives an arc towards each place, at most at a speed."""
    action = np.zeros((len(pose), 2))
    _head_for(pose, place, speed, action)
    return action


@compiled
def _in_frame(pose, frame):
    dx, dy = pose[0] - frame[0], pose[1] - frame[1]
    cos, sin = math.cos(frame[2]), math.sin(frame[2])
    return cos * dx + sin * dy, cos * dy - sin * dx, pose[2] - frame[2]


@compiled
def _nearest(line, first, here):
    """Index of the point nearest to the robot, not before `first` nor far after it."""
    best, nearest = first, np.inf
    for index in range(first, min(len(line), first + WINDOW)):
        away = math.hypot(line[index, 0] - here[0], line[index, 1] - here[1])
        if away < nearest - 1e-9:
            best, nearest = index, away
    return best


@compiled
def _remaining(line, index, here):
    """Way left to the end, m; negative once the robot has driven past it."""
    last = len(line) - 1
    if index < last - 1:
        return SPACING_M * (last - index)
    dx, dy = line[last, 0] - line[max(last - 1, 0), 0], line[last, 1] - line[max(last - 1, 0), 1]
    length = max(math.hypot(dx, dy), 1e-9)
    return ((line[last, 0] - here[0]) * dx + (line[last, 1] - here[1]) * dy) / length


@compiled
def _steer(line, index, here, left, stop, slowest, action):
    """Head for a point ahead on the route, or ahead of its end; slow down before a stop."""
    last, steps = len(line) - 1, int(LOOKAHEAD_M / SPACING_M)
    ahead, beyond = min(last, index + steps), 0 if stop else max(0, index + steps - last)
    dx = line[ahead, 0] + beyond * (line[last, 0] - line[last - 1, 0]) - here[0]
    dy = line[ahead, 1] + beyond * (line[last, 1] - line[last - 1, 1]) - here[1]
    most = min(CRUISE, left / (2.0 * PERIOD_S)) if stop else CRUISE
    _take(math.atan2(dy, dx) - here[2], max(math.hypot(dx, dy), 0.1), most, slowest, action)


@compiled
def _take(error, away, most, slowest, action):
    """Drive an arc to a point at an angle and a distance (0: none, take up the heading), slowly if it is tight."""
    error = (error + math.pi) % (2.0 * math.pi) - math.pi
    speed = max(min(slowest, most), min(most, CRUISE * max(0.0, math.cos(error)) ** 2), MIN_SPEED)
    if abs(error) > 0.5 * math.pi:
        turn = math.copysign(MAX_TURN, error)
    else:
        turn = 2.0 * speed * math.sin(error) / away if away > 0.0 else 0.0
        turn = math.copysign(max(abs(turn), min(1.2, 1.5 * abs(error))), error)
    action[0] = speed
    action[1] = min(MAX_TURN, max(-MAX_TURN, turn))


def _make_kernels(version: int) -> tuple[Callable[..., None], Callable[..., None]]:
    def head_for(pose, place, speed, action):
        _ = version  # a change in any of the files compiles anew
        for row in range(len(pose)):
            dx, dy = place[row, 0] - pose[row, 0], place[row, 1] - pose[row, 1]
            away = max(math.hypot(dx, dy), 0.1)
            _take(math.atan2(dy, dx) - pose[row, 2], away, speed[row], 0.25, action[row])

    def pursue(path, count, stop, relative, turn, slowest, clause, frame, point, pose, waited, action):
        _ = version
        for row in range(len(pose)):
            at = clause[row]
            if not math.isnan(turn[row, at]):
                _take(frame[row, 2] + turn[row, at] - pose[row, 2], 0.0, CRUISE, slowest[row, at], action[row])
                continue
            here = _in_frame(pose[row], frame[row]) if relative[row, at] else (pose[row, 0], pose[row, 1], pose[row, 2])
            line = path[row, at, : count[row, at]]
            point[row] = _nearest(line, point[row], here)
            left = _remaining(line, point[row], here)
            if len(line) > 1 and not (stop[row, at] and left < (NEARLY_M if waited[row] else ARRIVED_M)):
                _steer(line, point[row], here, left, stop[row, at], slowest[row, at], action[row])

    return kept(head_for), kept(pursue)


_head_for, _pursue = _make_kernels(fingerprint(__file__, avoid.__file__, state.__file__))
