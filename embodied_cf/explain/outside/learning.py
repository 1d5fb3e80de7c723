"""Learning a model of an environment that does not repeat itself, and episodes in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from embodied_cf.counterfactual.bijective import FlowOptions
from embodied_cf.datasets.randomness import generator
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.options import LearnOptions
from embodied_cf.explain.outside.choices import Listed
from embodied_cf.explain.outside.learned_data import GOES_ON, SUCCEEDS, Lived, Source, Transitions
from embodied_cf.explain.outside.learned_model import Fit, Model, check, learn

_HELD_OUT = 0.25
"""Share of the collected episodes on which the model is measured."""
_LEAST = 1e-12
"""Noise that is drawn is at least so far from 0 and 1."""
_RATE_OFF = 0.15
"""Most by which the model's success rate, policy at the wheel, may differ from the real one, beyond chance."""


@dataclass(frozen=True)
class Learned:
    """A model, and how far it can be trusted."""

    model: Model
    fit: Fit
    real_success: float
    """Of the policy in the environment."""
    model_success: float
    """Of the policy in the model, from the same beginnings."""
    runs: int
    """Episodes of which these are shares."""
    longest: int
    """Steps after which an episode is over."""


def learn_env(source: Source, options: LearnOptions, seed: int, flow: FlowOptions | None = None) -> Learned:
    """Collect episodes, learn, measure on others. Raises ReplayError, saying why, if the model is not fit for use."""
    choices = source.choices()
    held = max(1, round(_HELD_OUT * options.learn))
    lived = list(_collected(source, options, seed))
    rng = generator(seed, "explain", "learned", "fit")
    model = learn(Transitions.of(lived[held:]), len(choices.names), rng, flow or FlowOptions(steps=options.fit))
    plain = [it for it in lived[::2] if len(it.action)]
    longest = min(source.max_steps, max(len(it.action) for it in lived))
    real = float(np.mean([it.success for it in plain]))
    begin = np.array([it.observation[0] for it in plain])
    ends = ModelRollout(source, model, longest, seed).run(
        begin, [begin[:0]] * len(begin), None, generator(seed, "explain", "model")
    )
    learned = Learned(
        model, check(model, Transitions.of(lived[:held])), real, float((ends == SUCCEEDS).mean()), len(plain), longest
    )
    _refuse_poor(learned)
    return learned


def _collected(source: Source, options: LearnOptions, seed: int) -> Iterator[Lived]:
    for at in range(options.learn):
        episode = source.live(seed + 1 + at, options.explore * (at % 2))
        if episode.rule.by == "return":
            raise ReplayError(
                f"an episode succeeds if {episode.rule.in_words}, and a learned model keeps no returns",
                remedy="Wrap the environment so that info['success'] of the last step says it.",
            )
        yield episode


def _refuse_poor(learned: Learned) -> None:
    faults = learned.fit.faults()
    chance = 1 / np.sqrt(learned.runs)  # two standard errors of one share of a half
    if abs(learned.real_success - learned.model_success) > _RATE_OFF + chance:
        faults.append(f"the policy succeeds in {learned.real_success:.0%} of real episodes, "
                      f"{learned.model_success:.0%} in the model")  # fmt: skip
    if faults:
        told = f"the learned model does not fit {learned.fit.steps} held-out steps: {'; '.join(faults)}"
        raise ReplayError(told, remedy="Collect more episodes (--learn), or show more of the state.")


@dataclass(frozen=True)
class ModelRollout:
    """Episodes in the model, all side by side."""

    source: Source
    model: Model
    longest: int
    seed: int

    def run(
        self,
        start: Float64[np.ndarray, "n o"],
        past: Sequence[Float64[np.ndarray, "_ o"]],
        first: Int64[np.ndarray, " n"] | None,
        rng: np.random.Generator,
        noise: Float64[np.ndarray, "n l o"] | None = None,
        own: Sequence[bool] | None = None,
    ) -> Int64[np.ndarray, " n"]:
        """Go on from `start`, doing `first` there; return how each ends, GOES_ON if the time is up.

        past: observations before, which the policy is shown. noise: of the next steps, nan where it is not known.
        own: whose policy draws what it drew when the episode happened.
        """
        env = self.source.make_env()
        shape, kind = env.observation_space.shape, env.observation_space.dtype
        wheels = [self.source.policy(env, self._draws(row, own)) for row in range(len(start))]
        for act, seen in zip(wheels, past, strict=True):
            for observation in seen:
                act(observation.reshape(shape).astype(kind))
        state, ends = start.copy(), np.full(len(start), GOES_ON)
        choices = Listed.of(self.model.actions)
        left = np.array([self.longest - len(seen) for seen in past])
        for step in range(int(left.max())):
            going = np.flatnonzero((ends == GOES_ON) & (step < left))
            if not len(going):
                break
            action = np.zeros(len(start), np.int64)
            for row in going.tolist():
                action[row] = choices.read(wheels[row](state[row].reshape(shape).astype(kind)))
            if step == 0 and first is not None:
                action = first
            chance = rng.uniform(_LEAST, 1 - _LEAST, state.shape)
            if noise is not None and step < noise.shape[1]:
                chance = np.where(np.isnan(noise[:, step]), chance, noise[:, step])
            after = self.model.push(state, action, chance)
            ends[going] = self.model.end(state, action, after)[going]
            state[going] = after[going]
        env.close()
        return ends

    def _draws(self, row: int, own: Sequence[bool] | None) -> np.random.Generator:
        """Return the generator of a policy: that of the episode, or one of its own."""
        if own is not None and own[row]:
            return generator(self.seed, "explain", "learned")
        return generator(self.seed, "explain", "learned", str(row))
