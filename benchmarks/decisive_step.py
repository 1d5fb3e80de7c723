"""How often the decision at which a fault was injected is found, in simulated episodes that fail because of it.

The expert drives and errs at a known decision: it sets out for a wrong place, drives into something, or freezes, and
goes on with that if it got under way (`explain.episode.faults`); or it swerves towards something near for two seconds.
Episodes that succeed all the same are left out, and decisions at which the fault leads where the expert goes anyway.
Beside the explanation stand three guesses: the first decision at which what was done is not what the expert would have
done, the last decision, and a decision drawn at random. The correction that was
found is then replayed under the episode's own chance.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.expert_success import wilson
from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.tasks import Task, make_task
from embodied_cf.evaluate.rollout import EXECUTE
from embodied_cf.explain.episode.explanation import explain_episode
from embodied_cf.explain.episode.faults import SAME_M, SAME_RAD, Faulty
from embodied_cf.explain.episode.replay import Recording, record
from embodied_cf.explain.episode.wheel import ExpertDriver
from embodied_cf.explain.options import EpisodeOptions

WORLDS = ("rooms", "corridors", "courtyard")
FAMILIES = ("object", "referential", "continuous", "chained")
KINDS = ("wrong place", "collision", "freeze", "swerve")
_NEAR_M = 0.9
_OTHERWISE = 0.1
"""Distance from the expert's action, in shares of the wheels' range, from which on it is another one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--episodes", type=int, default=20, help="of each world and family")
    parser.add_argument("--first-seed", type=int, default=70_000)
    parser.add_argument("--split", default="dev")
    arguments = parser.parse_args()
    rounds, rows = 1 if arguments.quick else arguments.episodes, []
    cells = [cell(world, family, arguments.split, arguments.first_seed) for world in WORLDS for family in FAMILIES]
    for _ in range(rounds):
        for episodes in cells:
            rows.append(next(episodes))
            if arguments.json:
                arguments.json.write_text("".join(json.dumps(it) + "\n" for it in rows))
        show("so far", rows)
    for name, values in (("world", WORLDS), ("family", FAMILIES), ("fault", KINDS)):
        for value in values:
            show(value, [row for row in rows if row[name] == value])
    show("all", rows)


def cell(world: str, family: str, split: str, first_seed: int) -> Iterator[dict]:
    """Explain failures of one cell, one after the other."""
    for seed in count(first_seed):
        task = make_task(world, family, split, seed)
        rng = generator(seed, "decisive step", world, family)
        good = record(task, ExpertDriver())
        if not good.success or good.decisions < 3:
            continue
        kind = KINDS[int(rng.integers(len(KINDS)))]
        fault = inject(task, good, kind, rng)
        if fault is not None and fails_by(task, fault, good):
            yield {"world": world, "family": family, "seed": task.seed, "fault": kind, **explained(task, fault)}


def fails_by(task: Task, fault: Faulty, good: Recording) -> bool:
    """Whether the episode fails, and the faulty decision is one: it leads elsewhere than the expert goes."""
    bad = record(task, fault)
    after = min(fault.begin + EXECUTE, len(good.actions))
    if bad.success or len(bad.actions) < after:
        return not bad.success
    here, there = bad.trail.pose[after], good.trail.pose[after]
    return bool(np.hypot(*(here - there)[:2]) > SAME_M or abs(here[2] - there[2]) > SAME_RAD)


def inject(task: Task, good: Recording, kind: str, rng: np.random.Generator) -> Faulty | None:
    """Return a fault at a random decision; None where the kind does not fit."""
    decision = int(rng.integers(1, good.decisions))
    if kind == "freeze":
        return Faulty(decision, None)
    pose = good.moments.state.pose[decision]
    away = np.hypot(*(task.scene.position - pose[:2]).T) - task.scene.radius
    if kind == "swerve":
        near = int(away.argmin())
        place = tuple(task.scene.position[near].tolist())
        return Faulty(decision, place, lasts=2) if away[near] < _NEAR_M else None
    chosen = int(rng.integers(len(away)))
    return Faulty(decision, tuple(task.scene.position[chosen].tolist()), 1.2 if kind == "wrong place" else None)


def explained(task: Task, fault: Faulty) -> dict:
    """Explain one failure and say how far off that is."""
    started = time.perf_counter()
    told = explain_episode(task, fault, EpisodeOptions(draws=2))
    found = told.attribution.decisive
    return {
        "decisions": told.recording.decisions,
        "injected": fault.decision,
        "first otherwise": first_otherwise(told.attribution.apart),
        "found": None if found is None else found.decision,
        "length": None if found is None else found.length,
        "option": None if found is None else found.option,
        "averts": None if found is None else found.averts,
        "replay succeeds": bool(told.corrected is not None and told.corrected.success[0]),
        "placebo": told.attribution.placebo,
        "told reader": told.measures.simulatability,
        "blind reader": told.measures.blind_reader,
        "branches": told.attribution.branches,
        "seconds": time.perf_counter() - started,
    }


def first_otherwise(apart: np.ndarray) -> int | None:
    """Return the first decision at which the expert would have done something else; None if it agrees with all."""
    at = np.flatnonzero(apart > _OTHERWISE)
    return int(at[0]) if len(at) else None


def show(name: str, rows: list[dict]) -> None:
    """Print shares with their intervals."""
    if not rows:
        return
    total = len(rows)
    off = [abs(row["found"] - row["injected"]) if row["length"] == 1 else 99 for row in rows]  # a stretch finds none
    within, exact = sum(it <= 1 for it in off), sum(it == 0 for it in off)
    replayed = sum(row["replay succeeds"] for row in rows)
    firsts = [(row["first otherwise"], row["injected"]) for row in rows]
    differs = sum(first is not None and abs(first - injected) <= 1 for first, injected in firsts)
    last = sum(row["decisions"] - 1 - row["injected"] <= 1 for row in rows)
    chance = np.mean([min(3, row["decisions"]) / row["decisions"] for row in rows])
    low, high = wilson(within, total)
    print(
        f"{name:24} {total:4} episodes: within ±1 {within / total:6.1%} [{low:.1%}, {high:.1%}], exact "
        f"{exact / total:6.1%}; corrected replay succeeds {replayed / total:6.1%}; guesses: first otherwise "
        f"{differs / total:5.1%}, last {last / total:5.1%}, random {chance:5.1%}; "
        f"placebo {np.mean([row['placebo'] for row in rows]):.2%}; "
        f"{np.mean([row['branches'] for row in rows]):.0f} branches, "
        f"{np.median([row['seconds'] for row in rows]):.1f} s each (median)",
        flush=True,
    )


if __name__ == "__main__":
    main()
