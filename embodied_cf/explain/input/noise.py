"""How far the answers of a policy to one and the same question differ: what an effect must exceed to be one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from embodied_cf.datasets.randomness import generator
from embodied_cf.explain.input.asking import Asker, View, apart

_LOOKS = 20
"""Times that a question is asked again before a policy counts as one that does not draw. What differs in a share q of
the answers is missed with probability (1 - q)^21, and then makes false causes of that share of edits: 1.7 % at most."""
_SAME = 0.1
"""Share of the tolerance by which answers may differ and still count as the same."""
_SAMPLES = 8
"""Answers that are averaged for each question to a policy that draws, unless the user says."""
_RISK, _KINDS, _SPLITS = 0.05, 4, 8000
"""Probability that any question shows an effect by chance, which single edits, pairs, triples and regions share; and
draws of that chance."""


@dataclass(frozen=True)
class Noise:
    """What a policy does when it is asked about one view, and how far apart are means of `samples` such answers."""

    chunk: Float64[np.ndarray, "k 2"]
    """The mean of all of them."""
    tolerance: float
    """m: smaller effects are none, whatever the noise."""
    chance: Float64[np.ndarray, " s"]
    """m, ascending: distances between means of answers and the rest; empty for a policy that does not draw."""

    @property
    def draws(self) -> bool:
        """Whether the policy answers the same question in several ways."""
        return len(self.chance) > 0

    def threshold(self, questions: int) -> float:
        """Return the m that none of so many questions of one kind exceeds by chance, but for its risk (Bonferroni)."""
        if not self.draws:
            return self.tolerance
        share = _RISK / _KINDS / max(questions, 1)
        return max(self.tolerance, float(np.quantile(self.chance, 1 - share, method="higher")))


@dataclass(frozen=True)
class Looked:
    """A policy's noise in one view, and what it did when it was asked again."""

    noise: Noise
    again: Float64[np.ndarray, " a"]
    """m: effects of asking again. If the policy draws, the noise is of other answers than these."""


def look(asker: Asker, view: View, tolerance: float, samples: int | None) -> Looked:
    """Find out whether a policy draws; from then on the asker averages `samples` answers (8 if it is not said)."""
    answers = asker.again(view, 1 + _LOOKS)
    moved = apart(answers[1:], answers[:1])
    if moved.max() <= _SAME * tolerance:
        return Looked(Noise(answers[0], tolerance, np.zeros(0)), moved)
    asker.samples = samples or _SAMPLES
    noise = noise_in(asker, view, tolerance)
    fresh = asker.again(view, _LOOKS * asker.samples).reshape(_LOOKS, -1, *noise.chunk.shape)
    return Looked(noise, apart(fresh.mean(axis=1), noise.chunk[None]))


def noise_in(asker: Asker, view: View, tolerance: float) -> Noise:
    """Return the noise of a policy that draws: of means of some of its answers, against the mean of the others."""
    each = asker.samples
    answers = asker.again(view, _LOOKS * each)
    rng = generator(asker.seed, "explain", "noise")
    rows = np.argsort(rng.random((_SPLITS, len(answers))), axis=1)[:, :each]
    some = answers[rows].sum(axis=1)
    rest = (answers.sum(axis=0) - some) / (len(answers) - each)
    return Noise(answers.mean(axis=0), tolerance, np.sort(apart(some / each, rest)))
