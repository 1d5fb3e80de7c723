"""The same episode before and after a change: map with both ways, and what the robot saw on each."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from embodied_cf.datasets.film import data_uri, spread_steps
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.rendering.topdown import draw_map
from embodied_cf.explain.episode.explanation import ending
from embodied_cf.explain.navigation.envs import NavEnvs
from embodied_cf.explain.navigation.policy import NavPolicy
from embodied_cf.explain.rollout import MakeEnvs, play

_LANES, _SHOWN, _FRAMES = 40, 3, 7
_MAP, _VIEW = 320, 160
"""Pixels of a side."""


@dataclass(frozen=True)
class Pair:
    """One episode, driven by both policies: same scene, same chance, same random numbers where they draw."""

    told: str
    map: str
    """Data URI: blue before, orange after."""
    ends: tuple[str, str]
    films: tuple[list[tuple[str, str]], list[tuple[str, str]]]
    """Per policy: second and data URI of frames spread over its episode."""


@dataclass(frozen=True)
class Films:
    """A few pairs, and how all of those ended that they were picked from."""

    pairs: tuple[Pair, ...]
    endings: tuple[dict[str, int], dict[str, int]]


def film_pairs(original: NavPolicy, changed: NavPolicy, make: MakeEnvs, seed: int, *, better: bool) -> Films:
    """Return up to three of forty episodes: those that end otherwise, as asked, come first."""
    both = tuple(_driven(policy, make, seed) for policy in (original, changed))
    won: list[Bool[np.ndarray, " n"]] = [envs.now.success for envs in both]
    wanted = 2 * (won[0] != won[1]) + (won[1] == better)
    rows = np.argsort(-wanted, kind="stable")[:_SHOWN].tolist()
    before, after = (dict(Counter(ending(envs.now, row) for row in range(_LANES)).most_common()) for envs in both)
    return Films(tuple(_pair(both[0], both[1], row) for row in rows), (before, after))


def _driven(policy: NavPolicy, make: MakeEnvs, seed: int) -> NavEnvs:
    envs = make(_LANES)
    assert isinstance(envs, NavEnvs)
    play(policy, envs, np.random.default_rng(seed))
    return envs


def _pair(before: NavEnvs, after: NavEnvs, row: int) -> Pair:
    task, paths = before.episode_tasks[row], [before.path(row), after.path(row)]
    image = draw_map(task.scene, _MAP, paths, after.states[len(paths[1]) - 1].take([row]))
    ends = ending(before.now, row), ending(after.now, row)
    return Pair(task.text, data_uri(image, _MAP), ends, (_film(before, row), _film(after, row)))


def _film(envs: NavEnvs, row: int) -> list[tuple[str, str]]:
    steps = spread_steps(len(envs.path(row)), _FRAMES)
    world = envs.now.worlds.take([row])
    frames = [render(world, envs.states[at].take([row]), Camera(_VIEW, _VIEW)).rgb[0] for at in steps]
    return [(f"{at / 4:.1f} s", data_uri(frame, _VIEW)) for at, frame in zip(steps, frames, strict=True)]
