"""What `embodied-cf explain episode --env ID` shows a person."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import gymnasium
import numpy as np
from rich.console import Console

from embodied_cf.datasets.files import check_writable, write_json
from embodied_cf.envs.adapter import made
from embodied_cf.envs.babyai import make_babyai
from embodied_cf.envs.rollouts import Actor, PolicyMaker
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.load import factory
from embodied_cf.explain.checkpoints import load_policy
from embodied_cf.explain.episode.command import EpisodeOutputs
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.lanes import RestingEnvs
from embodied_cf.explain.options import EnvOptions, LearnOptions
from embodied_cf.explain.outside.choices import choices_in
from embodied_cf.explain.outside.explanation import explain_env_episode, in_words
from embodied_cf.explain.outside.learned import explain_learned
from embodied_cf.explain.outside.learned import in_words as learned_in_words
from embodied_cf.explain.outside.learned_data import Lived, Source, repeats
from embodied_cf.explain.outside.learning import learn_env
from embodied_cf.explain.outside.page import Asked, write_env_page, write_learned_page
from embodied_cf.explain.outside.reexecute import Log, Reexecution
from embodied_cf.explain.policies import acting
from embodied_cf.explain.rollout import check_fits

Episode = TypeVar("Episode", Log, Lived)


def run_env_episode(
    policy: str,
    outside: EnvOptions,
    seed: int,
    search: int,
    outputs: EpisodeOutputs,
    learning: LearnOptions | None = None,
    draws: int = 4,
) -> int:
    """Explain the first failure among `search` seeds, print and write; return the exit code.

    `policy` is a checkpoint as `explain policy` takes them, or names a function that makes a policy of (environment,
    generator), as `envs.rollouts.PolicyMaker`. If episodes may be collected to learn from, an environment that does not
    repeat itself is explained by a model.
    """
    _check(seed, outside, learning)
    check_writable(outputs.json, outputs.html)
    env = outside.env or ""
    make_env = partial(make_babyai if env.startswith("BabyAI") else made, env)
    console, maker = Console(stderr=True), _maker(policy, make_env, outside.greedy)  # may register the environment
    asked = Asked(policy, env, seed, choices_in(make_env).names)  # before any episode is played
    roots = range(seed, seed + search)
    if learning and learning.learn:
        source = Source(make_env, maker, succeeds_at=outside.succeeds_at)
        root, lived = _failed(roots, source.live)
        if not repeats(source, root, lived):
            return _by_model(source, lived, learning, replace(asked, seed=root), console, outputs)
    episode = Reexecution(make_env, maker, seed, succeeds_at=outside.succeeds_at)
    root, _ = _failed(roots, lambda at: replace(episode, seed=at).run())
    return _by_replay(replace(episode, seed=root), outside.hold, draws, replace(asked, seed=root), console, outputs)


def _check(seed: int, outside: EnvOptions, learning: LearnOptions | None) -> None:
    if seed < 0:
        raise UsageError(f"--seed is {seed}, and environments take none below 0")
    if outside.hold > 1 and learning and learning.learn:
        raise UsageError("--hold is for exact re-execution: a learned model corrects single steps",
                         remedy="Leave out --hold or --learn.")  # fmt: skip


def _maker(name: str, make_env: Callable[[], gymnasium.Env], greedy: bool) -> PolicyMaker:
    if Path(name).suffix in (".safetensors", ".zip"):
        policy, envs = load_policy(name), RestingEnvs(make_env, 1)
        check_fits(policy, envs)
        envs.close()
        return acting(policy, greedy)
    if greedy:
        raise UsageError("--greedy is for checkpoints", where=name, remedy="Let the function make a greedy policy.")
    remedy = "Name a function of (environment, generator) that returns a function of observations, or a checkpoint."
    make = factory(name, ("env", "rng"), remedy)

    def checked(env: gymnasium.Env, rng: np.random.Generator) -> Actor:
        act = make(env, rng)
        if not callable(act):
            raise UsageError(f"returns {type(act).__name__}, which is no policy", where=name, remedy=remedy)
        return cast(Actor, act)

    return checked


def _failed(roots: range, live: Callable[[int], Episode]) -> tuple[int, Episode]:
    for root in roots:
        episode = live(root)
        if not episode.success:
            return root, episode
    raise ReplayError(f"no episode fails from seed {roots[0]} to {roots[-1]}: each succeeds if {episode.rule.in_words}",
                      remedy="Raise --search, or say what success is (--succeeds-at).")  # fmt: skip


def _by_replay(
    episode: Reexecution, hold: int, draws: int, asked: Asked, console: Console, outputs: EpisodeOutputs
) -> int:
    with console.status("re-executing with other actions") as status:
        told = explain_env_episode(episode, hold, draws, tell=status.update)
    text = in_words(told)
    console.print(f"Seed {asked.seed}. {text}", markup=False)
    if outputs.json:
        write_json(outputs.json, asked.to_json() | told.to_json())
    if outputs.html:
        write_env_page(told, episode, asked, text, outputs.html)
    return 0


def _by_model(
    source: Source, lived: Lived, learning: LearnOptions, asked: Asked, console: Console, outputs: EpisodeOutputs
) -> int:
    with console.status(f"the environment does not repeat itself: learning a model from {learning.learn} episodes"):
        told = explain_learned(source, lived, learn_env(source, learning, asked.seed), asked.seed, learning.imagine)
    text = learned_in_words(told, asked.names)
    console.print(f"Seed {asked.seed}. {text}", markup=False)
    if outputs.json:
        write_json(outputs.json, asked.to_json() | told.to_json())
    if outputs.html:
        write_learned_page(told, asked, text, outputs.html)
    return 0
