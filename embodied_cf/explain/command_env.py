"""What `embodied-cf explain episode --env ID` shows a person."""

from functools import partial
from pathlib import Path

import gymnasium
from gymnasium.spaces import Discrete
from rich.console import Console

from embodied_cf.datasets.files import write_json
from embodied_cf.envs.adapter import made
from embodied_cf.envs.babyai import make_babyai
from embodied_cf.evaluate.load import imported
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.reexecute import Reexecution, explain_env_episode, in_words


def run_env_episode(policy: str, env: str, seed: int, search: int, json: Path | None) -> int:
    """Explain the first failure among `search` seeds, print and write; return the exit code.

    `policy` names a function that makes a policy of (environment, generator), as `envs.rollouts.PolicyMaker`.
    """
    maker, console = imported(policy), Console(stderr=True)
    make_env = partial(make_babyai if env.startswith("BabyAI") else made, env)
    for root in range(seed, seed + max(search, 1)):
        what = Reexecution(make_env, maker, root)
        if not what.run().success:
            break
    else:
        raise ReplayError(f"no episode fails from seed {seed} to {seed + search - 1}", remedy="Raise --search.")
    with console.status("re-executing with other actions"):
        told = explain_env_episode(what)
    console.print(f"Seed {root}. {in_words(told, _names(make_env()))}")
    if json:
        write_json(json, {"policy": policy, "env": env, "seed": root} | told.to_json())
    return 0


def _names(env: gymnasium.Env) -> list[str]:
    """Return the actions' names where the environment has them, as minigrid does."""
    listed = getattr(env.unwrapped, "actions", None) or getattr(getattr(env, "inner", env).unwrapped, "actions", None)
    space = env.action_space
    assert isinstance(space, Discrete)
    env.close()
    if listed is not None and hasattr(listed, "__members__"):
        return list(listed.__members__)
    return [f"action {at}" for at in range(int(space.n))]
