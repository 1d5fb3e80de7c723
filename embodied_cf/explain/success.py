"""Environments from outside: which actions can be tried one by one, and what counts as success."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete

from embodied_cf.explain.errors import ReplayError

_FLAGS = ("success", "is_success")
"""Under which of `info` environments say themselves whether an episode has succeeded."""

LONGEST = 10_000
"""Steps after which an episode is taken to have no end."""


@dataclass(frozen=True)
class Rule:
    """By what an episode was judged."""

    by: Literal["return", "info", "reward"]
    at: float | None = None
    """The return from which on an episode succeeds."""
    whose: str = ""
    """Who says so."""

    @property
    def in_words(self) -> str:
        """Return when an episode succeeds, after "it succeeds if"."""
        if self.by == "return":
            return f"its return is at least {self.at:g} ({self.whose})"
        return "the environment says so" if self.by == "info" else "it is terminated with a positive reward"


def rule_of(env: gymnasium.Env, info: Mapping[str, Any], succeeds_at: float | None) -> Rule:
    """Return the rule by which an episode is judged; `info` is of its last step.

    | the user names a return | `info` says success | the environment has a reward threshold | success is |
    |---|---|---|---|
    | yes | | | that return |
    | no | yes | | what `info` says |
    | no | no | yes | a return at the threshold |
    | no | no | no | an end with a positive reward, as in MiniGrid |
    """
    if succeeds_at is not None:
        return Rule("return", succeeds_at, "--succeeds-at")
    if any(name in info for name in _FLAGS):
        return Rule("info")
    threshold = None if env.spec is None else env.spec.reward_threshold
    return Rule("reward") if threshold is None else Rule("return", threshold, "the environment's reward threshold")


def succeeded(rule: Rule, returned: float, reward: float, terminated: bool, info: Mapping[str, Any]) -> bool:
    """Return whether an episode of so great a return succeeded; the rest is of its last step."""
    if rule.at is not None:
        return returned >= rule.at
    if rule.by == "info":
        return bool(next(info[name] for name in _FLAGS if name in info))
    return terminated and reward > 0


def endless(steps: int) -> ReplayError:
    """Return the error of an episode that does not end."""
    return ReplayError(f"the episode has not ended after {steps} steps",
                       remedy="Give the environment a limit of time, such as gymnasium's TimeLimit.")  # fmt: skip


def chosen(act: Callable[[Any], Any], observation: Any, actions: int) -> int:
    """Return what a policy does. Raises ReplayError if that is none of so many actions."""
    given = act(observation)
    value = np.asarray(given)
    if value.size != 1 or value.dtype.kind not in "iu" or not 0 <= value.item() < actions:
        raise ReplayError(f"the policy returns {given!r}, which is none of the actions 0 to {actions - 1}",
                          remedy="Return one of them, as an integer.")  # fmt: skip
    return int(value.item())


def count_actions(make_env: Callable[[], gymnasium.Env]) -> int:
    """Return how many actions there are. Raises ReplayError if they cannot be tried one by one."""
    env = make_env()
    space = env.action_space
    env.close()
    if not isinstance(space, Discrete) or space.start != 0:
        raise ReplayError(f"actions are {space}, and not a few that can be tried one by one",
                          remedy="Wrap the environment so that it has discrete actions.")  # fmt: skip
    return int(space.n)
