"""An expert that carries out every instruction over a table, from any state.

It looks at the present instant only, so that it goes on sensibly after a slip, or on a branch that others began.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.tabletop.dynamics import MAX_MOVE, MAX_ROTATION, Instant
from embodied_cf.envs.tabletop.goals import AXES, PUSH_M, TOUCH_M, Goal, drop_point, is_at_place
from embodied_cf.envs.tabletop.layout import BALL_RADIUS, BRICK_HALF, CAN_RADIUS, CUBE_HALF
from embodied_cf.envs.tabletop.model import OPENING_M
from embodied_cf.envs.tabletop.tasks import BEHIND_M
from embodied_cf.language.tabletop import Place, Push, PushTo, Reach

Row = Float64[np.ndarray, " 7"]
Point: TypeAlias = Sequence[float] | Float64[np.ndarray, " 3"]
TRAVEL_M = 0.13
"""Height of the fingertips on the way: a thing in them clears whatever stands there."""
_OPEN, _LET_GO, _PUSHER, _CLOSED = 1.0, 0.7, 0.3, 0.0
_HALF_WIDTH = {"cube": CUBE_HALF, "ball": BALL_RADIUS, "can": CAN_RADIUS, "brick": BRICK_HALF[1]}
"""Between the fingers."""
_BELOW_M = 0.01
"""Fingertips below a thing's centre, to hold or push it."""
_PUSH_STEP_M = 0.025
_FURTHEST_YAW = 2.6


def act(goal: Goal, now: Instant) -> Row:
    """Return the action row of the next control period."""
    match goal.instruction:
        case Reach():
            x, y, z = now.position[goal.thing].tolist()
            return _hop(now, (x, y, z + goal.height / 2 + 0.008), now.effector[5], _CLOSED)
        case Push(direction=way):
            ahead = np.array(AXES[way])
            target = goal.begin.position[goal.thing, :2] + ahead * (PUSH_M + 0.03)
            done = (now.position - goal.begin.position)[goal.thing, :2] @ ahead > PUSH_M + 0.01
            return _stay(_PUSHER) if done else _push(goal, now, target)
        case PushTo():
            apart = (now.position[goal.thing] - now.position[goal.other])[:2]
            done = np.hypot(*apart) - goal.radius - goal.other_radius < TOUCH_M / 2
            return _stay(_PUSHER) if done else _push(goal, now, now.position[goal.other, :2])
        case Place():
            return _place(goal, now)


def towards(now: Instant, to: Point, yaw: float, gripper: float) -> Row:
    """Return the row that goes straight to a place, upright; the path's direction is kept where it is cut off."""
    move, turn = np.asarray(to, np.float64) - now.effector[:3], np.array([0.0, 0.0, yaw]) - now.effector[3:6]
    move = move / max(1.0, float(np.abs(move).max()) / MAX_MOVE)
    return np.concatenate([move, np.clip(turn, -MAX_ROTATION, MAX_ROTATION), [gripper]])


def _place(goal: Goal, now: Instant) -> Row:
    thing, tip = now.position[goal.thing], now.effector[:3]
    kind = goal.instruction.thing.kind
    closed = OPENING_M * now.effector[6] <= _HALF_WIDTH[kind] + 0.003
    around = bool(np.hypot(*(tip - thing)[:2]) < 0.012 and abs(tip[2] - thing[2] + _BELOW_M) < 0.006)
    if is_at_place(goal, now) and not (around and closed):
        return _rise(now, max(now.effector[6], _LET_GO))
    if not around:
        yaw = _grasp_yaw(kind, now.yaw[goal.thing], now.effector[5])
        return _hop(now, (thing[0], thing[1], thing[2] - _BELOW_M), yaw, _OPEN)
    if not closed:
        return _stay(_CLOSED)
    return _carry(goal, now)


def _carry(goal: Goal, now: Instant) -> Row:
    spot, thing, tip = drop_point(goal, now), now.position[goal.thing], now.effector[:3]
    slip = tip - thing
    height = _support(goal) + goal.height / 2 + 0.004
    at_spot = np.hypot(*(thing[:2] - spot)) < 0.008 and thing[2] - height < 0.006
    return _stay(_LET_GO) if at_spot else _hop(now, (*(spot + slip[:2]), height + slip[2]), now.effector[5], _CLOSED)


def _support(goal: Goal) -> float:
    match goal.instruction:
        case Place(relation="on"):
            return goal.other_height
        case Place(relation="in"):
            return 0.008
        case _:
            return 0.0


def _push(goal: Goal, now: Instant, target: Float64[np.ndarray, " 2"]) -> Row:
    thing, tip = now.position[goal.thing, :2], now.effector[:3]
    ahead = (target - thing) / max(float(np.hypot(*(target - thing))), 1e-6)
    behind = float((thing - tip[:2]) @ ahead)
    aside = (thing - tip[:2]) - behind * ahead
    yaw = _nearest(math.atan2(ahead[1], ahead[0]), now.effector[5], math.pi)
    height = max(now.position[goal.thing, 2] - _BELOW_M, 0.01)
    if behind > 0 and np.hypot(*aside) < 0.015 and tip[2] < height + 0.015:
        x, y = tip[:2] + _PUSH_STEP_M * ahead + aside
        return towards(now, (x, y, height), yaw, _PUSHER)
    apart = tip[:2] - thing
    distance = float(np.hypot(*apart))
    if tip[2] < height + 0.015 and distance < goal.radius + BEHIND_M / 2:
        # back off first: rising at once could lift what leans on the fingers
        x, y = tip[:2] + _PUSH_STEP_M * apart / max(distance, 1e-6)
        return towards(now, (x, y, height), now.effector[5], _PUSHER)
    x, y = thing - ahead * (goal.radius + BEHIND_M)
    return _hop(now, (x, y, height), yaw, _PUSHER)


def _hop(now: Instant, to: Point, yaw: float, gripper: float) -> Row:
    """Move up, over and down to a place, never sideways among the things."""
    x, y, z = now.effector[:3].tolist()
    far = math.hypot(to[0] - x, to[1] - y)
    turned = abs(yaw - now.effector[5])
    low = z < TRAVEL_M - 0.02
    if low and (far > 0.02 or turned > 0.2):
        return towards(now, (x, y, TRAVEL_M + 0.01), now.effector[5], gripper)
    if not low and (far > 0.006 or turned > 0.05):
        return towards(now, (to[0], to[1], TRAVEL_M), yaw, gripper)
    return towards(now, to, yaw, gripper)


def _rise(now: Instant, gripper: float) -> Row:
    x, y, _ = now.effector[:3].tolist()
    return towards(now, (x, y, TRAVEL_M + 0.05), now.effector[5], gripper)


def _stay(gripper: float) -> Row:
    return np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, gripper])


def _grasp_yaw(kind: str, thing: float, hand: float) -> float:
    """Return the hand's nearest yaw at which the fingers close on flat sides."""
    period = {"cube": math.pi / 2, "brick": math.pi}.get(kind)
    return hand if period is None else _nearest(thing, hand, period)


def _nearest(yaw: float, hand: float, period: float) -> float:
    """Return the angle that equals `yaw` up to whole periods and lies nearest to the hand's, within its limits."""
    nearest = hand + (yaw - hand + period / 2) % period - period / 2
    return nearest if abs(nearest) < _FURTHEST_YAW else nearest - math.copysign(period, nearest)
