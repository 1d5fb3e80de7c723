"""What `embodied-cf explain` takes. Nothing numerical is loaded before a verb runs."""

import math
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
    reuse: int = 1
    """Gradient steps on each batch of episodes; more where episodes are dear."""
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
    """Fresh episodes that must agree, and then as many again, before a policy is accepted; at least 2."""
    rank: int | None = None
    """Change each weight matrix by a matrix of this rank only; 0: freely. Default 0, and 4 for navigation policies."""

    def __post_init__(self) -> None:
        for name in ("episodes", "reuse", "iterations", "rate", "clip", "pivot_every", "confirm", "delta", "scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"`{name}` is {value}, not positive and finite")
        for name in ("proximity", "polish", "rank"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"`{name}` is {value}, negative or not finite")
        if self.mode == "dual" and self.episodes < 2:
            raise UsageError(
                "`episodes` is 1, and mode dual is paced by how returns vary", remedy="Ask for at least 2."
            )
        if self.confirm < 2:
            raise UsageError("`confirm` is 1, and one episode has no standard error", remedy="Ask for at least 2.")


@dataclass(frozen=True)
class NavOptions:
    """Of navigation policies only: what success means, and what may change."""

    suite: str | None = None
    """WORLD/FAMILY/SPLIT, such as rooms/object/dev: explain what success on it hangs on, instead of an environment."""
    measure: Literal["success", "progress"] = "success"
    """What the target is a mean of; progress is the denser signal."""
    layers: tuple[str, ...] = ()
    """Change only layers of these names or patterns, such as head, stop or trunk.layers.1; default all that decide."""
    width: float = 1.0
    """Spread of drawn actions, relative to what the head learnt; below 1 they are nearer to what is carried out when
    nothing is drawn."""
    pool: int = 200
    """Tasks that the search learns from; they are never those on which it is judged. 0: new ones all the time."""
    execute: int = 4
    """Control periods of a chunk that are carried out before the policy is asked again."""
    people: tuple[int, int] = (0, 2)
    """Least and most people in a scene."""

    def __post_init__(self) -> None:
        if not self.width > 0 or self.pool < 0 or self.execute < 1:
            got = _given(self, "width", "pool", "execute")
            raise UsageError(f"width is positive, pool at least 0 and execute at least 1: {got}")


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
            got = _given(self, "draws", "samples", "execute")
            raise UsageError(f"draws and samples are at least 0 and execute at least 1: {got}")


@dataclass(frozen=True)
class EnvOptions:
    """Of environments from outside."""

    env: str | None = None
    """Gymnasium id of an environment, instead of the simulator; re-executed from its seed. Of continuous actions the
    least, middle and greatest values are tried."""
    succeeds_at: float | None = None
    """With --env: the return from which on an episode succeeds. Default: what the environment says in `info`, else its
    reward threshold, else an end with a positive reward."""
    hold: int = 1
    """With --env: steps that a correction lasts; there is one decision every so many steps."""
    greedy: bool = False
    """With --env and a checkpoint: do the likeliest action (of a Gaussian the mean), and draw none."""

    def __post_init__(self) -> None:
        if self.succeeds_at is not None and not math.isfinite(self.succeeds_at):
            raise UsageError(f"--succeeds-at is {self.succeeds_at}, which is no return")
        if self.hold < 1:
            raise UsageError(f"--hold is {self.hold}, and a correction lasts at least one step")
        if self.env is None and (self.succeeds_at, self.hold, self.greedy) != (None, 1, False):
            raise UsageError("--succeeds-at, --hold and --greedy are for --env",
                             remedy="The simulator's instructions say what success is.")  # fmt: skip


@dataclass(frozen=True)
class LearnOptions:
    """Of environments that do not repeat themselves: what to learn a model of them from."""

    learn: int = 0
    """Episodes to collect, of which some are for learning and some for measuring; 0 learns nothing, and such
    environments are refused."""
    explore: float = 0.3
    """Share of actions that are drawn at random in half of them, so that others than the policy's are seen."""
    fit: int = 1000
    """Gradient steps of the model."""
    imagine: int = 32
    """Draws of what the past does not fix, per question."""

    def __post_init__(self) -> None:
        if self.learn == 1 or self.learn < 0 or not 0 <= self.explore <= 1 or min(self.fit, self.imagine) < 1:
            got = _given(self, "learn", "explore", "fit", "imagine")
            raise UsageError(f"learn is 0 or at least 2, explore in [0, 1], fit and imagine at least 1: {got}")


@dataclass(frozen=True)
class InputOptions:
    """How thoroughly to look for what an action depends on."""

    tolerance: float = 0.15
    """m: the action has changed if the chunk's points move further than this on average."""
    samples: int | None = None
    """Chunks that are averaged per question; default 1, and 8 if the policy answers a question in several ways."""
    nearby: int = 4
    """Views from nearby in which everything is asked again."""

    def __post_init__(self) -> None:
        if (self.samples is not None and self.samples < 1) or self.nearby < 0 or not self.tolerance > 0:
            got = _given(self, "samples", "nearby", "tolerance")
            raise UsageError(f"samples is at least 1, nearby at least 0 and tolerance positive: {got}")


def _given(options: object, *names: str) -> str:
    """Return options as they are written on the command line."""
    return ", ".join(f"--{name} {getattr(options, name)}" for name in names)
