"""Logs of a deployed policy: what it saw, did, and with which probability; how each episode ended.

A *decision* is what is reweighted: a whole-episode setting, a choice among chunks, a subgoal; not every motor command,
for weights multiply over decisions of an episode. A logger that always does the same leaves nothing to learn from:
deterministic loggers are refused.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Real, Shaped

from embodied_cf.crm.batches import LoggedBatch
from embodied_cf.crm.fit import Decisions
from embodied_cf.errors import RecordError, UsageError

Ending = Literal["success", "failure", "timeout", "intervention"]
ENDINGS: tuple[Ending, ...] = ("success", "failure", "timeout", "intervention")
ROUNDING = 1e-5
"""By which a log probability in single precision may exceed 0."""
PropensitySource = Literal["recorded", "recomputed", "estimated"]


@dataclass(frozen=True)
class EpisodeEnds:
    """How m episodes ended. A timeout is no failure: it says only that the clock ran out first."""

    ending: tuple[str, ...]
    """Of each episode, one of ENDINGS."""
    cost: Float[np.ndarray, " m"]
    """Total cost, smaller is better."""

    def __post_init__(self) -> None:
        if len(self.ending) != len(self.cost):
            raise RecordError(f"{len(self.ending)} endings for {len(self.cost)} costs")
        odd = sorted(set(self.ending) - set(ENDINGS))
        if odd:
            raise RecordError(f"an episode ends by {odd[0]!r}", remedy=f"Use one of {', '.join(ENDINGS)}.")


@dataclass(frozen=True)
class DecisionLog:
    """n logged decisions, columnar. Raises RecordError for values that no log can hold."""

    context: Float[np.ndarray, "n d"]
    """Features of what was seen."""
    action: Shaped[np.ndarray, " n"] | Float[np.ndarray, "n k"]
    """Integers for choices, floats for settings."""
    log_prob: Float[np.ndarray, " n"]
    """Log of the probability or density of `action` under the policy that took it."""
    reward: Float[np.ndarray, " n"]
    """Larger is better; costs as -cost."""
    reward_range: tuple[float, float]
    """Least and largest reward that can be, by construction."""
    logger: tuple[str, ...]
    """Policy id and version that took each decision, such as "nav-7@2"; equal strings are one logger."""
    episode: Int[np.ndarray, " n"]
    """Number of the episode, the row of `ends`; some may have no decision here."""
    ends: EpisodeEnds | None = None
    propensity_source: PropensitySource = "recorded"
    deterministic: bool = False
    """Whether the logger is known to have acted without randomness (temperature 0, argmax)."""

    def __post_init__(self) -> None:
        n, (low, high) = len(self.reward), self.reward_range
        lengths = {name: len(getattr(self, name)) for name in ("context", "action", "log_prob", "logger", "episode")}
        problems = {
            f"columns of different length: {lengths}, reward {n}": set(lengths.values()) != {n},
            "no decisions": n == 0,
            f"a reward range from {low} to {high}": not -np.inf < low < high < np.inf,
        }
        _refuse(problems)
        values = {
            "context": bool(np.isfinite(self.context).all()),
            "action": bool(np.isfinite(self.action).all()),
            "log_prob": bool((self.log_prob > -np.inf).all()),
            "reward": bool(np.isfinite(self.reward).all()),
        }
        _refuse({f"values of {name} that are no numbers": not fine for name, fine in values.items()})
        if self._chooses:
            most = float(self.log_prob.max())
            _refuse({"a choice below 0, and choices are numbered 0, 1, 2, ...": bool((self.action < 0).any())})
            _refuse({f"a choice of probability {np.exp(most):.6g}, and none exceeds 1": most > ROUNDING})
        outside = (self.reward < low) | (self.reward > high)
        _refuse(
            {f"a reward outside its range [{low}, {high}]": bool(outside.any())},
            remedy="The range (--low, --high) is the least and largest reward that can be, by construction.",
        )

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def _chooses(self) -> bool:
        return self.action.dtype.kind in "iu"

    @property
    def guaranteed(self) -> bool:
        """Whether bounds may be promised: not with estimated propensities."""
        return self.propensity_source != "estimated"

    def take(self, rows: Shaped[np.ndarray, " k"]) -> "DecisionLog":
        """Return the chosen decisions (indices or mask), in the order given."""
        index = np.arange(len(self))[rows]
        columns = {name: getattr(self, name)[index] for name in ("context", "action", "log_prob", "reward", "episode")}
        return replace(self, **columns, logger=tuple(self.logger[i] for i in index))

    def endings(self) -> dict[str, float]:
        """Return the share of this log's episodes that ended each way; empty if endings are not known."""
        if self.ends is None:
            return {}
        seen = [self.ends.ending[i] for i in np.unique(self.episode)]
        return {ending: seen.count(ending) / len(seen) for ending in ENDINGS}

    def by_logger(self) -> dict[str, "DecisionLog"]:
        """Return each logger's decisions, loggers in order of first appearance."""
        names = np.array(self.logger)
        return {name: self.take(names == name) for name in dict.fromkeys(self.logger)}

    def split(self, share: float, rng: np.random.Generator) -> tuple["DecisionLog", "DecisionLog"]:
        """Return (about `share` of the decisions, the rest), whole episodes, chosen at random.

        Raises UsageError if one of the two would be empty.
        """
        episodes = rng.permutation(np.unique(self.episode))
        if not 0 < round(share * len(episodes)) < len(episodes):
            raise UsageError(
                f"episodes are too few ({len(episodes)}) to be split into two parts", remedy="Log more of them."
            )
        first = np.isin(self.episode, episodes[: round(share * len(episodes))])
        return self.take(first), self.take(~first)

    def batch(self, log_target: Float[np.ndarray, " n"]) -> LoggedBatch:
        """Return the batch for a target policy's log probabilities of the logged actions.

        Raises UsageError for a deterministic logger.
        """
        self.refuse_deterministic()
        weight = np.exp(log_target - self.log_prob)
        return LoggedBatch(self.reward, np.ones(len(self)), weight, guaranteed=self.guaranteed)

    def decisions(self) -> Decisions:
        """Return what a learner sees; losses are `least reward - reward`, so <= 0 as learners need them."""
        self.refuse_deterministic()
        return Decisions(self.context, self.action, self.log_prob, self.reward_range[0] - self.reward)

    def refuse_several(self, why: str) -> None:
        """Raise UsageError if several loggers took the decisions: "the logger" is then no one policy."""
        names = list(dict.fromkeys(self.logger))
        if len(names) > 1:
            raise UsageError(
                f"{len(names)} loggers took these decisions ({', '.join(names[:3])} ...): {why}",
                remedy="Take the decisions of one of them, or name the policy that is meant.",
            )

    def refuse_deterministic(self) -> None:
        """Raise UsageError if a logger left nothing to chance: importance weights then say nothing."""
        for name, part in self.by_logger().items():
            certain = bool((part.log_prob >= 0).all() if self._chooses else np.isposinf(part.log_prob).any())
            if self.deterministic or certain:
                raise UsageError(
                    f"logger {name!r} acted deterministically: other actions cannot be judged from its logs",
                    remedy="Log with some randomness (a temperature, an epsilon), and record the propensities.",
                )


def from_arrays(
    context: Real[np.ndarray, "n d"],
    action: Shaped[np.ndarray, "n *k"],
    propensity: Real[np.ndarray, " n"],
    reward: Real[np.ndarray, " n"],
    reward_range: tuple[float, float],
    logger: str = "logger",
    log: bool = False,
) -> DecisionLog:
    """Return a log of single decisions by one logger; `propensity` holds logarithms if `log`."""
    if not log and (propensity <= 0).any():
        raise RecordError(
            "a logged action with propensity 0",
            remedy="What was logged had some probability: record it at the moment of the decision.",
        )
    n = len(reward)
    return DecisionLog(
        context.astype(np.float64),
        action if action.dtype.kind in "iu" else action.astype(np.float64),
        propensity.astype(np.float64) if log else np.log(propensity),
        reward.astype(np.float64),
        reward_range,
        (logger,) * n,
        np.arange(n),
    )


def _refuse(problems: dict[str, bool], remedy: str = "") -> None:
    for problem, broken in problems.items():
        if broken:
            raise RecordError(f"the log has {problem}", remedy=remedy)
