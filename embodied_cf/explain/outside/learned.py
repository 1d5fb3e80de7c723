"""Explaining a failed episode of an environment that does not repeat itself, by a learned model: not exact.

The noise of every step that happened is read off (`learned_model.Model.abduct`) and pushed through again after another
action: abduction, action, prediction (Pearl 2009), for a bijective mechanism (arXiv 2302.02228). Where the
counterfactual outlives what happened, or the policy's own draws are asked for, chance is drawn anew. Beside each answer
stands an interval over all mechanisms with the same laws of outcomes (`counterfactual.copula`): of all failures from
that step on, how many the other action averts. The answer is about one failure, of which more is known, and may lie
outside.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int64

from embodied_cf.counterfactual.copula import bounds
from embodied_cf.datasets.randomness import generator
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.measure_table import Measures
from embodied_cf.explain.outside.learned_data import SUCCEEDS, Lived, Source, Transitions
from embodied_cf.explain.outside.learning import Learned, ModelRollout
from embodied_cf.explain.outside.measures import env_measures

Verdict = Literal["yes", "no", "undecided"]
MARK = "learned model, not exact"


@dataclass(frozen=True)
class LearnedExplanation:
    """What other actions would have led to, one step at a time: T steps, A actions. The model's opinion, all of it."""

    lived: Lived
    learned: Learned
    averted: Float64[np.ndarray, "t a"]
    """Share of draws of what is not fixed by the past under which the failure is averted by action a at step t."""
    low: Float64[np.ndarray, "t a"]
    high: Float64[np.ndarray, "t a"]
    """Interval of the share of failures from step t on that action a averts, whatever the mechanism is: given the laws
    that the model has."""
    placebo: float
    """Largest share, over steps, of draws in which doing the same again averts the failure: 0 in a model that is right
    about what happened."""
    imagined: int
    """Episodes that were imagined for it."""
    mark: str = MARK

    def verdict(self, step: int, action: int) -> Verdict:
        """Return whether the failure would have been averted; undecided unless model and interval lean one way."""
        share, low, high = self.averted[step, action], self.low[step, action], self.high[step, action]
        if share > 0.5 and low > 0.5:
            return "yes"
        return "no" if share <= 0.5 and high < 0.5 else "undecided"

    @cached_property
    def decisive(self) -> tuple[int, int] | None:
        """Step and action of the earliest correction that averts it in nine of ten draws, by the model."""
        steps, actions = np.nonzero(self.averted >= 0.9)
        if not len(steps):
            return None
        among = actions[steps == steps[0]]
        return int(steps[0]), int(among[np.argmax(self.averted[steps[0], among])])

    @property
    def measures(self) -> Measures:
        """How good the explanation is, by the model."""
        validity = None if self.decisive is None else float(self.averted[self.decisive])
        done = np.arange(self.averted.shape[1]) == self.lived.action[:, None]
        return env_measures(self.averted, done, self.decisive, validity, self.placebo, self.imagined)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the model."""
        steps, actions = self.averted.shape
        verdicts = [[self.verdict(t, a) for a in range(actions)] for t in range(steps)]
        learned = self.learned
        return {
            "mark": self.mark, "success_rule": self.lived.rule.in_words,
            "actions": self.lived.action.tolist(), "averted": self.averted.tolist(),
            "low": self.low.tolist(), "high": self.high.tolist(), "verdict": verdicts, "decisive": self.decisive,
            "placebo": self.placebo, "fit": asdict(learned.fit), "real_success": learned.real_success,
            "model_success": learned.model_success, "measures": asdict(self.measures),
        }  # fmt: skip


def explain_learned(source: Source, lived: Lived, learned: Learned, seed: int, draws: int = 32) -> LearnedExplanation:
    """Ask of every step and action of a failed episode whether it would have averted the failure.

    `seed` is the episode's. Raises ReplayError if the episode succeeds.
    """
    if lived.success:
        raise ReplayError("the episode succeeds: there is no failure to explain", remedy="Choose another seed.")
    steps, actions = len(lived.action), learned.model.actions
    rollout, rng = (
        ModelRollout(source, learned.model, learned.longest, seed),
        generator(seed, "explain", "learned", "chance"),
    )
    at, first = (it.ravel() for it in np.indices((steps, actions, draws))[:2])
    start, past = lived.observation[at], [lived.observation[:step] for step in at.tolist()]
    known = _ahead(learned.model.abduct(Transitions.of([lived])))[at]
    shape = (steps, actions, draws)
    ends = rollout.run(start, past, first, rng, known, [True] * len(at))
    averted = (ends == SUCCEEDS).reshape(shape).mean(axis=2)
    anew = (rollout.run(start, past, first, rng) == SUCCEEDS).reshape(shape).mean(axis=2)
    taken = np.arange(steps), lived.action
    placebo, averted[taken] = float(averted[taken].max()), 0.0
    low, high = _interval(anew, lived.action)
    return LearnedExplanation(lived, learned, averted, low, high, placebo, 2 * len(at))


def _ahead(noise: Float64[np.ndarray, "t o"]) -> Float64[np.ndarray, "t t o"]:
    """Return for each step the noise from there on, nan after the end."""
    steps = len(noise)
    padded = np.concatenate([noise, np.full_like(noise, np.nan)])
    return np.stack([padded[step : step + steps] for step in range(steps)])


def _interval(
    success: Float64[np.ndarray, "t a"], taken: Int64[np.ndarray, " t"]
) -> tuple[Float64[np.ndarray, "t a"], Float64[np.ndarray, "t a"]]:
    """Return bounds of P(success under a | failure under the action taken), from the laws of both outcomes."""
    low, high = np.zeros_like(success), np.zeros_like(success)
    for step, action in np.ndindex(*success.shape):
        if action == taken[step]:
            continue
        p, q = success[step, taken[step]], success[step, action]
        least, most = bounds(np.array([1 - p, p]), np.array([1 - q, q]))
        low[step, action], high[step, action] = least[0, 1], most[0, 1]
    return low, high


def in_words(told: LearnedExplanation, names: Sequence[str]) -> str:
    """Return the explanation as sentences that begin with what it rests on; `names` are of the actions."""
    learned, fit = told.learned, told.learned.fit
    trust = (
        f"[{told.mark}: {fit.steps} held-out steps, {min(fit.coverage):.0%} to {max(fit.coverage):.0%} of next states "
        f"in the predicted central 90 %; the policy succeeds in {learned.real_success:.0%} of real episodes and "
        f"{learned.model_success:.0%} in the model] "
    )
    rule = f"It succeeds if {told.lived.rule.in_words}."
    if told.decisive is None:
        fails = f"It fails after {len(told.lived.action)} steps; by the model no single other action averts that."
        return f"{trust}{fails} {rule}"
    step, action = told.decisive
    return trust + (
        f"It fails after {len(told.lived.action)} steps. By the model, the earliest single correction is at step "
        f"{step}, {names[action]} instead of {names[int(told.lived.action[step])]}: the failure is averted in "
        f"{told.averted[step, action]:.0%} of draws. Of all failures from there on it averts, whatever the mechanism, "
        f"{told.low[step, action]:.0%} to {told.high[step, action]:.0%}. Averted: {told.verdict(step, action)}. {rule}"
    )
