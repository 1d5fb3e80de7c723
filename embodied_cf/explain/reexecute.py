"""Explaining episodes of environments that hand out no state: the same seed and actions again, then another action.

Exact where environment and policy repeat themselves; that is checked at every step, and refused by name if not.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.rollouts import PolicyMaker
from embodied_cf.explain.env_measures import env_measures
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.measure_table import Measures
from embodied_cf.explain.success import LONGEST, Rule, chosen, count_actions, endless, rule_of, succeeded

_WHERE_ELSE = "Make reset(seed=...) fix its chance, or let a model of it be learnt, which is not exact (--learn 400)."


@dataclass(frozen=True)
class Log:
    """One episode of T actions."""

    actions: tuple[int, ...]
    seen: tuple[bytes, ...]
    """Digest of each of the T + 1 observations."""
    success: bool
    rule: Rule
    """By which it succeeded or failed."""


@dataclass(frozen=True)
class Reexecution:
    """An environment, a policy and a seed. A policy draws from the generator that it is made with."""

    make_env: Callable[..., gymnasium.Env]
    """Takes nothing, or `render_mode`, where there is something to draw."""
    make_policy: PolicyMaker
    seed: int
    max_steps: int = LONGEST
    succeeds_at: float | None = None
    """Return from which on an episode succeeds; None leaves that to the environment, see `rule_of`."""

    def run(self, log: Log | None = None, step: int = -1, action: int = -1) -> Log:
        """Play the episode; with a log, check that it repeats up to `step`, and do `action` there instead.

        Raises ReplayError if environment or policy does something else than in the log, or the episode has no end.
        """
        env = self.make_env()
        observation, info = env.reset(seed=self.seed)
        act = self.make_policy(env, generator(self.seed, "explain", "reexecution"))
        actions: list[int] = []
        seen = [digest(observation)]
        returned, over, choices = 0.0, False, int(env.action_space.n)  # type: ignore[attr-defined]
        while not over:
            if len(actions) == self.max_steps:
                raise endless(self.max_steps)
            at = len(actions)
            wanted = chosen(act, observation, choices)
            if log is not None and at <= step:
                _check(log, at, seen[-1], wanted)
            actions.append(action if at == step else wanted)
            observation, reward, terminated, truncated, info = env.step(actions[-1])
            seen.append(digest(observation))
            over = terminated or truncated
            returned += float(reward)
        rule = rule_of(env, info, self.succeeds_at)
        env.close()
        success = succeeded(rule, returned, float(reward), terminated, info)
        return Log(tuple(actions), tuple(seen), success, rule)


def digest(observation: Any) -> bytes:
    """Return a digest of an observation: arrays, texts, numbers, and dictionaries and tuples of them."""
    if isinstance(observation, Mapping):
        parts = [str(key).encode() + digest(value) for key, value in sorted(observation.items())]
    elif isinstance(observation, tuple | list):
        parts = [digest(value) for value in observation]
    elif isinstance(observation, str):
        parts = [observation.encode()]
    else:
        array = np.ascontiguousarray(observation)
        parts = [str(array.dtype).encode(), str(array.shape).encode(), array.tobytes()]
    return hashlib.sha256(b"\x1f".join(parts)).digest()


def _check(log: Log, at: int, seen: bytes, wanted: int) -> None:
    if seen != log.seen[at]:
        what = f"the environment does not repeat itself: after {at} equal actions it shows something else"
        raise ReplayError(what, remedy=_WHERE_ELSE)
    if wanted != log.actions[at]:
        what = f"the policy does not repeat itself: at step {at} it does {wanted} and not {log.actions[at]}"
        raise ReplayError(what, remedy="Draw from the generator that it is made with, and from nothing else.")


@dataclass(frozen=True)
class EnvExplanation:
    """What other actions would have changed, one step at a time."""

    log: Log
    averted: Bool[np.ndarray, "t a"]
    """Whether the episode succeeds if action a is taken at step t, and only there."""
    placebo: bool
    """Whether the same actions again lead elsewhere: never, if it repeats itself."""

    @property
    def decisive(self) -> tuple[int, int] | None:
        """Step and action of the earliest single correction that averts the failure."""
        steps, actions = np.nonzero(self.averted)
        return (int(steps[0]), int(actions[0])) if len(steps) else None

    @property
    def necessity(self) -> Float64[np.ndarray, " t"]:
        """Share of the other actions that avert the failure, by step."""
        return self.averted.sum(axis=1) / (self.averted.shape[1] - 1)

    @property
    def measures(self) -> Measures:
        """How good the explanation is."""
        steps, actions = self.averted.shape
        played = steps * (actions - 1) + 2
        return env_measures(self.averted.astype(float), np.array(self.log.actions), self.decisive, self.placebo, played)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the observations."""
        return {"success_rule": self.log.rule.in_words, "actions": list(self.log.actions),
                "averted": self.averted.tolist(), "decisive": self.decisive,
                "necessity": self.necessity.tolist(), "placebo": self.placebo,
                "measures": asdict(self.measures)}  # fmt: skip


def explain_env_episode(what: Reexecution, most: int = 100_000) -> EnvExplanation:
    """Try every other action at every step of a failed episode, at most so many episodes.

    Raises ReplayError if the episode succeeds, does not repeat itself, has actions that cannot be listed, or is too
    long for that many.
    """
    names = range(count_actions(what.make_env))
    log = what.run()
    if log.success:
        raise ReplayError(f"the episode succeeds ({log.rule.in_words}): there is no failure to explain",
                          remedy="Choose another seed.")  # fmt: skip
    if len(log.actions) * len(names) > most:
        raise ReplayError(f"{len(log.actions)} steps of {len(names)} actions are more than {most} episodes")
    again = what.run(log, len(log.actions) - 1, log.actions[-1])
    averted = [[name != taken and what.run(log, step, name).success for name in names]
               for step, taken in enumerate(log.actions)]  # fmt: skip
    return EnvExplanation(log, np.array(averted, bool), again != log)


def in_words(told: EnvExplanation, names: Sequence[str]) -> str:
    """Return the explanation as sentences; `names` are of the actions."""
    rule = f"It succeeds if {told.log.rule.in_words}."
    if told.decisive is None:
        return f"It fails after {len(told.log.actions)} steps, and no single other action averts that. {rule}"
    step, action = told.decisive
    taken, steps = names[told.log.actions[step]], len(told.log.actions)
    averting = np.count_nonzero(told.necessity)
    return (
        f"It fails after {steps} steps. Earliest single correction: at step {step}, {names[action]} instead of "
        f"{taken}. At {averting} of {steps} steps some other action averts the failure{_most(told)}. {rule}"
    )


def _most(told: EnvExplanation) -> str:
    """Return at which step the choice mattered most, if there is one such step."""
    (most,) = np.nonzero(told.necessity == told.necessity.max())
    if len(most) > 1 or np.count_nonzero(told.necessity) == 1:
        return ""
    return f"; it mattered most at step {most[0]}, where {told.necessity.max():.0%} of the other actions do"
