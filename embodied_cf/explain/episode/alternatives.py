"""What could have been done instead at a decision: atomic commands at the wheel, and what else a policy would draw."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64, Int64

from embodied_cf.datasets.motion import odometry
from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.state import MAX_SPEED, MAX_TURN, PERIOD_S
from embodied_cf.explain.episode.replay import Recording, asked_at
from embodied_cf.explain.episode.wheel import PolicyDriver, follow_from
from embodied_cf.language.nav import VOCABULARY, NavThresholds, classify, pose_motion
from embodied_cf.language.scale import MotionScale
from embodied_cf.policies.contract import Observation, Policy

COMMANDS: Mapping[str, tuple[float, float]] = {
    "forward": (0.8, 0.0), "turn_left": (0.35, 1.2), "turn_right": (0.35, -1.2),
    "adjust_left": (0.7, 0.5), "adjust_right": (0.7, -0.5), "stop": (0.0, 0.0),
}  # fmt: skip
"""v m/s and w rad/s of each atomic command."""
SCALE = MotionScale(step=0.2, turn=2.4)
"""Typical motion of the simulated robot over a chunk of two seconds."""
_STAND, _PIVOT = 0.05, 0.3
"""m/s and rad/s below which a robot stands, and does not turn."""


def at_the_wheel(command: str, periods: int) -> Float64[np.ndarray, "p 2"]:
    """Return a command's actions for so many control periods."""
    return np.tile(np.array(COMMANDS[command]), (periods, 1))


def distance(one: Float64[np.ndarray, "*n p 2"], other: Float64[np.ndarray, "*n p 2"]) -> Float64[np.ndarray, "*n"]:
    """Return how far actions are apart: root mean square over periods and both wheels, in shares of their range."""
    return np.asarray(np.sqrt(np.square((one - other) / (MAX_SPEED, MAX_TURN)).mean(axis=(-2, -1))))


def in_words(actions: Float64[np.ndarray, "p 2"]) -> str:
    """Return what actions amount to, after "it had": "turned left", "gone straight on", "stood still"."""
    speed, turn = actions.mean(axis=0).tolist()
    side = "left" if turn > 0 else "right"
    if speed < _STAND:
        return "stood still" if abs(turn) < _PIVOT else f"turned {side} on the spot"
    name = command_of(actions)
    if name.startswith("turn"):
        return f"turned {side}"
    return f"borne {side}" if name.startswith("adjust") else "gone straight on" if name else "crept on"


def command_of(actions: Float64[np.ndarray, "p 2"]) -> str:
    """Return the atomic command that actions, kept up for a chunk, amount to; "" if to none."""
    speed, turn = actions.mean(axis=0)
    time = PERIOD_S * np.arange(9)
    heading = turn * time
    path = np.cumsum(speed * PERIOD_S * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    pose = np.column_stack([path, heading])
    motion = pose_motion(pose, np.zeros(1, np.int64), np.array([8]), SCALE)
    index, _ = classify(motion, NavThresholds())
    return VOCABULARY.names[int(index[0])] if index[0] >= 0 else ""


def drawing(policy: Policy) -> Policy:
    """Return the policy so that it draws its chunks, where it can be told to."""
    return replace(policy, sample=True) if hasattr(policy, "sample") else policy  # type: ignore[type-var]


@dataclass(frozen=True)
class SecondBest:
    """What a policy would most likely have done otherwise, at each decision where it draws anything else."""

    decision: Int64[np.ndarray, " n"]
    actions: Float64[np.ndarray, "n p 2"]
    share: Float64[np.ndarray, " n"]
    """Of its draws that go this way; of the likeliest of them are the actions."""
    ways: Mapping[int, tuple[str, ...]]
    """By decision the command that each draw amounts to; only where draws differ."""


def second_best(recording: Recording, draws: int) -> SecondBest:
    """Draw chunks at every decision and return the likeliest that do another atomic command than what was done.

    The likeliest by the policy's own log-probability where it tells one, else the one in the middle of the most
    frequent command. Empty for a driver that draws nothing.
    """
    if not isinstance(recording.driver, PolicyDriver) or not draws:
        return _none(recording)
    drawn = [_drawn(recording, recording.driver, at, draws) for at in range(recording.decisions)]
    ways = {at: tuple(it.names.tolist()) for at, it in enumerate(drawn) if np.ptp(it.actions, axis=0).any()}
    best = [(at, _other_way(it, command_of(recording.done_at(at)))) for at, it in enumerate(drawn)]
    kept = [(at, drawn[at].actions[row], drawn[at].share(row)) for at, row in best if row is not None]
    if not kept:
        return replace(_none(recording), ways=ways)
    decision, actions, share = zip(*kept, strict=True)
    return SecondBest(np.array(decision, np.int64), np.stack(actions), np.array(share, np.float64), ways)


def _none(recording: Recording) -> SecondBest:
    return SecondBest(np.zeros(0, np.int64), np.zeros((0, recording.execute, 2)), np.zeros(0), {})


@dataclass(frozen=True)
class _Drawn:
    """What a policy draws at one decision."""

    actions: Float64[np.ndarray, "d p 2"]
    names: np.ndarray
    """The command that each amounts to; "" for none."""
    log_probability: Float32[np.ndarray, " d"] | None

    def share(self, row: int) -> float:
        """Return the share of draws that do the command of one of them."""
        return float((self.names == self.names[row]).mean())


def _drawn(recording: Recording, driver: PolicyDriver, decision: int, draws: int) -> _Drawn:
    asked = asked_at(recording, driver, decision)
    shown = asked.clock[1:]
    seen = driver.see(recording.moments.worlds.take([decision] * len(shown)), recording.trail.take(shown))
    rng = generator(driver.seed, "explain", "second best", str(decision))
    past = odometry(recording.trail.pose[asked.clock][None])
    asking = Observation(np.tile(seen, (draws, 1, 1, 1, 1)), np.tile(past, (draws, 1, 1)))
    answer = drawing(driver.policy).act(asking, (asked.words,) * draws, rng)
    actions = np.stack([_carried_out(chunk, recording.execute) for chunk in answer.chunk.astype(np.float64)])
    return _Drawn(actions, np.array([command_of(row) for row in actions]), answer.log_probability)


def _other_way(drawn: _Drawn, done: str) -> int | None:
    """Return the draw that is told of as the second best; None if none does another command than what was done."""
    others = np.flatnonzero((drawn.names != done) & (drawn.names != ""))
    if not len(others):
        return None
    if drawn.log_probability is not None:
        return int(others[drawn.log_probability[others].argmax()])
    return _most_frequent(drawn.names, drawn.actions, others)


def _most_frequent(names: np.ndarray, actions: Float64[np.ndarray, "n p 2"], others: Int64[np.ndarray, " o"]) -> int:
    """Return the row nearest to the mean of the most frequent other command."""
    command, count = np.unique(names[others], return_counts=True)
    rows = others[names[others] == command[count.argmax()]]
    middle = actions[rows].mean(axis=0, keepdims=True)
    return int(rows[distance(actions[rows], np.repeat(middle, len(rows), axis=0)).argmin()])


def _carried_out(chunk: Float64[np.ndarray, "k 2"], periods: int) -> Float64[np.ndarray, "p 2"]:
    """Return the actions that follow a chunk if nothing slips."""
    origin, actions = np.zeros((1, 3)), []
    pose = origin.copy()
    for phase in range(periods):
        actions.append(follow_from(chunk[None], phase, origin, pose)[0])
        (x, y, yaw), (v, w) = pose[0], actions[-1]
        middle = yaw + w * PERIOD_S / 2
        pose = np.array([[x + v * PERIOD_S * np.cos(middle), y + v * PERIOD_S * np.sin(middle), yaw + w * PERIOD_S]])
    return np.stack(actions)
