"""What would have happened along other actions, in a small hidden Markov decision model, whatever couples the outcomes.

Abduction: the hidden path given the observations is a Markov chain, found by a backward pass. Prediction: the factual
pair (h, a) and the counterfactual pair (h', a') of a step share their noise, in a way that data cannot tell; equal
pairs move equally. Haugh & Singal (arXiv 2205.13832) bound the answer over all couplings with the model's marginals;
with one coupling for each pair of states and *each step*, free of the others, their program splits into one small
transport program (LP) per step and pair, solved here by dynamic programming with HiGHS of scipy, which JAX depends on.
Couplings that must be the same at every step, or that belong to one joint law over all states, are fewer: the interval
holds for those too, but may be wide.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, kron, vstack

from embodied_cf.counterfactual.gumbel import joint_law
from embodied_cf.counterfactual.precision import distribution
from embodied_cf.errors import UsageError

_Solve = Callable[[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, "n n"]], float]


@dataclass(frozen=True)
class LatentModel:
    """A hidden state that acts on what is seen: P(h_0), P(h_{t+1} | h_t, a_t), P(o_t | h_t)."""

    initial: Float[np.ndarray, " n"]
    transition: Float[np.ndarray, "a n n"]
    emission: Float[np.ndarray, "n o"]
    """The identity if the state is seen."""

    def __post_init__(self) -> None:
        for name in ("initial", "transition", "emission"):
            object.__setattr__(self, name, distribution(getattr(self, name), name))
        states = self.initial.shape[-1]
        shapes = self.initial.shape, self.transition.shape[1:], self.emission.shape[:1]
        if shapes != ((states,), (states, states), (states,)) or self.emission.ndim != 2:
            given = f"{self.initial.shape}, {self.transition.shape} and {self.emission.shape}"
            raise UsageError(f"initial, transition and emission have shapes {given}, not (n,), (a,n,n) and (n,o)")


@dataclass(frozen=True)
class Episode:
    """What was done at steps 0..T-1 and seen at steps 0..T."""

    actions: Int[np.ndarray, " T"]
    observations: Int[np.ndarray, " T+1"]


@dataclass(frozen=True)
class Answer:
    """An expected counterfactual return: the interval over couplings and the point of the Gumbel-max mechanism."""

    lower: float
    upper: float
    gumbel: float


def counterfactual_return(
    model: LatentModel,
    episode: Episode,
    actions: Int[np.ndarray, " T"],
    reward: Float[np.ndarray, "T+1 n"],
    *,
    stable: bool = False,
) -> Answer:
    """Return E[sum_t reward[t, h'_t] | episode] had the actions been `actions`, all else being equal.

    `stable` adds counterfactual stability: an outcome moves only to one whose relative chance has grown more. Raises
    UsageError if the model cannot have produced the episode, or shapes and numbers do not go together.
    """
    _check(model, episode, actions, reward)
    path = _abduct(model, episode)
    low, high, point = (
        _expect(model, episode, actions, reward, path, solve)
        for solve in (_transport(-1.0, stable), _transport(1.0, stable), _gumbel)
    )
    return Answer(low, high, point)


def _check(
    model: LatentModel, episode: Episode, actions: Int[np.ndarray, " T"], reward: Float[np.ndarray, "T+1 n"]
) -> None:
    steps, known, states, kinds = len(episode.actions), len(model.transition), *model.emission.shape
    if len(actions) != steps:
        raise UsageError(f"{len(actions)} counterfactual actions for an episode of {steps}")
    if len(episode.observations) != steps + 1:
        raise UsageError(f"{len(episode.observations)} observations of {steps} actions, not {steps + 1}")
    if np.shape(reward) != (steps + 1, states):
        raise UsageError(f"`reward` has shape {np.shape(reward)}, not {(steps + 1, states)}: steps, hidden states")
    if not np.all(np.isfinite(reward)):
        raise UsageError("`reward` has entries that are not finite")
    for name, given, count in (("episode.actions", episode.actions, known), ("actions", actions, known),
                               ("episode.observations", episode.observations, kinds)):  # fmt: skip
        if not all(0 <= it < count for it in given):
            raise UsageError(f"`{name}` names something else than 0 to {count - 1}")


_Path = tuple[Float[np.ndarray, " n"], Float[np.ndarray, "T n n"]]


def _abduct(model: LatentModel, episode: Episode) -> _Path:
    """Return P(h_0 | o) and P(h_{t+1} | h_t, o): zero rows where h_t is impossible."""
    seen = model.emission[:, episode.observations].T
    after = np.ones_like(model.initial)
    moves = []
    for t in reversed(range(len(episode.actions))):
        weighted = model.transition[episode.actions[t]] * (seen[t + 1] * after)
        after = weighted.sum(axis=1)
        moves.append(np.divide(weighted, after[:, None], out=np.zeros_like(weighted), where=after[:, None] > 0))
        after = after / max(after.max(), np.finfo(float).tiny)  # only ratios matter, and long products vanish
    start = model.initial * seen[0] * after
    if not start.sum() > 0:
        raise UsageError("the model gives the episode probability zero", remedy="Check observations and actions.")
    shape = (0, len(start), len(start))
    return start / start.sum(), np.array(moves[::-1]) if moves else np.zeros(shape)


def _expect(
    model: LatentModel,
    episode: Episode,
    actions: Int[np.ndarray, " T"],
    reward: Float[np.ndarray, "T+1 n"],
    path: _Path,
    solve: _Solve,
) -> float:
    """Go backwards over pairs (factual state, counterfactual state); both start in the same state."""
    start, moves = path
    ahead = np.broadcast_to(reward[-1], (len(start), len(start)))
    for t in reversed(range(len(actions))):
        ahead = reward[t] + _step(model, episode.actions[t], actions[t], moves[t], ahead, solve)
    return float(start @ np.diag(ahead))


def _step(
    model: LatentModel,
    action: int | np.integer,
    other: int | np.integer,
    move: Float[np.ndarray, "n n"],
    ahead: Float[np.ndarray, "n n"],
    solve: _Solve,
) -> Float[np.ndarray, "n n"]:
    value = np.zeros_like(move)
    for h, told in enumerate(move):
        chance = model.transition[action, h]
        weight = np.divide(told, chance, out=np.zeros_like(told), where=chance > 0)
        for g in range(len(move)):
            if not told.any():
                continue
            if h == g and action == other:
                value[h, g] = told @ np.diag(ahead)
            else:
                value[h, g] = solve(chance, model.transition[other, g], weight[:, None] * ahead)
    return value


def _gumbel(p: Float[np.ndarray, " n"], q: Float[np.ndarray, " n"], worth: Float[np.ndarray, "n n"]) -> float:
    return float((joint_law(p, q) * worth).sum())


def _transport(sign: float, stable: bool) -> _Solve:
    """Return the solver of max (sign 1) or min (sign -1) of sum(coupling * worth) over couplings of p and q."""

    def solve(p: Float[np.ndarray, " n"], q: Float[np.ndarray, " n"], worth: Float[np.ndarray, "n n"]) -> float:
        n = len(p)
        ones, eye = csr_matrix(np.ones((1, n))), csr_matrix(np.eye(n))
        limits = [(0.0, 0.0 if stable and _forbidden(p, q, i, j) else 1.0) for i in range(n) for j in range(n)]
        done = linprog(
            -sign * worth.ravel(), A_eq=vstack([kron(eye, ones), kron(ones, eye)]), b_eq=[*p, *q], bounds=limits
        )
        if not done.success:
            raise UsageError(f"the transport program failed: {done.message}")
        return float(-sign * done.fun)

    return solve


def _forbidden(p: Float[np.ndarray, " n"], q: Float[np.ndarray, " n"], i: int, j: int) -> bool:
    """Say whether stability forbids i -> j: q_i/p_i >= q_j/p_j (written without division)."""
    return i != j and bool(q[i] * p[j] >= q[j] * p[i]) and bool(p[i] > 0)
