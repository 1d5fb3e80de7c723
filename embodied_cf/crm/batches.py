"""What an estimator sees of a log: rewards, propensities of the logger and of the target policy.

Sign: a reward is better when larger. Log costs as rewards `-cost`; bounds are given their range. Densities and
probabilities are both called propensities; they must belong to the same measure in logger and target.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Real, Shaped

from embodied_cf.errors import RecordError, UsageError

Vector = Real[np.ndarray, " n"]
Matrix = Real[np.ndarray, "n t"]


@dataclass(frozen=True)
class LoggedBatch:
    """n independent logged decisions. Raises RecordError for values that no log can hold."""

    reward: Vector
    propensity: Vector
    """p(a|x) under the policy that logged the decision, > 0."""
    target_propensity: Vector
    """pi(a|x) under the policy to be evaluated, >= 0."""
    q_logged: Vector | None = None
    """Modelled reward q(x, a) of the logged action."""
    q_target: Vector | None = None
    """Modelled reward under the target, sum_a pi(a|x) q(x, a)."""
    guaranteed: bool = True
    """False where propensities were estimated: then no bound holds."""

    def __post_init__(self) -> None:
        check_columns(self, self.reward.shape)

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def weight(self) -> Vector:
        """Importance weights pi / p, (n,)."""
        return self.target_propensity / self.propensity

    def model(self) -> tuple[Vector, Vector]:
        """Return (q_logged, q_target). Raises UsageError if the batch has no reward model."""
        return model_of(self.q_logged, self.q_target)


@dataclass(frozen=True)
class TrajectoryBatch:
    """N episodes of up to T steps; what lies beyond an episode's end is masked and may hold anything."""

    reward: Matrix
    propensity: Matrix
    target_propensity: Matrix
    q_logged: Matrix | None = None
    """Modelled value q_t(s_t, a_t) of the reward from step t on, discounted to t."""
    q_target: Matrix | None = None
    """Modelled value sum_a pi(a|s_t) q_t(s_t, a)."""
    mask: Shaped[np.ndarray, "n t"] | None = None
    """True for steps that happened, a prefix of each row; None: all."""
    discount: float = 1.0
    guaranteed: bool = True
    """False where propensities were estimated: then no bound holds."""

    def __post_init__(self) -> None:
        if self.reward.ndim != 2:
            raise RecordError(f"trajectories are (N, T) arrays, not {self.reward.shape}")
        if not 0 <= self.discount <= 1:
            raise RecordError(f"a discount of {self.discount} is outside [0, 1]")
        if self.mask is not None and (np.diff(self.mask.astype(np.int8), axis=1) > 0).any():
            raise RecordError("a mask that is not a prefix of its episode")
        check_columns(self, self.reward.shape, self.happened)

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def happened(self) -> np.ndarray:
        """Mask of steps that happened, (N, T) bool."""
        return np.ones(self.reward.shape, bool) if self.mask is None else self.mask.astype(bool)

    @property
    def ratio(self) -> Matrix:
        """Per-step importance ratios, 1 beyond an episode's end."""
        happened = self.happened
        ratio = np.ones(self.reward.shape)
        return np.divide(self.target_propensity, self.propensity, out=ratio, where=happened)

    @property
    def discounted_reward(self) -> Matrix:
        """gamma^t r_t, 0 beyond an episode's end."""
        return self.at_steps(self.reward) * self.powers

    @property
    def powers(self) -> Real[np.ndarray, " t"]:
        """gamma^t."""
        return self.discount ** np.arange(self.reward.shape[1])

    def at_steps(self, values: Matrix) -> Matrix:
        """Return `values` with 0 beyond each episode's end."""
        return np.where(self.happened, values, 0.0)

    def model(self) -> tuple[Matrix, Matrix]:
        """Return (q_logged, q_target), 0 beyond the end. Raises UsageError if the batch has no value model."""
        logged, target = model_of(self.q_logged, self.q_target)
        return self.at_steps(logged), self.at_steps(target)

    def as_decisions(self) -> LoggedBatch:
        """Return each whole episode as one decision: its return, and the product of its propensities."""
        weight = self.ratio.prod(axis=1)
        return LoggedBatch(self.discounted_reward.sum(axis=1), np.ones(len(self)), weight, guaranteed=self.guaranteed)


@dataclass(frozen=True)
class MultiLoggedBatch:
    """Decisions of m loggers, with every logger's propensity for every decision."""

    reward: Vector
    logger: Int[np.ndarray, " n"]
    """Which logger took the decision, 0..m-1."""
    propensities: Real[np.ndarray, "n m"]
    """p_k(a_i|x_i) of every logger k."""
    target_propensity: Vector
    q_logged: Vector | None = None
    q_target: Vector | None = None

    def __post_init__(self) -> None:
        if self.logger.min() < 0 or self.logger.max() >= self.propensities.shape[1]:
            raise RecordError(f"a logger outside 0..{self.propensities.shape[1] - 1}")
        self.naive()

    def naive(self) -> LoggedBatch:
        """Weigh each decision by its own logger."""
        own = self.propensities[np.arange(len(self.reward)), self.logger]
        return self._with(own)

    def balanced(self) -> LoggedBatch:
        """Weigh by the mixture sum_k (n_k / n) p_k: bounded where any logger explores (Agarwal et al. 2017)."""
        share = np.bincount(self.logger, minlength=self.propensities.shape[1]) / len(self.reward)
        return self._with(self.propensities @ share)

    def strata(self) -> list[LoggedBatch]:
        """Return the decisions of each logger that has any, apart."""
        naive = self.naive()
        return [take(naive, self.logger == k) for k in np.unique(self.logger)]

    def _with(self, propensity: Vector) -> LoggedBatch:
        return LoggedBatch(self.reward, propensity, self.target_propensity, self.q_logged, self.q_target)


@dataclass(frozen=True)
class EmbeddedBatch:
    """Decisions whose actions a were seen through an embedding e (Saito & Joachims 2022, arXiv 2202.06317)."""

    reward: Vector
    behaviour: Real[np.ndarray, "n k"]
    """Logger's probabilities of all k actions."""
    target: Real[np.ndarray, "n k"]
    """Target's probabilities of all k actions."""
    likelihood: Real[np.ndarray, "n k"]
    """p(e_i|a) of the embedding seen, for all k actions: a product where dimensions are independent given a."""

    def marginal(self) -> LoggedBatch:
        """Return the batch of embedding propensities sum_a pi(a|x) p(e|a), joint over embedding dimensions."""
        behaviour = (self.behaviour * self.likelihood).sum(axis=1)
        return LoggedBatch(self.reward, behaviour, (self.target * self.likelihood).sum(axis=1))


@dataclass(frozen=True)
class ContinuousBatch:
    """Decisions with a continuous action, and the action that a deterministic target would have taken."""

    reward: Vector
    action: Vector
    propensity: Vector
    """Logger's density at `action`."""
    target_action: Vector
    q_logged: Vector | None = None
    q_target: Vector | None = None
    """Modelled reward of `target_action`."""


Batch = LoggedBatch | TrajectoryBatch | MultiLoggedBatch | EmbeddedBatch


def take(batch: LoggedBatch, rows: Shaped[np.ndarray, " k"]) -> LoggedBatch:
    """Return the chosen decisions (indices or mask)."""
    logged = None if batch.q_logged is None else batch.q_logged[rows]
    target = None if batch.q_target is None else batch.q_target[rows]
    return LoggedBatch(
        batch.reward[rows], batch.propensity[rows], batch.target_propensity[rows], logged, target, batch.guaranteed
    )


def model_of(logged: np.ndarray | None, target: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return both halves of a reward model. Raises UsageError if one is missing."""
    if logged is None or target is None:
        raise UsageError(
            "this estimator needs a reward model, and the batch has none",
            remedy="Give q_logged and q_target, or use a weighting estimator such as SNIPS.",
        )
    return logged, target


def check_columns(
    batch: LoggedBatch | TrajectoryBatch, shape: tuple[int, ...], where: np.ndarray | None = None
) -> None:
    """Raise RecordError if a column has another shape, is not finite, or is no propensity."""
    if 0 in shape:
        raise RecordError("a batch of no decisions")
    for name in ("reward", "propensity", "target_propensity", "q_logged", "q_target"):
        column = getattr(batch, name)
        if column is None:
            continue
        if column.shape != shape:
            raise RecordError(f"{name} has shape {column.shape}, reward {shape}")
        held = column if where is None else column[where]
        if not np.isfinite(held).all():
            raise RecordError(f"{name} is not finite")
        if name == "propensity" and (held <= 0).any():
            raise RecordError(
                "a logged action with propensity 0",
                remedy="What was logged had some probability: record it at the moment of the decision.",
            )
        if name == "target_propensity" and (held < 0).any():
            raise RecordError("a negative target propensity")
