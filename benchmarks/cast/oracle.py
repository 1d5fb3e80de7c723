"""What an expert would do who knows the map: every kind of instruction that makes sense at a state of an episode.

Only here and in the audit does a benchmark read geometry (`datasets.privileged`). A row is made where the planner finds
a way; its chunk is where the expert is after each of the next 8 control periods, driven in the simulator from the
episode's own state, among its people, without slip.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.cast.labels import Rows, no_chunks
from benchmarks.label_truth import World
from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.privileged import VisibleThing, read_visible
from embodied_cf.envs.candidates import Sights, candidates
from embodied_cf.envs.driving.expert import Expert
from embodied_cf.envs.driving.plans import plan
from embodied_cf.envs.driving.pursuit import Route
from embodied_cf.envs.scene import Scene
from embodied_cf.envs.splits import Split, is_fresh
from embodied_cf.envs.state import State
from embodied_cf.errors import UsageError
from embodied_cf.language.grammar import phrase
from embodied_cf.language.instruction import Chain, Clause, Do, Family, GoTo, Instruction, Thing, clauses, named

_SPLIT: Split = "train"
"""Names and words of other splits are never told in training."""


@dataclass(frozen=True)
class Exact:
    """Makes rows for an episode. At each frame families take turns until `most` are found or nothing is left."""

    families: tuple[Family, ...]
    stride: int = 4
    """Steps between the frames that have rows: neighbours look alike, and each row is planned."""
    most: int = 6
    """Rows for one frame."""
    tries: int = 3
    """Instructions of each family that are planned for at one frame."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {"oracle": "planner", **vars(self)}

    def __call__(self, episode: Episode, body: Embodiment, rng: np.random.Generator) -> Rows:
        """Return the rows of one episode."""
        world, visible = World.of(episode, 0), read_visible(episode)
        steps: list[int] = []
        tasks: list[_Told] = []
        for step in range(0, len(episode) - 1, self.stride):
            scene = replace(world.scene, start=world.pose[step])
            found = list(self._feasible(scene, visible[step], rng))
            steps += [step] * len(found)
            tasks += found
        if not tasks:
            return Rows("counterfactual", (), None, (), *no_chunks(body))
        chunk = _driven(tasks, _at(world, steps))
        texts = [phrase(told.instruction, rng) for told in tasks]
        return Rows("counterfactual", steps, None, texts, chunk, np.ones(chunk.shape[:2], bool))

    def _feasible(self, scene: Scene, seen: Sequence[VisibleThing], rng: np.random.Generator) -> Iterator["_Told"]:
        """Yield what can be done from the scene's start and begins with nothing that is out of sight."""
        queues = [list(_drawn(scene, kind, seen, self.tries, rng)) for kind in self.families]
        turns = [queue[at] for at in range(self.tries) for queue in queues if at < len(queue)]
        count = 0
        for instruction in turns:
            try:
                routes = plan(scene, instruction)
            except UsageError:
                continue
            yield _Told(scene, instruction, routes)
            count += 1
            if count == self.most:
                return


@dataclass(frozen=True)
class _Told:
    """An instruction at a state."""

    scene: Scene
    instruction: Instruction
    routes: tuple[Route, ...]


def _drawn(
    scene: Scene, kind: Family, seen: Sequence[VisibleThing], count: int, rng: np.random.Generator
) -> Iterator[Instruction]:
    """Yield up to `count` different instructions of a family, at random."""
    names = [thing.name for thing in seen]
    single = _anywhere(scene) if kind == "object" else candidates(scene, _SPLIT, kind)
    firsts = [clause for clause in single if _begins_in_sight(clause, names)]
    for row in rng.permutation(len(firsts))[:count].tolist():
        first = firsts[row]
        if kind != "chained":
            yield first
            continue
        seconds = [clause for clause in single if clause != first and not isinstance(clause, Do)]
        if seconds:
            yield Chain((first, seconds[int(rng.integers(len(seconds)))]))


def _anywhere(scene: Scene) -> list[Clause]:
    """Return "go to" every thing that has a name of its own, however near: at the thing, it means to stand still."""
    sights = Sights(scene, _SPLIT)
    rows = [row for row in sights.unique if is_fresh(sights.things[row], _SPLIT)]
    return [GoTo(name) for row in rows for name in sights.names(row)]


def _begins_in_sight(instruction: Instruction, names: Sequence[str]) -> bool:
    things = named(clauses(instruction)[0])
    return not things or any(_is_called(name, things[0]) for name in names)


def _is_called(name: str, thing: Thing) -> bool:
    return name == f"{thing.colour} {thing.kind}" if thing.colour else name.endswith(f" {thing.kind}")


def _at(world: World, steps: Sequence[int]) -> State:
    return State(**{name: column[np.array(steps, np.int64), 0] for name, column in world.run.columns.items()})


def _driven(tasks: Sequence[_Told], state: State) -> np.ndarray:
    """Return the expert's chunks (n, h, 2) from the states."""
    scenes, told = [task.scene for task in tasks], [task.instruction for task in tasks]
    return Expert.by(scenes, told, [task.routes for task in tasks]).chunk(state)
