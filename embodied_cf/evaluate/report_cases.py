"""Episodes that the report shows: which, and their maps and films."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embodied_cf.datasets.film import data_uri
from embodied_cf.envs.rendering.topdown import PATH_RGB, draw_map
from embodied_cf.envs.state import PERIOD_S
from embodied_cf.evaluate.record import Record
from embodied_cf.evaluate.replay import film, path_of, task_of
from embodied_cf.evaluate.summary import NONE, SHUFFLED, Episode, Run

_FRAMES, _FRAME_PIXELS, _MAP_PIXELS = 6, 96, 320
_NO_WAY = np.zeros((0, 3))
"""Of a policy that a map leaves out, so that the others keep their colours."""


@dataclass(frozen=True)
class Strip:
    """What one policy saw, and what became of it."""

    policy: str
    colour: str
    outcome: str
    good: bool
    frames: tuple[tuple[str, str], ...]
    """Time in words and data URI; none where frames may not be shown."""


@dataclass(frozen=True)
class Told:
    """One instruction at the start of an episode, and what each policy made of it."""

    text: str
    meaning: str
    """In canonical words, "" where it is not the one that is judged."""
    map: str
    """Data URI: the scene from above with each policy's way."""
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Case:
    """One episode."""

    cell: str
    seed: int
    sight: str
    told: tuple[Told, ...]


@dataclass(frozen=True)
class Gallery:
    """Draws episodes of some policies; no pixels of the robot's camera without `frames`."""

    runs: Mapping[str, Run]
    people: tuple[int, int]
    frames: bool = True

    def case(self, episode: Episode, names: Sequence[str], controls: Sequence[str] = (NONE,)) -> Case:
        """Return an episode under each control that all the named policies have records of."""
        records = [[self.runs[name].controls.get(control, {}).get(episode) for name in names] for control in controls]
        whole = [[record for record in row if record] for row in records]
        told = tuple(self._told(row, names) for row in whole if len(row) == len(names))
        return Case("/".join(episode[0]), episode[1], whole[0][0].sight, told)

    def _told(self, records: Sequence[Record], names: Sequence[str]) -> Told:
        first, task = records[0], task_of(records[0], self.people)
        ways = {name: path_of(record) for record, name in zip(records, names, strict=True)}
        picture = draw_map(task.scene, 2 * _MAP_PIXELS, [ways.get(name, _NO_WAY) for name in self.runs])
        strips = tuple(self._strip(record, name) for record, name in zip(records, names, strict=True))
        meaning = first.instruction if first.control == NONE else ""
        return Told(first.told, meaning, data_uri(picture, _MAP_PIXELS), strips)

    def _strip(self, record: Record, name: str) -> Strip:
        frames = film(task_of(record, self.people), path_of(record), _FRAMES) if self.frames else []
        shown = tuple((f"{at * PERIOD_S:.0f} s", data_uri(frame, _FRAME_PIXELS)) for at, frame in frames)
        outcome, good = outcome_of(record)
        return Strip(name, colour_of(self.runs, name), outcome, good, shown)


def colour_of(runs: Mapping[str, Run], name: str) -> str:
    """Return a policy's colour: that of its way on maps where all policies are drawn."""
    red, green, blue = PATH_RGB[list(runs).index(name) % len(PATH_RGB)]
    return f"#{red:02x}{green:02x}{blue:02x}"


def outcome_of(record: Record) -> tuple[str, bool]:
    """Return in words how an episode ended, and whether that is as it was told."""
    took = f"{record.steps * PERIOD_S:.0f} s"
    if record.control == SHUFFLED and "obeyed" in record.measures:
        obeyed = record.measures["obeyed"] == 1.0
        return (f"did what it was told, {took}" if obeyed else f"did not do what it was told, {took}"), obeyed
    words = {"success": "carried out", "wrong stop": "stopped elsewhere", "collision": "collision", "time": "time up"}
    return f"{words[record.ending]}, {took}", record.success


def parted(first: Run, second: Run, rng: np.random.Generator, count: int) -> list[Episode]:
    """Draw episodes in which one succeeds and the other fails, two thirds of them in favour of the first if there are.

    Those come first that both were also told something else in.
    """
    both = [episode for episode in first.plain if episode in second.plain]
    wins = [one for one in both if first.plain[one].success and not second.plain[one].success]
    losses = [one for one in both if second.plain[one].success and not first.plain[one].success]
    ours = _drawn(wins, first, second, rng)[: count - min(len(losses), count // 3)]
    return ours + _drawn(losses, first, second, rng)[: count - len(ours)]


def _drawn(episodes: Sequence[Episode], first: Run, second: Run, rng: np.random.Generator) -> list[Episode]:
    order = [episodes[row] for row in rng.permutation(len(episodes)).tolist()]
    told = [run.controls.get(SHUFFLED, {}) for run in (first, second)]
    return sorted(order, key=lambda episode: not all(episode in table for table in told))


def some(run: Run, wanted: Callable[[Record], bool], rng: np.random.Generator, count: int) -> list[Episode]:
    """Draw episodes of the plain evaluation."""
    found = [episode for episode, record in run.plain.items() if wanted(record)]
    return [found[row] for row in rng.permutation(len(found))[:count].tolist()]
