"""Episodes of environments that hand out no state: the same seed and actions again, then something else.

Exact where environment and policy repeat themselves; that is checked at every step, and refused by name if not.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.rollouts import PolicyMaker
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.outside.choices import Action, choices_of
from embodied_cf.explain.outside.success import LONGEST, Rule, endless, rule_of, succeeded

WHERE_ELSE = "Make reset(seed=...) fix its chance, or let a model of it be learnt, which is not exact (--learn 400)."
"""What to do about an environment that does not repeat itself."""


@dataclass(frozen=True)
class Log:
    """One episode of T actions."""

    actions: tuple[Action, ...]
    seen: tuple[bytes, ...]
    """Digest of each of the T + 1 observations."""
    draws: bool
    """Whether the policy drew from its generator, or made others of it."""
    success: bool
    rule: Rule
    """By which it succeeded or failed."""


@dataclass(frozen=True)
class Correction:
    """What is done instead of what the policy wants, from a step on."""

    step: int
    choice: int | None
    """Of `choices.choices_of`; None for what the policy wants."""
    steps: int = 1
    """How long."""

    @property
    def span(self) -> range:
        """Return its steps."""
        return range(self.step, self.step + self.steps)


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

    def run(self, log: Log | None = None, correction: Correction | None = None, chance: int | None = None) -> Log:
        """Play the episode; with a log, check that it repeats: with a correction up to that, else to its end.

        chance: what the policy draws after the correction's first step is of another generator than in the log.
        Raises ReplayError if environment or policy does something else than in the log, or the episode has no end.
        """
        env = self.make_env()
        observation, info = env.reset(seed=self.seed)
        rng, choices = self._generator(), choices_of(env)
        act = self.make_policy(env, rng)
        actions: list[Action] = []
        seen = [digest(observation)]
        returned, over, span = 0.0, False, correction.span if correction else range(0)
        while not over:
            at = len(actions)
            if at == self.max_steps:
                raise endless(self.max_steps)
            wanted = choices.read(act(observation))
            if log is not None and (correction is None or at <= correction.step):
                _check(log, at, seen[-1], wanted)
            if chance is not None and at in span[:1]:
                rng.bit_generator.state = self._generator(str(at), str(chance)).bit_generator.state
            instead = correction.choice if correction and at in span else None
            actions.append(wanted if instead is None else choices.instead(instead, wanted))
            observation, reward, terminated, truncated, info = env.step(choices.sent(actions[-1]))
            seen.append(digest(observation))
            over = terminated or truncated
            returned += float(reward)
        rule = rule_of(env, info, self.succeeds_at)
        env.close()
        if log is not None and rule != log.rule:
            raise ReplayError(f"one episode succeeds if {log.rule.in_words}, and another if {rule.in_words}",
                              remedy="Let info['success'] of every last step say it, or name a return.")  # fmt: skip
        success = succeeded(rule, returned, float(reward), terminated, info)
        draws = _used(rng) != _used(self._generator())
        return Log(tuple(actions), tuple(seen), draws, success, rule)

    def _generator(self, *chance: str) -> np.random.Generator:
        return generator(self.seed, "explain", "reexecution", *chance)


def _used(rng: np.random.Generator) -> tuple[Any, int]:
    """Return what changes when numbers are drawn from a generator, or others are made of it."""
    return rng.bit_generator.state, rng.bit_generator.seed_seq.n_children_spawned  # type: ignore[attr-defined]


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


def _check(log: Log, at: int, seen: bytes, wanted: Action) -> None:
    if at >= len(log.actions) or seen != log.seen[at]:
        what = f"the environment does not repeat itself: after {at} equal actions it shows something else"
        raise ReplayError(what, remedy=WHERE_ELSE)
    if wanted != log.actions[at]:
        what = f"the policy does not repeat itself: at step {at} it does {wanted} and not {log.actions[at]}"
        raise ReplayError(what, remedy="Draw from the generator that it is made with, and from nothing else.")
