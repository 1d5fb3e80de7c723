"""Drivers that do well until a fault at a known decision: the truth that explanations are tested against."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.envs.driving.pursuit import head_for
from embodied_cf.envs.episodes import Episodes
from embodied_cf.envs.state import PERIOD_S, State
from embodied_cf.evaluate.rollout import EXECUTE
from embodied_cf.explain.episode.wheel import Driver, ExpertDriver, Handover, Wheel

_SPEED = 0.8
SAME_M, SAME_RAD = 0.2, 0.3
"""Who ends the faulty decision nearer than this to where the fault would have led has made it."""


@dataclass(frozen=True)
class Faulty:
    """The expert, that at a decision sets out for a wrong place, and goes on with it if it got under way.

    Whether it got under way shows in where the robot is after that decision, so that whoever does something else
    there, and only there, brings it back to reason. Those who leave the episode earlier meet the fault as well.
    """

    decision: int
    place: tuple[float, float] | None
    """x, y m of what it heads for; None: it stands still."""
    stop_m: float | None = None
    """How far from the place it halts; None: it drives into whatever is there."""
    lasts: int | None = None
    """After how many decisions it comes to its senses; None: never."""
    history: int = 4 * EXECUTE

    @property
    def begin(self) -> int:
        """Control period at which it errs."""
        return EXECUTE * self.decision

    def take_over(self, handover: Handover) -> Wheel:
        """Begin, derailed or not."""
        return _FaultyWheel(self, handover, ExpertDriver())

    def wrong(self, pose: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 2"]:
        """Return the faulty action, v m/s and w rad/s."""
        if self.place is None:
            return np.zeros((len(pose), 2))
        place = np.tile(self.place, (len(pose), 1))
        action = head_for(pose, place, np.full(len(pose), _SPEED))
        if self.stop_m is not None:
            action[np.hypot(*(place - pose[:, :2]).T) <= self.stop_m] = 0.0
        return action

    def got_under_way(self, handover: Handover) -> Bool[np.ndarray, " n"]:
        """Return who did what the fault asks for in the faulty decision, as far back as is known."""
        states = (*handover.past, handover.now.state)
        before = _pose_at(states, handover.now.clock - self.begin)
        after = _pose_at(states, handover.now.clock - self.begin - EXECUTE)
        led = before.copy()
        for _ in range(EXECUTE):
            speed, turn = self.wrong(led).T
            heading = led[:, 2] + turn * PERIOD_S / 2
            led += np.stack([speed * np.cos(heading), speed * np.sin(heading), turn], axis=1) * PERIOD_S
        near = np.hypot(*(led - after)[:, :2].T) <= SAME_M
        return near & (np.abs((led - after)[:, 2]) <= SAME_RAD)


def _pose_at(states: tuple[State, ...], age: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n 3"]:
    """Return each row's pose so many periods ago; far away where that is not known."""
    poses, rows = np.stack([state.pose for state in states[::-1]]), np.arange(len(age))
    known = (age >= 0) & (age < len(poses))
    return np.where(known[:, None], poses[np.clip(age, 0, len(poses) - 1), rows], np.inf)


class _FaultyWheel:
    def __init__(self, driver: Faulty, handover: Handover, reason: Driver) -> None:
        self._driver, self._good = driver, reason.take_over(handover)
        left, clock = handover.left, handover.now.clock
        with np.errstate(invalid="ignore"):
            began = driver.got_under_way(handover) if len(handover.past) else np.zeros(len(clock), bool)
        elsewhere = (left <= driver.begin) & (clock > driver.begin)
        self._spared = elsewhere & ~began
        self._last = handover.now.state

    def act(self, now: Episodes) -> Float64[np.ndarray, "n 2"]:
        driver = self._driver
        ends = np.inf if driver.lasts is None else driver.begin + EXECUTE * driver.lasts
        faulty = ~self._spared & (now.clock >= driver.begin) & (now.clock < ends)
        # whoever has gone wrong for good needs no more plans: its reason is shown the last place where it had any
        lost = np.flatnonzero(faulty & (driver.lasts is None))
        self._last = now.state.replaced(lost, self._last.take(lost))
        action = self._good.act(replace(now, state=self._last))
        return np.where(faulty[:, None], driver.wrong(now.state.pose), action)
