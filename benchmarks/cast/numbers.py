"""What the lines of the comparison show: numbers of an arm, or of two arms on the same seeds and episodes.

Everything is the mean over worlds and families, each counting the same, with an interval for other training seeds and
other episodes (`evaluate.statistics.over_seeds`).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.cast.cells import Line
from embodied_cf.evaluate.demo import THEIRS
from embodied_cf.evaluate.statistics import Estimate, closed, counted, followed, over_seeds
from embodied_cf.evaluate.summary import CHANCE, NONE, SHUFFLED

FAR, UNDEFINED = "f", "."

Runs = Mapping[int, Line]
"""Lines of one arm by training seed."""
Tables = list[np.ndarray]
"""(seeds, episodes) for each world and family."""


def outcomes(lines: Sequence[Line], family: str = "", bits: str = NONE) -> Tables:
    """Return success (or other bits) by seed and episode for each world and family; of one family, if one is named."""
    return [(marks == "1").astype(np.float64) for marks in _marks(lines, bits, family)]


def _marks(lines: Sequence[Line], bits: str, family: str = "") -> Tables:
    places = [place for line in lines[:1] for place in line["outcomes"] if family in ("", place.split("/")[1])]
    return [np.array([list(line["outcomes"][place][bits]) for line in lines]) for place in places]


def has(line: Line, bits: str) -> bool:
    """Whether a line says this of its episodes; early ones do not say everything."""
    return all(bits in row for row in line["outcomes"].values())


def controlled(lines: Sequence[Line]) -> bool:
    """Whether something else was told, too; the planner is not."""
    return all(has(line, SHUFFLED) and has(line, CHANCE) for line in lines)


def shared(names: Sequence[str], arms: Mapping[str, Runs]) -> list[list[Line]] | None:
    """Return the lines of several arms on the seeds, and so the episodes, that all have."""
    if any(name not in arms for name in names):
        return None
    seeds = sorted(set.intersection(*(set(arms[name]) for name in names)))
    return [[arms[name][seed] for seed in seeds] for name in names] if seeds else None


def difference(
    name: str, other: str, arms: Mapping[str, Runs], rng: np.random.Generator, family: str = ""
) -> Estimate | None:
    """Return by how much an arm's success exceeds another's, on the same seeds and episodes."""
    both = shared((name, other), arms)
    return over_seeds(_less(*(outcomes(lines, family) for lines in both)), rng) if both else None


def far(lines: Sequence[Line], rng: np.random.Generator) -> Estimate | None:
    """Return the success of episodes whose thing named first is in view and not the nearest; None without any."""
    return _over(_those(outcomes(lines), _are_far(lines)), rng)


def far_difference(name: str, other: str, arms: Mapping[str, Runs], rng: np.random.Generator) -> Estimate | None:
    """Return `difference` on episodes that are far."""
    both = shared((name, other), arms)
    return _over(_those(_less(*map(outcomes, both)), _are_far(both[0])), rng) if both else None


def distance(name: str, above: str, arms: Mapping[str, Runs], rng: np.random.Generator) -> Estimate | None:
    """Return the share of the distance from `hindsight` to another arm that an arm closes."""
    three = shared((name, THEIRS, above), arms) if name not in (THEIRS, above) else None
    if not three:
        return None
    ours, below, top = map(outcomes, three)
    return closed(ours, below, top, rng)


def told(lines: Sequence[Line], control: str, rng: np.random.Generator) -> Estimate | None:
    """Return success under a control, on the episodes on which something else can be told; None where there is none."""
    return _over(_where_all(lines, control)[0], rng) if controlled(lines) else None


def above_chance(lines: Sequence[Line], rng: np.random.Generator, family: str = "") -> Estimate | None:
    """Return by how much success exceeds chance, on the same episodes; None where controls were not driven."""
    return _over(_less(*_where_all(lines, NONE, CHANCE, family=family)), rng) if controlled(lines) else None


def above_other_named(name: str, other: str, arms: Mapping[str, Runs], rng: np.random.Generator) -> Estimate | None:
    """Return by how much an arm's success exceeds another's when another thing is named to that one."""
    both = shared((name, other), arms)
    if not both or not all(map(controlled, both)):
        return None
    return _over(_less(_where_all(both[0], NONE)[0], _where_all(both[1], SHUFFLED)[0]), rng)


def listening(lines: Sequence[Line], rng: np.random.Generator) -> Estimate | None:
    """Return the language-following score; None where controls were not driven, or nothing exceeds chance."""
    if not controlled(lines):
        return None
    plain, shuffled, chance = _where_all(lines, NONE, SHUFFLED, CHANCE)
    return followed(plain, shuffled, chance, rng) if plain else None


def settling(lines: Sequence[Line]) -> str:
    """Return the mean change of the held-out error in the last quarter of training, "" for who has none."""
    changes = [change for line in lines if (change := _late_change(line["validation"])) is not None]
    return f"{100 * float(np.mean(changes)):+z.0f} %" if changes else ""


def _late_change(validation: Sequence[Line]) -> float | None:
    if not validation:
        return None
    errors = [float(np.mean(list(one["error_m"].values()))) for one in validation]
    last = validation[-1]["step"]
    before = [error for error, one in zip(errors, validation, strict=True) if one["step"] <= 0.75 * last]
    return errors[-1] / before[-1] - 1 if before else None


def _less(ours: Tables, theirs: Tables) -> Tables:
    return [one - other for one, other in zip(ours, theirs, strict=True)]


def _over(tables: Tables, rng: np.random.Generator) -> Estimate | None:
    return over_seeds(tables, rng) if tables else None


def _are_far(lines: Sequence[Line]) -> Tables:
    return [sight == FAR for sight in _marks(lines, "sight")]


def _where_all(lines: Sequence[Line], *controls: str, family: str = "") -> list[Tables]:
    """Return success under controls, on the episodes for which `shuffled` and `chance` are defined."""
    marks = zip(*(_marks(lines, bits, family) for bits in (SHUFFLED, CHANCE)), strict=True)
    defined = [(one != UNDEFINED) & (other != UNDEFINED) for one, other in marks]
    return [_those(outcomes(lines, family, bits), defined) for bits in controls]


def _those(tables: Tables, which: Tables) -> Tables:
    """Return tables of which some episodes count; without the worlds and families where a seed has none of them."""
    pairs = zip(tables, which, strict=True)
    return [counted(table, these) for table, these in pairs if these.any(axis=1).all()]
