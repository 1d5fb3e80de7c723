"""Logs of the table as RLDS: a collector that knows no language plays with what lies there."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np

from embodied_cf.datasets.writer import DatasetCard, Example
from embodied_cf.envs.rollouts import Actor, Plan, PolicyMaker, rollouts, write_rollouts
from embodied_cf.envs.tabletop.collector import Collector, Manner
from embodied_cf.envs.tabletop.environment import READING, TabletopEnv

NAME = "embodied_cf_tabletop"


def collect_tables(
    directory: Path, plan: Plan, split: str, size: int, bias: float, told: Callable[[], None] = lambda: None
) -> None:
    """Write tables of a split as the plan says, or finish an interrupted collection; `told` hears of each episode.

    `size` is in pixels a side, `bias` how often the collector takes what is nearest. Raises MissingLibraryError
    without MuJoCo or OpenGL, OutputError if the directory holds something else.
    """

    about = f"A gripper plays on a table. Made by embodied-cf collect: split {split}, seed {plan.seed}, bias {bias}."
    card = DatasetCard(NAME, description=about)
    write_rollouts(directory, card, partial(TabletopEnv, split=split, size=size), player(bias, told), plan, READING)


def tables(plan: Plan, split: str, size: int, bias: float, indices: range) -> list[Example]:
    """Return the episodes of those indices that `collect_tables` writes."""
    return list(rollouts(partial(TabletopEnv, split=split, size=size), player(bias), plan, NAME, indices))


def player(bias: float, told: Callable[[], None] = lambda: None) -> PolicyMaker:
    """Return what plays with the things; `told` hears of each episode."""

    def play(env: gymnasium.Env, rng: np.random.Generator) -> Actor:
        told()
        table = env.unwrapped
        assert isinstance(table, TabletopEnv)
        hand = Collector(table.task.layout, rng, Manner(bias=bias))
        return lambda observation: hand.act(table.table.instant(table.state))

    return play
