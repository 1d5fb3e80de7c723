"""The atomic commands of an arm with a gripper, and their meaning as a program on its motion.

Frame: the base's directions, x forward, y left, z up. Distances are in the arm's own typical step, angles in
its own typical rotation over one chunk (`MotionScale`). The gripper is 1 open, 0 closed. Worked example: with
a typical step of 1 cm, a displacement of (0, 0.05, 0.01) m is 5 steps left and 1 up: "move left".
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int8, Int64

from embodied_cf.language.scale import MotionScale
from embodied_cf.language.verdict import verdict
from embodied_cf.language.vocabulary import Command, Vocabulary

VOCABULARY = Vocabulary(
    (
        Command("move_forward", ("move forward", "move the arm forward", "reach forward", "push the gripper forward",
                                 "extend forward", "go forward")),
        Command("move_back", ("move back", "move the arm back", "pull back", "draw the gripper back", "retract",
                              "go backward")),
        Command("move_left", ("move left", "move the arm to the left", "shift left", "slide the gripper left",
                              "go to the left", "reach left")),
        Command("move_right", ("move right", "move the arm to the right", "shift right", "slide the gripper right",
                               "go to the right", "reach right")),
        Command("move_up", ("move up", "raise the arm", "lift up", "raise the gripper", "go up", "move upward")),
        Command("move_down", ("move down", "lower the arm", "go down", "lower the gripper", "move downward",
                              "descend")),
        Command("rotate_left", ("rotate left", "rotate the gripper counterclockwise", "twist left",
                                "turn the wrist left", "rotate counterclockwise")),
        Command("rotate_right", ("rotate right", "rotate the gripper clockwise", "twist right",
                                 "turn the wrist right", "rotate clockwise")),
        Command("open_gripper", ("open the gripper", "release", "let go", "open gripper", "open your fingers")),
        Command("close_gripper", ("close the gripper", "grasp", "grip", "close gripper", "close your fingers")),
        Command("hold", ("hold still", "stay where you are", "do not move", "wait", "keep still", "stop")),
    )
)  # fmt: skip
UNLABELLED = ("creeping", "tilt")
MOVES = ((0, 1), (0, -1), (1, 1), (1, -1), (2, 1), (2, -1))
"""(axis, sign) of the first six commands."""
ROTATE_LEFT, ROTATE_RIGHT, OPEN, CLOSE, HOLD = range(6, 11)


@dataclass(frozen=True)
class ArmThresholds:
    """Where one command ends and the next begins, in the arm's own typical steps and rotations."""

    still: float = 0.5
    """steps: holding still if it moves no further"""
    still_turn: float = 0.15
    """rotations: holding still if it turns no further"""
    move: float = 1.0
    """steps: the shortest displacement that is called a move"""
    rotate: float = 0.25
    """rotations: the smallest angle that is called a rotation"""
    dominant: float = 0.5
    """share of the largest axis from which a smaller one makes the answer unknown"""
    open: float = 0.5
    """gripper value from which it counts as open"""


@dataclass(frozen=True)
class ArmMotion:
    """N motions, summarised."""

    move: Float[np.ndarray, "n 3"]
    """steps, displacement of the end effector"""
    rotation: Float[np.ndarray, "n 3"]
    """rotations, change of roll, pitch, yaw"""
    furthest: Float[np.ndarray, " n"]
    """steps, distance of the furthest waypoint"""
    gripper_before: Float[np.ndarray, " n"]
    """nan where not known"""
    gripper_after: Float[np.ndarray, " n"]


def chunk_motion(
    chunk: Float[np.ndarray, "n h 7"], mask: Bool[np.ndarray, "n h"], scale: MotionScale,
    gripper_before: Float[np.ndarray, " n"],
) -> ArmMotion:  # fmt: skip
    """Summarise action chunks (metres, radians, gripper command)."""
    rows, last = np.arange(len(chunk)), np.maximum(mask.sum(axis=1) - 1, 0)
    end = chunk[rows, last]
    distance = np.linalg.norm(chunk[..., :3], axis=2) * mask / scale.step
    return ArmMotion(end[:, :3] / scale.step, end[:, 3:6] / scale.turn, distance.max(axis=1, initial=0.0),
                     np.asarray(gripper_before, np.float64), end[:, 6].astype(np.float64))  # fmt: skip


def effector_motion(
    effector: Float[np.ndarray, "t 7"], start: Int64[np.ndarray, " n"], end: Int64[np.ndarray, " n"],
    scale: MotionScale,
) -> ArmMotion:  # fmt: skip
    """Summarise the moved ranges [start, end] of an end-effector track."""
    longest = int((end - start).max(initial=0))
    at = np.minimum(start[:, None] + np.arange(longest + 1), end[:, None])  # (n, k), the end repeated
    distance = np.linalg.norm(effector[at, :3] - effector[start, None, :3], axis=2) / scale.step
    delta = effector[end, :6] - effector[start, :6]
    return ArmMotion(delta[:, :3] / scale.step, wrap(delta[:, 3:]) / scale.turn, distance.max(axis=1, initial=0.0),
                     effector[start, 6], effector[end, 6])  # fmt: skip


def wrap(angle: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Return angles in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def verdicts(motion: ArmMotion, limits: ArmThresholds) -> Int8[np.ndarray, "c n"]:
    """Return for each command and motion whether the motion does it; rows in the order of VOCABULARY."""
    largest = np.abs(motion.move).max(axis=1)
    table = []
    for axis, sign in MOVES:
        along = sign * motion.move[:, axis]
        table.append(
            verdict(
                (along >= limits.move) & (along >= largest),
                (along > 0) & (along >= limits.dominant * largest),
            )
        )
    largest_turn = np.abs(motion.rotation).max(axis=1)
    for sign in (1, -1):
        yaw = sign * motion.rotation[:, 2]
        table.append(
            verdict(
                (yaw >= limits.rotate) & (yaw >= largest_turn),
                (yaw > 0) & (yaw >= limits.dominant * largest_turn),
            )
        )
    was_known = np.isfinite(motion.gripper_before)
    was_open = np.nan_to_num(motion.gripper_before) >= limits.open
    is_open = motion.gripper_after >= limits.open
    table.append(verdict(is_open & ~was_open & was_known, is_open & ~was_known))
    table.append(verdict(~is_open & was_open & was_known, ~is_open & ~was_known))
    kept = ~was_known | (was_open == is_open)
    quiet = (motion.furthest <= limits.still) & (largest_turn <= limits.still_turn)
    table.append(verdict(quiet & kept, (motion.furthest < limits.move) & (largest_turn < limits.rotate) & kept))
    return np.stack(table)


def classify(motion: ArmMotion, limits: ArmThresholds) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return (command index or -1, index into UNLABELLED or -1): gripper first, then the larger of move and turn."""
    axis = np.abs(motion.move).argmax(axis=1)
    along = np.take_along_axis(motion.move, axis[:, None], axis=1)[:, 0]
    command = 2 * axis + (along < 0)
    turn = np.abs(motion.rotation).max(axis=1)
    yaw = motion.rotation[:, 2]
    turns = (turn >= limits.rotate) & (turn / limits.rotate > np.abs(along) / limits.move)
    upright = np.abs(yaw) >= turn
    command = np.where(turns & upright, np.where(yaw > 0, ROTATE_LEFT, ROTATE_RIGHT), command)
    reason = np.where(turns & ~upright, 1, np.where(~turns & (np.abs(along) < limits.move), 0, -1))
    quiet = (motion.furthest <= limits.still) & (turn <= limits.still_turn)
    command, reason = np.where(quiet, HOLD, command), np.where(quiet, -1, reason)
    before, after = motion.gripper_before >= limits.open, motion.gripper_after >= limits.open
    changed = np.isfinite(motion.gripper_before) & (before != after)
    command = np.where(changed, np.where(after, OPEN, CLOSE), command)
    reason = np.where(changed, -1, reason)
    return np.where(reason >= 0, -1, command), reason
