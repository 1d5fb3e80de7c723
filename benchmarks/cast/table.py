"""The tables of the comparison, made anew from its lines: docs/results/cast.md."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.cast.arms import ARMS, BLIND, ORACLE, PLANNER
from benchmarks.cast.cells import BUDGETS, REACHED, Line, Scope, read
from benchmarks.cast.numbers import (
    Runs,
    above_chance,
    above_other_named,
    controlled,
    difference,
    distance,
    far,
    far_difference,
    has,
    listening,
    outcomes,
    settling,
    told,
)
from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.randomness import generator
from embodied_cf.evaluate.demo import OURS, THEIRS
from embodied_cf.evaluate.statistics import Estimate, over_seeds
from embodied_cf.evaluate.summary import CHANCE, NONE, SHUFFLED

HEAD = """\
# Which labels make a policy listen?

Made by the command that each part names from [cast.jsonl](cast.jsonl), which has a line for each training with its
command, time, seconds, and the outcome of every episode; `python -m benchmarks.cast --table` makes this page anew from
it. [evaluation.md](../evaluation.md) explains measures and intervals. All arms of a table have the same network, steps
and batch.

Success, in percent, is the mean over worlds and families, each counting the same. Each training seed drives episodes of
its own, all arms of a seed the same. Brackets are 95 % intervals for other training seeds and other episodes; those of
a single seed say nothing about other seeds.

*First table.* *Gain* is over `hindsight`, on the same seeds and episodes, in points. *Reached* counts also who did all
but stop, as robots do by chance that drive about long enough (`blind`); where the file has it. *Far*: success where the
thing named first is in view and others are nearer; *far gain*: the gain there. *To oracle*, *to planner*: the share of
the distance from `hindsight` that is closed. *Settling*: by how much the held-out error changed in the last quarter of
training.

*What rests on the words.* All on the episodes on which something else can be told. *Other named*: success, by what was
asked for, of who is told of another thing. *Chance*: that of the expert who is told so. *Following*: the share of the
margin over chance that is lost when another thing is named; none where success does not exceed chance for sure. *Over
chance*: success less chance, in points; that of `blind` is what succeeds without any words.

*`embodied-cf` less*, *`oracle` less* each other arm, again on the same seeds and episodes, in points: intervals above 0
say that it is the better one.

All policies look through one detector, taught with exact geometry of rendered training layouts
(`embodied_cf.train.detector`); the labels of all arms but `oracle` know none.

Cells whose code reads "888bd0c, driven by 02b7515" were driven anew with later code than they were trained with.

Told of what is out of view, robots turn by labels of before 0b4ec25, and search by later ones. Cells of earlier code
stand beside those of later code where a table says so; on the five seeds that had both, at bias 1 and 4 400 steps,
`embodied-cf` has 46 % with these and had 45 % with those.

Machines and code are those of the lines in the table, with how many lines they made; hours are summed over these lines.
A training that went on from an earlier try has the time of the last one only.
"""
COLUMNS = ("arm", "seeds", "success", "gain", "reached", "far", "far gain", "to oracle", "to planner", "settling")
WORDS = ("what rests on the words", "success", "other named", "chance", "following", "over chance")


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
        logs = "" if scope.logs == Scope().logs else f"; {scope.logs} logs"
        yield f"\n## {', '.join(scope.worlds)}; {', '.join(scope.families)}; split {scope.split}{logs}\n"
        yield (
            f"`{' '.join(['python -m benchmarks.cast', scope.options(usual=Scope())]).strip()}`: {scope.logs} logs of "
            f"each world, {scope.episodes} episodes of each world, family and control, preset `{scope.preset}`."
        )
        for bias, steps in sorted((key[1:] for key in groups if key[0] == scope), key=lambda key: (-key[0], key[1])):
            names = [name for name, count in BUDGETS.items() if count == steps]
            budget = f"{names[0]} budget, " if names else ""
            yield f"\n### Bias {bias:g}, {budget}{steps:,} steps"
            yield from section(groups[scope, bias, steps], scope)


def section(arms: Mapping[str, Runs], scope: Scope) -> Iterator[str]:
    """Yield the tables of arms that are compared with one another."""
    named = [name for name in ARMS if name in arms]
    yield from table([*COLUMNS, *scope.families], ([name, *numbers(name, arms, scope)] for name in named))
    heard = [name for name in named if controlled([*arms[name].values()])]
    yield from table([*WORDS, *scope.families], ([name, *on_words(name, arms[name], scope)] for name in heard))
    yield from twin(arms)
    parts = [name for name in named if ARMS[name].ablation]  # tell what ours is worth, not what there is to gain
    for ours, skipped in ((OURS, (OURS, PLANNER)), (ORACLE, (ORACLE, OURS, PLANNER, *parts))):
        others = [name for name in named if name not in skipped] if ours in arms else []
        rows = ([name, *lead(ours, name, arms, scope)] for name in others)
        yield from table([f"`{ours}` less", "all", *scope.families], rows)
    yield "\n" + made([line for runs in arms.values() for line in runs.values()])


def table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    """Yield the lines of one table; none without rows."""
    rows = list(rows)
    if rows:
        yield f"\n| {' | '.join(head)} |"
        yield f"|{'---|' * len(head)}"
        yield from (f"| {' | '.join(row)} |" for row in rows)


def numbers(name: str, arms: Mapping[str, Runs], scope: Scope) -> Iterator[str]:
    """Yield the columns of an arm after its name."""
    lines, rng = list(arms[name].values()), _rng(name)
    yield str(len(lines))
    yield _share(over_seeds(outcomes(lines), rng))
    yield _points(difference(name, THEIRS, arms, rng)) if name != THEIRS else ""
    yield _percent([line for line in lines if has(line, REACHED)], bits=REACHED)
    yield _share(far(lines, rng))
    yield _points(far_difference(name, THEIRS, arms, rng)) if name != THEIRS else ""
    yield _score(distance(name, ORACLE, arms, rng))
    yield _score(distance(name, PLANNER, arms, rng))
    yield settling(lines)
    yield from (_percent(lines, kind) for kind in scope.families)


def on_words(name: str, runs: Runs, scope: Scope) -> Iterator[str]:
    """Yield what becomes of an arm's success when something else is told, and how far it exceeds chance."""
    lines, rng = list(runs.values()), _rng("words", name)
    seen = {control: _share(told(lines, control, rng)) for control in (NONE, SHUFFLED, CHANCE)}
    followed = _with_interval("{:.2f}".format, listening(lines, rng))
    deaf = name == BLIND  # who hears nothing does the same whatever is named: that measures nothing
    yield from (seen[NONE], "as told" if deaf else seen[SHUFFLED], seen[CHANCE], "" if deaf else followed)
    yield from (_points(above_chance(lines, rng, family)) for family in ("", *scope.families))


def twin(arms: Mapping[str, Runs]) -> Iterator[str]:
    """Yield in words how far the language-blind twin is from chance, if both stand in the table."""
    if BLIND in arms:
        chance = _points(above_chance(list(arms[BLIND].values()), _rng("twin")))
        other = _points(above_other_named(BLIND, OURS, arms, _rng("twin", OURS)))
        also = f", and `{OURS}` told of another thing by {other}" if other else ""
        yield f"\nThe language-blind twin exceeds chance by {chance} points{also}."


def lead(ours: str, name: str, arms: Mapping[str, Runs], scope: Scope) -> Iterator[str]:
    """Yield by how much an arm exceeds another one, in all and by family."""
    rng = _rng("against", name)
    yield from (_points(difference(ours, name, arms, rng, family)) for family in ("", *scope.families))


def made(lines: Iterable[Line]) -> str:
    """Return on which machines and by which code lines were made, and in how many hours."""
    lines = list(lines)
    hours = {stage: sum(line["seconds"].get(stage, 0.0) for line in lines) / 3600 for stage in ("train", "evaluate")}
    machines, code = (_counts(line[key] for line in lines) for key in ("machine", "revision"))
    return f"Machines: {machines}. Code: {code}. Training {hours['train']:.1f} h, driving {hours['evaluate']:.1f} h."


def _counts(names: Iterable[str]) -> str:
    return "; ".join(f"{name or 'unknown'} ({count})" for name, count in sorted(Counter(names).items()))


def _rng(*purpose: str) -> np.random.Generator:
    return generator(0, "cast table", *purpose)


def _percent(lines: list[Line], family: str = "", bits: str = NONE) -> str:
    tables = outcomes(lines, family, bits)
    return f"{100 * float(np.mean([table.mean() for table in tables])):.0f}" if tables else ""


def _with_interval(show: Callable[[float], str], estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"{show(estimate.value)} [{show(estimate.low)}, {show(estimate.high)}]"


def _share(estimate: Estimate | None) -> str:
    return _with_interval(lambda value: f"{100 * min(max(value, 0.0), 1.0):.0f}", estimate)


def _points(estimate: Estimate | None) -> str:
    return _with_interval(lambda value: f"{100 * min(max(value, -1.0), 1.0):+z.1f}", estimate)


def _score(estimate: Estimate | None) -> str:
    return f"{estimate.value:.2f}" if estimate else ""
