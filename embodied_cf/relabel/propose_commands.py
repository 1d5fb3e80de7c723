"""Driving commands told some steps ago: what the robot has done of them since, it need not do again.

A command ends where nothing is to be seen: only how far the robot has come since it was told says when to stand. So
rows are looked for on both sides of that end, and none is taken that lies at it: who learns from the very first moment
at which a turn counts as one stands too early as often as not.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64

from embodied_cf.language.predicate_geometry import in_frame
from embodied_cf.language.predicate_rules import TURN
from embodied_cf.relabel.propose_things import COMMAND_SIDES, COMMANDS, Goals, Sights, goals_about

_LAGS = np.arange(1, 25)
"""Steps before, at which it may have been told."""
_BEGUN, _TURNED = np.radians(20), tuple(np.radians((80, 110)))
"""Turned so far, it has begun; and so far, it has turned."""
_BEGUN_M, _NOT_YET_M, _DRIVEN_M = 0.4, 1.8, (2.2, 2.8)
"""Driven so far ahead, it has begun; up to so far, it goes on; and so far, it has driven."""
_STRAIGHT, _DRIFT_M = np.radians(15), 0.4
"""What still counts as straight ahead."""
_SHARES = (0.3, 0.3, 0.1)
"""Of the steps at which there is one, those that get a command of which it has done a part, all, or nothing yet."""


def commands_earlier(sights: Sights, rng: np.random.Generator) -> tuple[Goals, Int64[np.ndarray, " p"]]:
    """Return commands and the step at which each is to be begun, carried on, or is done; at most one of each command
    and kind for a step."""
    start = sights.steps[sights.steps >= 1]
    since, found = _Since(sights.track, start), [np.zeros((0, 3), np.int64)]
    for command, kinds in enumerate((since.forward, since.left, since.right)):
        for held, share in zip(kinds, _SHARES, strict=True):
            lag, at = _one_each(held & (rng.random(len(start)) < share), rng)
            found.append(np.stack([start[at] - lag, start[at], np.full(len(at), command)], axis=1))
    told, step, command = np.concatenate(found).T
    none = np.full(len(told), -1)
    return goals_about(told, np.array(COMMANDS)[command], np.array(COMMAND_SIDES)[command], none, none), step


Held = Bool[np.ndarray, "l n"]
"""For each lag and step."""


@dataclass(frozen=True)
class _Since:
    """What a robot has done at n steps since each of l lags before."""

    track: Float64[np.ndarray, "t 3"]
    start: Int64[np.ndarray, " n"]

    @cached_property
    def told(self) -> Int64[np.ndarray, "l n"]:
        return self.start - _LAGS[:, None]

    @cached_property
    def yaw(self) -> tuple[Float64[np.ndarray, "l n"], ...]:
        """The turn since then, and the least and the most in between, rad."""
        ago = np.concatenate([[0], _LAGS])[:, None]
        course = np.unwrap(self.track[:, 2])[np.maximum(self.start - ago, 0)]
        least, most = (bound.accumulate(course) for bound in (np.minimum, np.maximum))
        return course[0] - course[1:], least[1:] - course[1:], most[1:] - course[1:]

    @property
    def left(self) -> tuple[Held, Held, Held]:
        now, _, most = self.yaw
        return self._turn(now, most)

    @property
    def right(self) -> tuple[Held, Held, Held]:
        now, least, _ = self.yaw
        return self._turn(-now, -least)

    def _turn(self, now: np.ndarray, most: np.ndarray) -> tuple[Held, Held, Held]:
        going = (self.told >= 0) & (most < TURN[0])
        done = (self.told >= 0) & (now >= _TURNED[0]) & (most <= _TURNED[1])
        return going & (now >= _BEGUN), done, going & (np.abs(now) < _BEGUN)

    @property
    def forward(self) -> tuple[Held, Held, Held]:
        _, least, most = self.yaw
        origin = self.track[np.maximum(self.told, 0)].reshape(-1, 3)
        place = np.tile(self.track[self.start, :2], (len(_LAGS), 1))
        ahead, aside = in_frame(origin, place[:, None])[:, 0].T.reshape(2, *self.told.shape)
        straight = (self.told >= 0) & (most <= _STRAIGHT) & (least >= -_STRAIGHT) & (np.abs(aside) <= _DRIFT_M)
        done = straight & (ahead >= _DRIVEN_M[0]) & (ahead <= _DRIVEN_M[1])
        going = straight & (ahead <= _NOT_YET_M)
        return going & (ahead >= _BEGUN_M), done, going & (ahead < _BEGUN_M)


def _one_each(held: Held, rng: np.random.Generator) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Return a lag at random, and the index, of each step that has any."""
    at = np.flatnonzero(held.any(axis=0))
    chance = np.where(held[:, at], rng.random((len(held), len(at))), -1.0)
    return _LAGS[chance.argmax(axis=0)], at
