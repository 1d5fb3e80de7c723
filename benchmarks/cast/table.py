"""The tables of the comparison, made anew from its lines: docs/results/cast.md."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.cast.arms import ARMS, ORACLE, PLANNER
from benchmarks.cast.cells import BUDGETS, REACHED, Line, Scope, read
from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.randomness import generator
from embodied_cf.evaluate.demo import OURS, THEIRS
from embodied_cf.evaluate.statistics import Estimate, closed, following, over_seeds
from embodied_cf.evaluate.summary import CHANCE, NONE, SHUFFLED

HEAD = """\
# Which labels make a policy listen?

Made by `python -m benchmarks.cast` from [cast.jsonl](cast.jsonl), which has a line for each training with its command,
time, seconds, and the outcome of every episode; [evaluation.md](../evaluation.md) explains measures and intervals. All
arms of a table have the same network, steps and batch.

Success, in percent, is the mean over worlds and families, each counting the same. Each training seed drives episodes of
its own, all arms of a seed the same. Brackets are 95 % intervals for other training seeds and other episodes; those of
a single seed say nothing about other seeds. *Gain* is over `hindsight`, on the same seeds and episodes, in points.
*Reached* counts also who did all but stop, as robots do by chance that drive about long enough (`blind`); where the
file has it. *Far*: the thing named first is in view and others are nearer; all seeds' episodes together. *Following*:
the share of the margin over chance that is lost when another thing is named; intervals can be made from the file. *To
oracle*, *to planner*: the share of the distance from `hindsight` that is closed. *Settling*: by how much the held-out
error changed in the last quarter of training. Below it, where there are more arms than two, `embodied-cf` less each of
them, again on the same seeds and episodes, in points: intervals above 0 say that it is the better one.
"""
COLUMNS = ("arm", "seeds", "success", "gain", "reached", "far", "following", "to oracle", "to planner", "settling")
FAR = "f"

Runs = Mapping[int, Line]
"""Lines of one arm by training seed."""
Tables = list[np.ndarray]
"""(seeds, episodes) for each world and family."""


def write_tables(results: Path) -> None:
    """Write the page beside the results; without results, nothing."""
    groups = grouped(results)
    if groups:
        write_text(results.with_suffix(".md"), "\n".join([HEAD, *legend(groups), *page(groups), ""]))


Groups = dict[tuple[Scope, float, int], dict[str, dict[int, Line]]]
"""Lines by scope, bias and steps, then by arm and seed."""


def grouped(results: Path) -> Groups:
    """Return the lines of each table. Arms that do not depend on bias, or are not trained, stand in all of them."""
    lines = dict(read(results))  # of a cell that was done twice the later line counts
    groups: Groups = defaultdict(lambda: defaultdict(dict))
    for cell, line in lines.items():
        if cell.bias is not None:
            groups[cell.scope, cell.bias, cell.steps][cell.arm][cell.seed] = line
    for (scope, _, steps), arms in groups.items():
        for cell, line in lines.items():
            if cell.scope == scope and cell.bias is None and cell.steps in (0, steps):
                arms[cell.arm][cell.seed] = line
    return groups


def legend(groups: Groups) -> Iterator[str]:
    """Yield what each arm is that stands in a table."""
    yield "| arm | is |\n|---|---|"
    for name, arm in ARMS.items():
        if any(name in arms for arms in groups.values()):
            yield f"| `{name}` | {arm.what} |"


def page(groups: Groups) -> Iterator[str]:
    """Yield the lines of all tables: bias 1 first, short budgets first."""
    scopes = list(dict.fromkeys(scope for scope, _, _ in groups))
    for scope in scopes:
        yield f"\n## {', '.join(scope.worlds)}; {', '.join(scope.families)}; split {scope.split}\n"
        yield (
            f"{scope.logs} logs of each world, {scope.episodes} episodes of each world, family and control, preset "
            f"`{scope.preset}`."
        )
        for bias, steps in sorted((key[1:] for key in groups if key[0] == scope), key=lambda key: (-key[0], key[1])):
            names = [name for name, count in BUDGETS.items() if count == steps]
            budget = f"{names[0]} budget, " if names else ""
            yield f"\n### Bias {bias:g}, {budget}{steps:,} steps\n"
            yield from table(groups[scope, bias, steps], scope)
            yield from against(groups[scope, bias, steps], scope)


def table(arms: Mapping[str, Runs], scope: Scope) -> Iterator[str]:
    """Yield the lines of one table."""
    head = (*COLUMNS, *scope.families)
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for name in ARMS:
        if name in arms:
            cells = [name, *numbers(name, arms), *(_percent(arms[name].values(), kind) for kind in scope.families)]
            yield f"| {' | '.join(cells)} |"


def against(arms: Mapping[str, Runs], scope: Scope) -> Iterator[str]:
    """Yield a table of how much `embodied-cf` exceeds each other arm, by family; none for the pair alone."""
    others = [name for name in ARMS if name in arms and name not in (OURS, PLANNER)]
    if OURS not in arms or set(others) <= {THEIRS}:
        return
    yield f"\n| `embodied-cf` less | all | {' | '.join(scope.families)} |"
    yield f"|{'---|' * (2 + len(scope.families))}"
    for name in others:
        rng = generator(0, "cast table", "against", name)
        cells = [_points(difference(OURS, name, arms, rng, family)) for family in ("", *scope.families)]
        yield f"| {name} | {' | '.join(cells)} |"


def numbers(name: str, arms: Mapping[str, Runs]) -> list[str]:
    """Return the columns of an arm after its name."""
    runs = arms[name]
    rng = generator(0, "cast table", name)
    return [
        str(len(runs)),
        _share(over_seeds(outcomes(list(runs.values())), rng)),
        _points(gain(name, arms, rng)),
        _percent([line for line in runs.values() if has(line, REACHED)], bits=REACHED),
        _share(far(list(runs.values()), rng)),
        _score(listening(list(runs.values()), rng)),
        _score(distance(name, ORACLE, arms, rng)),
        _score(distance(name, PLANNER, arms, rng)),
        settling(list(runs.values())),
    ]


def outcomes(lines: Sequence[Line], family: str = "", bits: str = NONE) -> Tables:
    """Return success (or other bits) by seed and episode for each world and family; of one family, if one is named."""
    places = [place for line in lines[:1] for place in line["outcomes"] if family in ("", place.split("/")[1])]
    return [
        np.array([[bit == "1" for bit in line["outcomes"][place][bits]] for line in lines], np.float64)
        for place in places
    ]


def far(lines: Sequence[Line], rng: np.random.Generator) -> Estimate | None:
    """Return the success of episodes whose thing named first is in view and not the nearest; None without any."""
    found = []
    for place in lines[0]["outcomes"]:
        rows = [line["outcomes"][place] for line in lines]
        bits = [bit == "1" for row in rows for sight, bit in zip(row["sight"], row[NONE], strict=True) if sight == FAR]
        found += [np.array([bits], np.float64)] if bits else []
    return over_seeds(found, rng) if found else None


def together(names: Sequence[str], arms: Mapping[str, Runs], family: str = "") -> list[Tables] | None:
    """Return the outcomes of several arms on the seeds, and so the episodes, that all have."""
    if any(name not in arms for name in names):
        return None
    seeds = sorted(set.intersection(*(set(arms[name]) for name in names)))
    return [outcomes([arms[name][seed] for seed in seeds], family) for name in names] if seeds else None


def gain(name: str, arms: Mapping[str, Runs], rng: np.random.Generator) -> Estimate | None:
    """Return by how much an arm's success exceeds that of `hindsight`."""
    return difference(name, THEIRS, arms, rng) if name != THEIRS else None


def difference(
    name: str, other: str, arms: Mapping[str, Runs], rng: np.random.Generator, family: str = ""
) -> Estimate | None:
    """Return by how much an arm's success exceeds another's, on the same seeds and episodes."""
    both = together((name, other), arms, family)
    return over_seeds([ours - theirs for ours, theirs in zip(*both, strict=True)], rng) if both else None


def distance(name: str, above: str, arms: Mapping[str, Runs], rng: np.random.Generator) -> Estimate | None:
    """Return the share of the distance from `hindsight` to another arm that an arm closes."""
    three = together((name, THEIRS, above), arms) if name not in (THEIRS, above) else None
    return closed(*three, rng) if three else None


def listening(lines: Sequence[Line], rng: np.random.Generator) -> Estimate | None:
    """Return the language-following score, of all seeds, worlds and families together."""
    rows = [row for line in lines for row in line["outcomes"].values() if SHUFFLED in row]
    if not rows:
        return None
    told, shuffled, chance = ("".join(row[control] for row in rows) for control in (NONE, SHUFFLED, CHANCE))
    defined = [at for at in range(len(told)) if "." not in (shuffled[at], chance[at])]
    if not defined:
        return None
    return following(*(np.array([text[at] == "1" for at in defined], bool) for text in (told, shuffled, chance)), rng)


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


def has(line: Line, bits: str) -> bool:
    """Whether a line says this of its episodes; early ones do not say everything."""
    return all(bits in row for row in line["outcomes"].values())


def _percent(lines: Iterable[Line], family: str = "", bits: str = NONE) -> str:
    tables = outcomes(list(lines), family, bits)
    return f"{100 * float(np.mean([table.mean() for table in tables])):.0f}" if tables else ""


def _with_interval(show: Callable[[float], str], estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"{show(estimate.value)} [{show(estimate.low)}, {show(estimate.high)}]"


def _share(estimate: Estimate | None) -> str:
    return _with_interval(lambda value: f"{100 * value:z.0f}", estimate)


def _points(estimate: Estimate | None) -> str:
    return _with_interval(lambda value: f"{100 * value:+z.1f}", estimate)


def _score(estimate: Estimate | None) -> str:
    return f"{estimate.value:.2f}" if estimate else ""
