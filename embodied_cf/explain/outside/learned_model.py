"""A learned model of an environment: a bijective mechanism for its next state, and what ends an episode.

x' = x + f(x, action, u) with f monotone in the noise u, dimension by dimension (`counterfactual.bijective`): noise can
be read off a step that happened, and pushed through again under another action. What of this is true is measured on
episodes that were held out.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from embodied_cf.counterfactual import bijective
from embodied_cf.counterfactual.bijective import Flow, FlowOptions
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.outside.learned_data import GOES_ON, Transitions

_COVERED = 0.9
"""Central part of the predicted law in which as many of the held-out steps should lie."""
_STEPS, _RATE, _HIDDEN = 300, 2e-2, 32
"""Training of what tells ends."""


@dataclass(frozen=True)
class Fit:
    """How good a model is on steps that it has not learnt from."""

    steps: int
    """Held-out steps."""
    error: tuple[float, ...]
    """Root mean square of next state less its predicted median, per dimension, relative to that of "stays where it is":
    1 is no better than that. What chance adds cannot be predicted, and stays."""
    coverage: tuple[float, ...]
    """Share of the next states in the central 90 % of the predicted law, per dimension."""
    skew: tuple[float, ...]
    """Largest distance between the distribution of the noise that is read off and the uniform one (Kolmogorov and
    Smirnov), less what chance explains (1 in 100), per dimension and worst of all actions."""
    ends: float
    """Mean over kinds of steps (goes on, succeeds, fails) of the share that is told rightly."""

    def faults(self) -> list[str]:
        """Return what is wrong with the model; nothing if it can be used."""
        told = []
        for at, (skew, covered, error) in enumerate(zip(self.skew, self.coverage, self.error, strict=True)):
            if error < _EXACT:
                continue
            if skew > _SKEW or abs(covered - _COVERED) > _OFF:
                told.append(
                    f"dimension {at}: {covered:.0%} of next states in the central 90 %, noise off by {skew:.2f}"
                )
        if self.ends < _ENDS:
            told.append(f"{self.ends:.0%} of the ends of episodes are told")
        return told


_EXACT, _SKEW, _OFF, _ENDS = 0.02, 0.05, 0.05, 0.9
"""A dimension that is predicted to this relative error needs no noise; limits of the rest."""


@dataclass(frozen=True)
class Model:
    """A learned environment of so many actions."""

    flow: Flow
    ends: nn.Module
    actions: int
    low: Float64[np.ndarray, " o"]
    """Least and greatest of each dimension that was seen, and a tenth of the range more: predictions stay inside."""
    high: Float64[np.ndarray, " o"]

    def abduct(self, steps: Transitions) -> Float64[np.ndarray, "n o"]:
        """Return the noise in (0, 1) that made steps."""
        return self.flow.noise(self._given(steps.before, steps.action), steps.after - steps.before)

    def push(
        self, before: Float64[np.ndarray, "n o"], action: Int64[np.ndarray, " n"], noise: Float64[np.ndarray, "n o"]
    ) -> Float64[np.ndarray, "n o"]:
        """Return the next states that noise makes."""
        moved = before + self.flow.outcome(self._given(before, action), noise)
        return np.clip(moved, self.low, self.high)

    def end(
        self, before: Float64[np.ndarray, "n o"], action: Int64[np.ndarray, " n"], after: Float64[np.ndarray, "n o"]
    ) -> Int64[np.ndarray, " n"]:
        """Return what steps do to their episodes: GOES_ON, SUCCEEDS or FAILS."""
        with torch.no_grad():
            told: Tensor = self.ends(self._seen(before, action, after))
        return told.argmax(-1).numpy()

    def _given(self, before: np.ndarray, action: np.ndarray) -> Float64[np.ndarray, "n d"]:
        return np.concatenate([before, np.eye(self.actions)[action]], axis=1)

    def _seen(self, before: np.ndarray, action: np.ndarray, after: np.ndarray) -> Float[Tensor, "n d"]:
        half = np.maximum((self.high - self.low) / 2, 1e-9)
        parts = [(values - (self.low + self.high) / 2) / half for values in (before, after)]
        return torch.from_numpy(np.concatenate([*parts, np.eye(self.actions)[action]], axis=1)).float()


def learn(steps: Transitions, actions: int, rng: np.random.Generator, options: FlowOptions | None = None) -> Model:
    """Fit a model. Raises ReplayError if an action was never tried: nothing can be said of it."""
    untried = sorted(set(range(actions)) - set(steps.action.tolist()))
    if untried:
        raise ReplayError(f"action {untried[0]} was never tried in {len(steps.action)} steps",
                          remedy="Raise --explore, the share of actions that are drawn at random.")  # fmt: skip
    every = np.concatenate([steps.before, steps.after])
    low, high = every.min(axis=0), every.max(axis=0)
    margin = 0.1 * (high - low)
    given = np.concatenate([steps.before, np.eye(actions)[steps.action]], axis=1)
    flow = bijective.fit(given, steps.after - steps.before, rng, options)
    ends = _Ends(2 * len(low) + actions, rng)
    model = Model(flow, ends, actions, low - margin, high + margin)
    _train(ends, model._seen(steps.before, steps.action, steps.after), torch.from_numpy(steps.ends))
    return model


def check(model: Model, steps: Transitions) -> Fit:
    """Measure a model on steps that it has not learnt from."""
    noise = model.abduct(steps)
    middle = model.push(steps.before, steps.action, np.full_like(steps.before, 0.5))
    stays = np.sqrt(np.square(steps.after - steps.before).mean(axis=0))
    error = np.sqrt(np.square(steps.after - middle).mean(axis=0)) / np.maximum(stays, 1e-12)
    edge = (1 - _COVERED) / 2
    covered = ((noise > edge) & (noise < 1 - edge)).mean(axis=0)
    tried = [steps.action == action for action in range(model.actions) if (steps.action == action).sum() >= 20]
    skew = np.max([[_skew(column) for column in noise[rows].T] for rows in [np.ones(len(noise), bool), *tried]], axis=0)
    told = model.end(steps.before, steps.action, steps.after)
    right = [float((told[steps.ends == kind] == kind).mean()) for kind in np.unique(steps.ends)]
    return Fit(len(noise), tuple(error.tolist()), tuple(covered.tolist()), tuple(skew.tolist()), float(np.mean(right)))


def _skew(noise: Float64[np.ndarray, " n"]) -> float:
    ordered, count = np.sort(noise), len(noise)
    steps = np.arange(count + 1) / count
    distance = float(np.maximum(np.abs(ordered - steps[:-1]), np.abs(ordered - steps[1:])).max())
    return max(distance - 1.63 / np.sqrt(count), 0.0)


class _Ends(nn.Module):
    """Logits of what a step does to its episode."""

    def __init__(self, inputs: int, rng: np.random.Generator) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for into, out in ((inputs, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, 3)):
            layer = nn.Linear(into, out)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(rng.normal(size=(out, into)) / np.sqrt(into)))
                layer.bias.zero_()
            layers += [layer, nn.Tanh()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, seen: Float[Tensor, "n d"]) -> Float[Tensor, "n 3"]:
        """Return the logits."""
        return self.layers(seen)


def _train(ends: _Ends, seen: Float[Tensor, "n d"], kind: Int64[Tensor, " n"]) -> None:
    """Fit by cross-entropy on the whole batch, rare kinds weighed up by the root of their rareness."""
    count = torch.bincount(kind, minlength=3).float()
    weight = torch.where(count > 0, (count[GOES_ON] / count.clamp_min(1)).sqrt(), 0.0)
    adam = torch.optim.Adam(ends.parameters(), _RATE)
    for _ in range(_STEPS):
        adam.zero_grad()
        nn.functional.cross_entropy(ends(seen), kind, weight).backward()
        adam.step()
