"""How often the captioner of simulated worlds errs."""

import math
from dataclasses import dataclass

from embodied_cf.errors import UsageError


@dataclass(frozen=True)
class Faults:
    """How often the captioner `scene` errs, so that it is no better than a vision-language model."""

    omission: float = 0.1
    """Probability that a visible thing is overlooked."""
    hallucination: float = 0.1
    """Probability per visible thing that something untrue is said: half of the time the thing goes by a wrong name,
    half of the time a further thing is named that is not there."""
    persistent: bool = False
    """Whether faults are drawn once for an episode rather than for each frame."""
    jitter: float = 0.04
    """Standard deviation of box edges, as a share of the box's size."""

    def __post_init__(self) -> None:
        for name in ("omission", "hallucination"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} {getattr(self, name)} is not a probability")
        if not 0 <= self.jitter < math.inf:
            raise UsageError(f"jitter {self.jitter} is not a number of at least 0")
