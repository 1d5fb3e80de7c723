"""The atomic commands of a robot that drives, and their meaning as a program on its motion.

Frame: x forward, y left, yaw counterclockwise, at the first step. Distances are in the robot's own typical
step, heading changes in its own typical turn over one chunk (`MotionScale`), so that a slow robot is not
"stopped" and a fast sampler not "straight". Worked example: with a typical step of 0.1 m, the chunk
[[.1, 0], [.2, 0], ... [.8, 0]] has forward = 8, left = 0, heading = 0: "go forward".
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int8, Int64

from embodied_cf.language.scale import MotionScale
from embodied_cf.language.verdict import verdict
from embodied_cf.language.vocabulary import Command, Vocabulary

VOCABULARY = Vocabulary(
    (
        Command(
            "forward",
            ("go forward", "move forward", "go straight", "drive straight ahead", "keep going straight",
             "continue straight", "head straight on", "move ahead", "proceed forward", "drive forward",
             "keep straight on", "go straight ahead"),
            ("advance", "carry on along this line", "press onward", "travel dead ahead", "roll on in front of you"),
        ),
        Command(
            "turn_left",
            ("turn left", "make a left turn", "take a left", "turn to the left", "turn sharply left",
             "swing around to the left", "make a left", "go around to the left", "turn left here",
             "make a turn to the left", "steer hard left", "make a sharp turn to the left"),
            ("hang a left", "bend sharply to the left", "wheel around to the left",
             "perform a quarter turn to the left", "head off to the left"),
        ),
        Command(
            "turn_right",
            ("turn right", "make a right turn", "take a right", "turn to the right", "turn sharply right",
             "swing around to the right", "make a right", "go around to the right", "turn right here",
             "make a turn to the right", "steer hard right", "make a sharp turn to the right"),
            ("hang a right", "bend sharply to the right", "wheel around to the right",
             "perform a quarter turn to the right", "head off to the right"),
        ),
        Command(
            "adjust_left",
            ("adjust left", "bear left", "veer left", "steer slightly to the left", "keep slightly left",
             "drift to the left", "ease to the left", "curve gently left", "turn slightly left",
             "go slightly left", "shift a bit to the left", "steer a little left"),
            ("lean left", "edge over to the left", "angle a touch to the left", "nudge your course left",
             "slant somewhat to the left"),
        ),
        Command(
            "adjust_right",
            ("adjust right", "bear right", "veer right", "steer slightly to the right", "keep slightly right",
             "drift to the right", "ease to the right", "curve gently right", "turn slightly right",
             "go slightly right", "shift a bit to the right", "steer a little right"),
            ("lean right", "edge over to the right", "angle a touch to the right", "nudge your course right",
             "slant somewhat to the right"),
        ),
        Command(
            "stop",
            ("stop", "stay where you are", "wait here", "do not move", "come to a halt", "stand still", "halt",
             "hold your position", "stop moving", "come to a stop", "stop on the spot", "stay still"),
            ("freeze", "remain in place", "cease all motion", "park yourself here", "do not budge"),
        ),
    )
)  # fmt: skip
UNLABELLED = ("reverse", "creeping", "swerve")
FORWARD, TURN_LEFT, TURN_RIGHT, ADJUST_LEFT, ADJUST_RIGHT, STOP = range(6)


@dataclass(frozen=True)
class NavThresholds:
    """Where one command ends and the next begins. Steps and turns are the robot's own typical ones."""

    still: float = 0.1
    """steps: standing if no waypoint lies further away"""
    moving: float = 1.0
    """steps: moving if the last waypoint lies at least so far along the path"""
    straight: float = 0.12
    """turns: the largest heading change that is called straight"""
    turn: float = 0.78
    """turns: the smallest heading change that is called a turn; between lies an adjustment"""
    slack: float = 0.12
    """turns: how far a motion may lie beyond a border and still carry the label"""
    swerve: float = 0.35
    """sideways per forward distance, beyond which a straight heading is no straight path"""


@dataclass(frozen=True)
class NavMotion:
    """N motions, summarised."""

    forward: Float[np.ndarray, " n"]
    """steps, end point"""
    left: Float[np.ndarray, " n"]
    """steps, end point"""
    furthest: Float[np.ndarray, " n"]
    """steps, distance of the furthest waypoint"""
    travel: Float[np.ndarray, " n"]
    """steps, length of the path"""
    heading: Float[np.ndarray, " n"]
    """turns, change from first to last; nan where the path is too short to show one"""


def chunk_motion(chunk: Float[np.ndarray, "n h 2"], mask: Bool[np.ndarray, "n h"], scale: MotionScale) -> NavMotion:
    """Summarise action chunks (metres). The heading is the direction of the last displacement."""
    path = np.zeros((len(chunk), chunk.shape[1] + 1, 2))
    np.divide(chunk, scale.step, out=path[:, 1:])
    last = mask.sum(axis=1)
    rows = np.arange(len(chunk))
    delta = path[:, 1:] - path[:, :-1]
    lengths = np.sqrt(delta[..., 0] ** 2 + delta[..., 1] ** 2) * mask
    distance = np.sqrt(path[:, 1:, 0] ** 2 + path[:, 1:, 1] ** 2) * mask
    end = path[rows, last]
    tail = end - path[rows, np.maximum(last - 1, 0)]
    heading = np.arctan2(tail[:, 1], tail[:, 0])
    # too short to have a direction, or straight back, which might be either side
    shown = (np.hypot(tail[:, 0], tail[:, 1]) >= 0.1) & (np.abs(heading) < 0.9 * np.pi)
    heading = np.where(shown, heading, np.nan) / scale.turn
    return NavMotion(end[:, 0], end[:, 1], distance.max(axis=1, initial=0.0), lengths.sum(axis=1), heading)


def pose_motion(
    pose: Float[np.ndarray, "t 3"],
    start: Int64[np.ndarray, " n"],
    end: Int64[np.ndarray, " n"],
    scale: MotionScale,
) -> NavMotion:
    """Summarise the driven ranges [start, end] of a pose track (m, m, rad); headings come from its yaw."""
    yaw = np.unwrap(pose[:, 2])
    odometer = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(pose[:, :2], axis=0).T))])
    longest = int((end - start).max(initial=0))
    at = np.minimum(start[:, None] + np.arange(longest + 1), end[:, None])  # (n, k), the end repeated
    offset = pose[at, :2] - pose[start, None, :2]
    cos, sin = np.cos(yaw[start])[:, None], np.sin(yaw[start])[:, None]
    x = (cos * offset[..., 0] + sin * offset[..., 1]) / scale.step
    y = (-sin * offset[..., 0] + cos * offset[..., 1]) / scale.step
    travel = (odometer[end] - odometer[start]) / scale.step
    return NavMotion(x[:, -1], y[:, -1], np.hypot(x, y).max(axis=1, initial=0.0), travel,
                     (yaw[end] - yaw[start]) / scale.turn)  # fmt: skip


def verdicts(motion: NavMotion, limits: NavThresholds) -> Int8[np.ndarray, "c n"]:
    """Return for each command and motion whether the motion does it; rows in the order of VOCABULARY."""
    known = np.isfinite(motion.heading)
    turned = np.nan_to_num(motion.heading)
    still = motion.furthest <= limits.still
    moving = (motion.travel >= limits.moving) & (motion.forward > 0) & known
    vague = ~still & (motion.travel < limits.moving)
    straight = np.abs(motion.left) <= limits.swerve * np.maximum(motion.forward, 0)
    low, high = limits.straight - limits.slack / 2, limits.turn + limits.slack
    table = [verdict(moving & straight & (np.abs(turned) <= limits.straight + limits.slack), vague)]
    for side in (1, -1):
        on_the_spot = still & (side * turned > limits.straight)
        table.append(verdict(on_the_spot | (side * turned >= limits.turn - limits.slack), still | vague))
    for side in (1, -1):
        table.append(verdict(moving & (side * turned >= low) & (side * turned <= high), still | vague))
    table.append(verdict(still & (np.abs(turned) <= limits.straight), vague))
    return np.stack(table)


def classify(motion: NavMotion, limits: NavThresholds) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return (command index or -1, index into UNLABELLED or -1) of each motion.

    Unlike the published rule (arXiv 2508.13446) no motion falls between two commands, and turning on the
    spot is a turn, not a stop.
    """
    turned = np.nan_to_num(motion.heading)
    still = motion.furthest <= limits.still
    bent = np.abs(turned) > limits.straight
    sharp = np.abs(turned) >= limits.turn
    left = turned > 0
    command = np.where(sharp | (still & bent), np.where(left, TURN_LEFT, TURN_RIGHT),
                       np.where(bent, np.where(left, ADJUST_LEFT, ADJUST_RIGHT), FORWARD))  # fmt: skip
    command = np.where(still & ~bent, STOP, command)
    reverse = ~still & (motion.forward <= 0) & ~sharp
    creeping = ~still & (motion.travel < limits.moving) & ~sharp
    swerve = (command == FORWARD) & (np.abs(motion.left) > limits.swerve * np.maximum(motion.forward, 0))
    reason = np.where(creeping, 1, np.where(reverse, 0, np.where(swerve, 2, -1)))
    return np.where(reason >= 0, -1, command), reason
