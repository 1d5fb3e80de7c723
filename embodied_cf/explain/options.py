"""What `embodied-cf explain` takes. Nothing numerical is loaded before a verb runs."""

from dataclasses import dataclass
from typing import Literal

from embodied_cf.errors import UsageError


@dataclass(frozen=True)
class SearchOptions:
    """The search's settings; defaults suit small control problems."""

    mode: Literal["dual", "paper"] = "dual"
    """dual: least divergence from the original policy, multiplier by dual ascent. paper: COUNTERPOL, moving pivot."""
    delta: float | None = None
    """How near the return must come; default a tenth of the deviation of the original policy's returns."""
    episodes: int = 10
    """Episodes per gradient step."""
    iterations: int = 400
    """Gradient steps: in mode dual before the first check, in mode paper at most."""
    rate: float = 1e-3
    """Adam's learning rate; in mode dual it falls to a twentieth along a half cosine."""
    clip: float = 1.0
    """Largest norm of a gradient, per environment step."""
    proximity: float = 10.0
    """Mode paper: weight k of the divergence from the pivot, per environment step; 0 for no proximity."""
    scale: float | None = None
    """Mode paper: the range that return gaps are divided by; default the gap at the start."""
    pivot_every: int = 10
    """Mode paper: gradient steps between moves of the pivot."""
    polish: int = 10
    """Mode dual: rounds of an eighth of the iterations that may follow if the check fails."""
    confirm: int = 400
    """Fresh episodes that must agree before a policy is accepted."""
    rank: int = 0
    """Change each weight matrix by a matrix of this rank only; 0: freely."""

    def __post_init__(self) -> None:
        for name in ("episodes", "iterations", "rate", "clip", "pivot_every", "confirm"):
            if not getattr(self, name) > 0:
                raise UsageError(f"`{name}` is {getattr(self, name)}, not positive")
        for name in ("proximity", "polish", "rank"):
            if getattr(self, name) < 0:
                raise UsageError(f"`{name}` is {getattr(self, name)}, negative")
        if self.delta is not None and not self.delta > 0:
            raise UsageError(f"`delta` is {self.delta}, not positive")


@dataclass(frozen=True)
class TaskOptions:
    """Which episode of the simulator."""

    world: str = "rooms"
    """rooms, corridors or courtyard."""
    family: str = "object"
    """Of instructions: object, referential, continuous or chained."""
    split: str = "dev"
    """Layouts, names of things and wordings: train, dev or test."""
    people: tuple[int, int] = (0, 2)
    """Least and most people in the scene."""
    seed: int = 0
    """Of layout, task, wording and chance."""


@dataclass(frozen=True)
class EpisodeOptions:
    """How thoroughly to look for what decided an episode."""

    draws: int = 4
    """Other draws of chance under which corrections are tried."""
    samples: int = 16
    """Chunks that are drawn from the policy at each decision, for what it would have done otherwise."""
    execute: int = 4
    """Control periods of 0.25 s that a decision lasts."""

    def __post_init__(self) -> None:
        if min(self.draws, self.samples) < 0 or self.execute < 1:
            raise UsageError(f"draws and samples are at least 0 and execute at least 1, got {self}")


@dataclass(frozen=True)
class InputOptions:
    """How thoroughly to look for what an action depends on."""

    tolerance: float = 0.15
    """m: the action has changed if the chunk's points move further than this on average."""
    samples: int = 1
    """Chunks that are averaged per question; more for a policy that draws."""
    nearby: int = 4
    """Views from nearby in which everything is asked again."""

    def __post_init__(self) -> None:
        if self.samples < 1 or self.nearby < 0 or not self.tolerance > 0:
            raise UsageError(f"samples is at least 1, nearby at least 0 and tolerance positive, got {self}")
