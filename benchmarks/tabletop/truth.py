"""Exact truth about commands to an arm: what its chunks do in MuJoCo, from the state that they branch off.

A chunk is *correct* if its command's program passes what was really done (the effector as measured, the gripper's
command in force, as logs have it), if it gets at least half as far as the best possible drive of as many steps, and if
nothing goes wrong (`benchmarks.tabletop.touch`). How far: steps along the command's axis, the angle turned, how far the
fingers opened or closed. Best possible is the best of a few drives at the data's own speed and within the reach that
it shows, straight and around what stands in the way, that do no harm. Holding still has no best: its program decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float64

from benchmarks.tabletop.touch import harm
from embodied_cf.datasets.contract import Episode
from embodied_cf.envs.tabletop.dynamics import Table, TableRun, TableState, rows_of
from embodied_cf.envs.tabletop.environment import CHUNK_ROWS, TabletopEnv
from embodied_cf.language import arm
from embodied_cf.language.meaning import Meaning
from embodied_cf.language.verdict import PASS
from embodied_cf.relabel.profile import Profile

HALF = 0.5
ASIDE = 2
"""Periods for which a drive goes aside, or up, before it goes where it should."""


@dataclass(frozen=True)
class Measure:
    """What commands mean to the arm of a dataset."""

    profile: Profile
    meaning: Meaning
    rows: int
    """Of a chunk."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the commands."""
        return self.meaning.vocabulary.names


@dataclass(frozen=True)
class Played:
    """A logged episode, carried out again."""

    table: Table
    run: TableRun

    @staticmethod
    def of(env: TabletopEnv, episode: Episode) -> "Played":
        """Replay the actions of an episode that `env` logged."""
        env.reset(seed=int(str(episode.metadata["episode_metadata/seed"])))
        return Played(env.table, env.table.branch(env.state, episode.action[:-1].astype(np.float64)))

    def at(self, step: int) -> "Place":
        """Return where a step branches off."""
        before = self.run.rows[max(step - 1, 0), 6] if len(self.run.rows) else 1.0
        return Place(self.table, self.run.states[step], float(np.clip(before, 0.0, 1.0)))


@dataclass(frozen=True)
class Deed:
    """What a chunk did."""

    run: TableRun
    track: Float64[np.ndarray, "t 7"]
    """Effector at 0..T as logs have it: the gripper is the command in force."""
    harm: str


@dataclass(frozen=True)
class Place:
    """A state to branch off from."""

    table: Table
    state: TableState
    gripper: float
    """Its command in force, 1 open .. 0 closed."""

    def do(self, chunk: Float[np.ndarray, "h 7"], opens: bool) -> Deed:
        """Carry out a chunk; `opens`: letting go of what it holds is asked for."""
        run = self.table.branch(self.state, rows_of(chunk))
        return self.judged(run, opens)

    def judged(self, run: TableRun, opens: bool) -> Deed:
        """Return what was done in a run that began here."""
        still = TableRun(self.still.states, self.still.instants[: len(run.instants)], self.still.rows)
        track = np.stack([instant.effector for instant in run.instants])
        track[:, 6] = [self.gripper, *run.rows[:, 6]]
        return Deed(run, track, harm(self.table, run, still, opens))

    @cached_property
    def still(self) -> TableRun:
        """What happens if the hand keeps still, for a whole chunk."""
        return self.table.branch(self.state, rows_of(np.tile([*np.zeros(6), self.gripper], (CHUNK_ROWS, 1))))


def passes(measure: Measure, command: int, deed: Deed) -> bool:
    """Return whether a command's program passes what was done."""
    whole = np.array([0]), np.array([len(deed.track) - 1])
    return bool(measure.meaning.of_track(deed.track, *whole)[command, 0] == PASS)


def progress(measure: Measure, command: int, deed: Deed) -> Float64[np.ndarray, " t"]:
    """Return how far a command has got at 0..T: steps, typical rotations or openings; 0 for holding still."""
    effector = np.stack([instant.effector for instant in deed.run.instants])
    since, scale = effector - effector[0], measure.profile.scale
    if command < len(arm.MOVES):
        axis, sign = arm.MOVES[command]
        return sign * since[:, axis] / scale.step
    turned, opened = arm.wrap(since[:, 5]) / scale.turn, since[:, 6]
    ways = {arm.ROTATE_LEFT: turned, arm.ROTATE_RIGHT: -turned, arm.OPEN: opened, arm.CLOSE: -opened}
    return ways.get(command, np.zeros(len(since)))


def best(measure: Measure, place: Place, command: int) -> Float64[np.ndarray, " t"] | None:
    """Return how far the best drive gets in 0..H periods; None if no drive without harm passes the program.

    Nothing gets further than the straight drive; the others are tried where that does harm.
    """
    found: list[np.ndarray] = []
    for number, chunk in enumerate(drives(measure, place, command)):
        deed = place.do(chunk, command == arm.OPEN)
        if not deed.harm and passes(measure, command, deed):
            found.append(progress(measure, command, deed))
            if number == 0:
                break
    return np.max(found, axis=0) if found else None


def correct(measure: Measure, command: int, deed: Deed, possible: Float64[np.ndarray, " t"] | None) -> bool:
    """Return whether a command is carried out, at least half as far as is possible, harm or not."""
    way = progress(measure, command, deed)
    enough = possible is None or way[-1] >= HALF * possible[len(way) - 1]
    return bool(passes(measure, command, deed) and enough)


def drives(measure: Measure, place: Place, command: int) -> Iterator[Float64[np.ndarray, "h 7"]]:
    """Yield chunks that carry out a command: the straight one, then those that first go up or aside."""
    scale, rows = measure.profile.scale, measure.rows
    ahead = np.zeros(6)
    if command < len(arm.MOVES):
        axis, sign = arm.MOVES[command]
        ahead[axis] = sign * scale.step
    elif command in (arm.ROTATE_LEFT, arm.ROTATE_RIGHT):
        ahead[5] = (1 if command == arm.ROTATE_LEFT else -1) * scale.turn / rows
    yield _chunk(measure, place, command, np.tile(ahead, (rows, 1)))
    if ahead.any():
        for aside in _asides(ahead, scale.step):
            yield _chunk(measure, place, command, np.array([aside] * ASIDE + [ahead] * (rows - ASIDE)))


def _asides(ahead: Float64[np.ndarray, " 6"], step: float) -> list[Float64[np.ndarray, " 6"]]:
    """Return steps across the way of a drive: up, and to both sides of a way down."""
    up, left, forward = (np.eye(6)[axis] * step for axis in (2, 1, 0))
    if ahead[2] < 0:
        return [left, -left, forward, -forward]
    return [up] if ahead[2] == 0 else []


def _chunk(
    measure: Measure, place: Place, command: int, steps: Float64[np.ndarray, "h 6"]
) -> Float64[np.ndarray, "h 7"]:
    """Return displacements as a chunk within the reach of the data, and what the command asks of the gripper."""
    here = place.table.instant(place.state).effector[:3]
    low, high = np.minimum(measure.profile.low, here) - here, np.maximum(measure.profile.high, here) - here
    way = np.cumsum(steps, axis=0)
    way[:, :3] = np.clip(way[:, :3], low, high)
    gripper = {arm.OPEN: 1.0, arm.CLOSE: 0.0}.get(command, place.gripper)
    return np.column_stack([way, np.full(len(way), gripper)])
