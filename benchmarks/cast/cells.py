"""Cells of the comparison, the plan of all of them, and the file in which finished ones stand."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.cast.arm import Arm
from benchmarks.cast.arms import ARMS, FRAME, ORACLE, PLANNER
from embodied_cf.envs.splits import SPLITS
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.demo import OURS, THEIRS
from embodied_cf.evaluate.suites import WORLDS
from embodied_cf.evaluate.suites import Cell as Place
from embodied_cf.language.instruction import FAMILIES, Family
from embodied_cf.train.config import load_preset

DEMO_STEPS = 2_200
BUDGETS = {"demo": DEMO_STEPS, "double": 2 * DEMO_STEPS, "converged": 4 * DEMO_STEPS}
"""Steps of training, of four families at once (the demonstration has one of them). The last is a fixed length, the
same for all arms; each line of the results holds the held-out errors on the way, which tell whether it was long
enough."""
HEADLINE = (THEIRS, FRAME, OURS)
REACHED = "reached"
"""Under which lines say who did all but stop; early ones do not."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Scope:
    """What is the same for all cells that are compared with one another."""

    worlds: tuple[str, ...] = ("rooms",)
    families: tuple[Family, ...] = FAMILIES
    split: str = "dev"
    episodes: int = 100
    """Driven for each seed, world, family and control."""
    logs: int = 400
    """Logged episodes of each world."""
    preset: str = "seeing"

    def __post_init__(self) -> None:
        for name, given, known in (("worlds", self.worlds, WORLDS), ("families", self.families, FAMILIES),
                                   ("split", (self.split,), SPLITS)):  # fmt: skip
            if unknown := set(given) - set(known):
                raise UsageError(f"--{name}: no {', '.join(sorted(unknown))}", remedy=f"Known: {', '.join(known)}.")
        for name, count in (("episodes", self.episodes), ("logs", self.logs)):
            if count < 1:
                raise UsageError(f"--{name} {count} is less than 1")
        load_preset(self.preset)  # refuses an unknown one

    @property
    def places(self) -> tuple[Place, ...]:
        """What is driven."""
        split = next(one for one in SPLITS if one == self.split)
        return tuple(Place(world, family, split) for world in self.worlds for family in self.families)

    def options(self, usual: "Scope | None" = None) -> str:
        """Return the options that ask for it, but for those that are as usual."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        told = [(name, value) for name, value in given.items() if usual is None or value != getattr(usual, name)]
        return " ".join(f"--{name} {' '.join(value) if isinstance(value, tuple) else value}" for name, value in told)


@dataclass(frozen=True)
class Cell:
    """One training and what it shows."""

    scope: Scope
    arm: str
    bias: float | None
    """Of the collector; None for arms that learn nothing from the logs."""
    steps: int
    """Of training; 0 for who is not trained."""
    seed: int
    """Of training, and of the episodes that are driven: other seeds drive others, all arms of a seed the same."""

    @property
    def name(self) -> str:
        """A name for files."""
        scope = self.scope
        worlds, families = "+".join(scope.worlds), "+".join(scope.families)
        size = f"{scope.split}-{scope.episodes}-{scope.logs}-{scope.preset}"
        return f"{worlds}-{families}-{size}-{self.arm}-bias{self.bias}-steps{self.steps}-seed{self.seed}"

    @property
    def command(self) -> str:
        """Return the command that makes this cell and no other."""
        bias = "" if self.bias is None else f" --bias {self.bias:g}"
        steps = f" --budgets {self.steps}" if self.steps else ""
        return f"python -m benchmarks.cast --only {self.arm}{bias}{steps} --seeds {self.seed} {self.scope.options()}"

    def to_json(self) -> Line:
        """Return it as the results have it."""
        return json.loads(json.dumps(asdict(self)))  # tuples are lists there

    @staticmethod
    def of(line: Line) -> "Cell":
        """Return the cell of a line of the results."""
        scope = {key: tuple(value) if isinstance(value, list) else value for key, value in line["scope"].items()}
        return Cell(**{**line, "scope": Scope(**scope)})


def budget(text: str) -> int:
    """Return the steps of a named budget, or of a number. Raises UsageError for neither."""
    if text.isdigit() and int(text) > 0:
        return int(text)
    if text not in BUDGETS:
        raise UsageError(f"no budget {text!r}", remedy=f"Name one of {', '.join(BUDGETS)}, or a number of steps.")
    return BUDGETS[text]


def planned(scope: Scope) -> list[Cell]:
    """Return the whole comparison, seed by seed: all arms at bias 1 and the double budget, elsewhere those of the
    headline. How much there is to gain, `oracle` tells at every budget, on the first seed."""
    demo, double, converged = BUDGETS.values()
    elsewhere = [(1.0, demo), (1.0, converged), *((0.8, steps) for steps in BUDGETS.values()), (0.5, double),
                 (0.0, double)]  # fmt: skip
    arms = [name for name, arm in ARMS.items() if not arm.ablation]
    cells = combined(scope, [*HEADLINE, ORACLE], (1.0,), BUDGETS.values(), (0,))
    for seed in range(3):
        cells += combined(scope, arms, (1.0,), (double,), (seed,))
        cells += [Cell(scope, arm, bias, steps, seed) for bias, steps in elsewhere for arm in HEADLINE]
    for seed in (3, 4):
        cells += combined(scope, [*HEADLINE, PLANNER], (1.0,), BUDGETS.values(), (seed,))
    return list(dict.fromkeys(cells))


def ablated(scope: Scope) -> list[Cell]:
    """Return `embodied-cf`, each ablation of it, a quarter and a half of the logs, and longer training; one seed.

    Raises UsageError for logs that have no quarter.
    """
    if scope.logs < 4:
        raise UsageError(f"--logs {scope.logs}: --ablations take a quarter of the logs", remedy="Name 4 or more.")
    demo, *longer = BUDGETS.values()
    arms = [OURS, *(name for name, arm in ARMS.items() if arm.ablation)]
    cells = combined(scope, arms, (1.0,), (demo,), (0,)) + combined(scope, [OURS], (1.0,), longer, (0,))
    fewer = [replace(scope, logs=logs) for logs in (scope.logs // 4, scope.logs // 2)]
    return cells + [cell for one in fewer for cell in combined(one, [OURS], (1.0,), (demo,), (0,))]


def combined(
    scope: Scope, arms: Sequence[str], biases: Sequence[float], steps: Iterable[int], seeds: Iterable[int]
) -> list[Cell]:
    """Return every combination once; what does not matter to an arm is left out of its cells.

    Raises UsageError for a bias that is no share.
    """
    for bias in biases:
        if not 0 <= bias <= 1:
            raise UsageError(f"--bias {bias:g} is not between 0 and 1")
    whole = (
        Cell(scope, arm, bias, count, seed) for seed in seeds for bias in biases for count in steps for arm in arms
    )
    return list(dict.fromkeys(_needed(ARMS[cell.arm], cell) for cell in whole))


def _needed(arm: Arm, cell: Cell) -> Cell:
    if not arm.trained:
        return replace(cell, bias=None, steps=0)
    return cell if arm.logs else replace(cell, bias=None)


def read(results: Path) -> Iterator[tuple[Cell, Line]]:
    """Yield what stands in the results; of a cell that stands there twice, both. Raises UsageError for other lines."""
    if results.is_file():
        for number, text in enumerate(results.read_text("utf-8").splitlines(), start=1):
            try:
                line = json.loads(text)
                cell = Cell.of(line["cell"])
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                remedy = "Take it out: its cell is made again."
                raise UsageError(f"line {number} is no cell ({error})", where=results, remedy=remedy) from error
            yield cell, line
