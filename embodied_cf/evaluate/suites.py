"""What a policy is evaluated on: worlds, instruction families and a split, each episode with its own seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from embodied_cf.datasets.randomness import number
from embodied_cf.envs.registration import WORLDS as _NAMES
from embodied_cf.envs.splits import Split, as_split
from embodied_cf.envs.tasks import Task, make_task
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import FAMILIES, Family

WORLDS = tuple(name.lower() for name in _NAMES)
_HOW = "Write WORLD/FAMILY/SPLIT, such as rooms/object/dev; `all` stands for every world or family."


@dataclass(frozen=True)
class Cell:
    """One world and one instruction family, with layouts, names and wordings of a split."""

    world: str
    family: Family
    split: Split
    people: tuple[int, int] = (0, 2)
    """Least and most people in a scene."""

    def __str__(self) -> str:
        return f"{self.world}/{self.family}/{self.split}"

    def seed(self, seed: int, index: int) -> int:
        """Return the seed of an episode: of its layout, task, wording and chance."""
        return number(seed, "evaluate", str(self), str(index)) >> 65  # 63 bits

    def task(self, seed: int) -> Task:
        """Return the task of an episode's seed. It takes some 40 ms, so tasks of one process are kept."""
        return _kept(self, seed)


@lru_cache(maxsize=8192)
def _kept(cell: Cell, seed: int) -> Task:
    return make_task(cell.world, cell.family, cell.split, seed, cell.people)


@dataclass(frozen=True)
class Suite:
    """The cells that one evaluation goes through."""

    cells: tuple[Cell, ...]

    def seeds(self, seed: int, episodes: int) -> Iterator[tuple[Cell, tuple[int, ...]]]:
        """Yield for each cell the seeds of its episodes; fewer episodes are a prefix of more."""
        for cell in self.cells:
            yield cell, tuple(cell.seed(seed, index) for index in range(episodes))


def parse_suite(text: str, people: tuple[int, int] = (0, 2)) -> Suite:
    """Return the suite of `WORLD/FAMILY/SPLIT`, where the first two may be `all`. Raises UsageError for others."""
    parts = text.split("/")
    if len(parts) != 3:
        raise UsageError(f"no suite {text!r}", remedy=_HOW)
    world, kind, split = parts
    worlds = [name for name in WORLDS if world in (name, "all")]
    families = [name for name in FAMILIES if kind in (name, "all")]
    if not worlds or not families:
        known = f"Worlds are {', '.join(WORLDS)}; families are {', '.join(FAMILIES)}."
        raise UsageError(f"no suite {text!r}", remedy=f"{_HOW} {known}")
    return Suite(tuple(Cell(name, family, as_split(split), people) for name in worlds for family in families))
