"""Environments from outside: what counts as success, and when an episode has no end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium

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
