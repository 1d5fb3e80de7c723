"""Records of episodes into numbers: success with its interval, what a control changes, how a policy listens.

The same numbers are given for all episodes, for each family and for each cell. Every share has its 95 % interval and
its number of episodes; every difference is one of the same episodes.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, get_args

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.state import PERIOD_S
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.record import Ending, Record, Sight
from embodied_cf.evaluate.statistics import Estimate, following, mcnemar, paired_gain, rate

NONE, SHUFFLED, CHANCE = "none", "shuffled", "chance"
"""Controls with a part of their own: the plain evaluation, the instruction that names something else, and a perfect
driver who is told that (no policy takes part)."""
SIGHTS: tuple[Sight, ...] = get_args(Sight)
ENDINGS: tuple[Ending, ...] = get_args(Ending)

Episode: TypeAlias = tuple[tuple[str, str, str], int]
"""Cell and seed: the same for any policy and control."""
Numbers: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What one policy did. Of an episode that was recorded twice, the later record counts."""

    records: Sequence[Record]

    @cached_property
    def controls(self) -> Mapping[str, Mapping[Episode, Record]]:
        """Records by control and episode, in the order in which they were made."""
        table: dict[str, dict[Episode, Record]] = defaultdict(dict)
        for record in self.records:
            table[record.control][record.cell, record.seed] = record
        return dict(table)

    @property
    def plain(self) -> Mapping[Episode, Record]:
        """Of the plain evaluation."""
        return self.controls.get(NONE, {})

    def of(self, wanted: Callable[[Record], bool]) -> "Run":
        """Return the part that is wanted."""
        return Run([record for record in self.records if wanted(record)])

    def cells(self) -> dict[str, "Run"]:
        """Return the parts by world/family/split, in the order of the records."""
        return self._parts(lambda record: "/".join(record.cell))

    def families(self) -> dict[str, "Run"]:
        """Return the parts by instruction family."""
        return self._parts(lambda record: record.family)

    def _parts(self, name: Callable[[Record], str]) -> dict[str, "Run"]:
        parts: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            parts[name(record)].append(record)
        return {key: Run(records) for key, records in parts.items()}


def summarise(records: Sequence[Record], rng: np.random.Generator) -> Numbers:
    """Return the numbers of one policy, as JSON has them. Raises UsageError without a plain evaluation."""
    run = Run(records)
    if not run.plain:
        raise UsageError("no episode without a control", remedy="Evaluate the policy with the control `none` first.")
    parts = {"families": run.families(), "cells": run.cells()}
    several = {
        kind: {name: numbers_of(part, rng) for name, part in rows.items() if part.plain} for kind, rows in parts.items()
    }
    return {"all": numbers_of(run, rng), **several}


def numbers_of(run: Run, rng: np.random.Generator) -> Numbers:
    """Return the numbers of some episodes, of which the plain evaluation must be one or more."""
    plain = list(run.plain.values())
    endings, sights = Counter(record.ending for record in plain), Counter(record.sight for record in plain)
    return {
        "success": rate(successes(plain)).plain("rate"),
        "by_sight": {
            sight: rate(successes(record for record in plain if record.sight == sight)).plain("rate")
            for sight in SIGHTS
            if sights[sight]
        },
        "endings": {ending: endings[ending] for ending in ENDINGS},
        "means": _means(plain),
        "controls": {
            name: control_numbers(run, name)
            for name, table in run.controls.items()
            if name != NONE and not run.plain.keys().isdisjoint(table)
        },
        "following": _following(run, rng),
    }


def successes(records: Iterable[Record]) -> np.ndarray:
    """Return success by record, (n,) bool."""
    return np.array([record.success for record in records], bool)


def control_numbers(run: Run, control: str) -> Numbers:
    """Return success under a control and what it changes, on the episodes for which it is defined, one or more."""
    changed, plain = _paired(run, control, NONE)
    return {
        "success": rate(changed).plain("rate"),
        "change": paired_gain(changed, plain).plain(),
        "p": mcnemar(changed, plain),
        "left_out": len(run.plain) - len(changed),
        "means": _means(run.controls[control].values()),
    }


def shared_episodes(ours: Iterable[Episode], theirs: Sequence[Record]) -> list[Episode]:
    """Return which of our episodes another policy was evaluated on. Raises UsageError if there is none."""
    others = Run(theirs).plain
    shared = [episode for episode in ours if episode in others]
    if not shared:
        raise UsageError(
            "the two policies share no episode", remedy="Evaluate both on the same suite with the same seed."
        )
    return shared


def compare(ours: Sequence[Record], theirs: Sequence[Record]) -> Numbers:
    """Return by how much our success exceeds theirs on the episodes that both have: all, by sight and by cell.

    Raises UsageError if there is no such episode.
    """
    first, second = Run(ours), Run(theirs)
    shared = shared_episodes(first.plain, theirs)
    by_sight, by_cell = defaultdict(list), defaultdict(list)
    for episode in shared:
        by_sight[first.plain[episode].sight].append(episode)
        by_cell["/".join(episode[0])].append(episode)
    return {
        "all": _gain(first, second, shared),
        "by_sight": {sight: _gain(first, second, by_sight[sight]) for sight in SIGHTS if by_sight[sight]},
        "cells": {name: _gain(first, second, episodes) for name, episodes in by_cell.items()},
    }


def success_tables(runs: Sequence[Sequence[Record]], control: str = NONE) -> dict[str, Float64[np.ndarray, "s n"]]:
    """Return success by training seed and episode for each cell, for `statistics.over_seeds`.

    Only episodes that all runs have count. Tables of two arms can be subtracted if their runs cover the same
    episodes.
    """
    tables = [Run(records).controls.get(control, {}) for records in runs]
    shared = [episode for episode in tables[0] if all(episode in table for table in tables)]
    columns: dict[str, list[list[float]]] = defaultdict(list)
    for episode in shared:
        columns["/".join(episode[0])].append([float(table[episode].success) for table in tables])
    return {name: np.array(column, np.float64).T for name, column in columns.items()}


def _gain(ours: Run, theirs: Run, episodes: Sequence[Episode]) -> Numbers:
    one, other = (successes(run.plain[episode] for episode in episodes) for run in (ours, theirs))
    return {**paired_gain(one, other).plain(), "p": mcnemar(one, other)}


def _paired(run: Run, *controls: str) -> tuple[np.ndarray, ...]:
    """Return success under each control on the episodes that all have."""
    tables = [run.controls.get(control, {}) for control in controls]
    shared = [episode for episode in tables[0] if all(episode in table for table in tables)]
    return tuple(successes(table[episode] for episode in shared) for table in tables)


def _following(run: Run, rng: np.random.Generator) -> Numbers | None:
    told, shuffled, chance = _paired(run, NONE, SHUFFLED, CHANCE)
    score: Estimate | None = following(told, shuffled, chance, rng) if len(told) else None
    return score.plain() if score else None


def _means(records: Iterable[Record]) -> dict[str, dict[str, float]]:
    """Return the mean of every measure over the episodes that have it, and how many have."""
    values: dict[str, list[float]] = defaultdict(list)
    for record in records:
        facts = {
            "progress": record.progress,
            "time_s": record.steps * PERIOD_S,
            "travelled_m": record.travelled,
            "collisions": float(record.collisions),
            "wall_contacts": float(record.wall_contacts),
        }
        for name, value in (facts | record.measures).items():
            values[name].append(value)
    return {name: {"mean": float(np.mean(column)), "n": len(column)} for name, column in values.items()}
