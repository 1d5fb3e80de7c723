"""BabyAI's levels (Chevalier-Boisvert et al., arXiv 1810.08272) through minigrid (extra `babyai`).

A test of language from outside: a grid seen from above and turned with the agent, seven discrete actions.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.adapter import AdaptedEnv, Wiring, adapt, made
from embodied_cf.errors import MissingLibraryError

PERIOD_S = 1.0
"""A step of the grid has no duration; one second by convention."""


def make_babyai(level: str = "BabyAI-GoToLocal-v0", tile: int = 8, **options: Any) -> AdaptedEnv:
    """Return a level whose image is the agent's 7x7 cells in RGB, `tile` pixels each, and whose pose is in cells.

    Raises UsageError for an unknown level, MissingLibraryError without minigrid.
    """
    try:
        import minigrid.wrappers  # registers the levels
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            "the package minigrid is not installed", remedy="Install embodied-cf[babyai]."
        ) from error
    in_colour: Any = minigrid.wrappers.RGBImgPartialObsWrapper
    env = in_colour(made(level, **options), tile_size=tile)
    return adapt(env, Wiring(instruction="mission", pose=grid_pose))


def grid_pose(env: gymnasium.Env) -> Float64[np.ndarray, " 3"]:
    """Return x, y (cells; y up) and yaw of the agent: a grid's rows grow downwards and its directions clockwise."""
    grid: Any = env.unwrapped
    column, row = grid.agent_pos
    return np.array([column, -row, -math.pi / 2 * ((grid.agent_dir + 1) % 4 - 1)], np.float64)


def bot(env: gymnasium.Env, rng: np.random.Generator) -> Callable[[Mapping[str, Any]], int]:
    """Return minigrid's own expert for the episode that `env` has just begun; it reads the grid, not the image."""
    import minigrid.utils.baby_ai_bot

    adapted: Any = env.unwrapped
    make_bot: Any = minigrid.utils.baby_ai_bot.BabyAIBot
    expert: Any = make_bot(adapted.inner.unwrapped)
    last: list[Any] = [None]

    def act(observation: Mapping[str, Any]) -> int:
        last[0] = expert.replan(last[0])
        return int(last[0])

    return act
