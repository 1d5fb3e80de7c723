"""The least change of a policy that reaches a given return, exactly, in a finite-horizon tabular world.

Among policies with expected undiscounted return J = target, the one that minimises the trajectory divergence
E_pi sum_t log pi_t(a|s)/pi0_t(a|s) is pi_t(a|s) = pi0_t(a|s) exp(Q_t(s,a) - V_t(s)), with the soft Bellman recursion
Q_t = lambda r + P V_{t+1}, V_t = log sum_a pi0_t exp Q_t, V_H = 0. J grows with the multiplier lambda: bisection finds
it.
Shapes: transition (S,A,S), reward (S,A), policy (H,S,A), initial (S,).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embodied_cf.counterfactual.errors import UnreachableError
from embodied_cf.counterfactual.precision import distribution, double, number
from embodied_cf.errors import UsageError

_EXACT = 1e-12
"""Returns this close, relative to the largest possible one, are equal."""
_AXES = {"transition": "SAS", "reward": "SA", "policy": "HSA", "reference": "HSA", "initial": "S"}
_HALVINGS = 200
_DOUBLINGS = 64


@dataclass(frozen=True)
class MinimalChange:
    """The least changed policy with the asked return."""

    policy: Float[np.ndarray, "H S A"]
    kl: float
    """Trajectory divergence from the original policy, in nats."""
    multiplier: float
    """lambda: nats that one more unit of return costs; negative if the target is below the original return."""
    value: float
    """Expected return."""


@double
def minimal_change(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A"],
    policy: Float[np.ndarray, "H S A"],
    initial: Float[np.ndarray, " S"],
    target: float,
) -> MinimalChange:
    """Return the policy of least trajectory divergence from `policy` whose expected return is `target`.

    If `policy` has that return already, it comes back unchanged. Raises UnreachableError if no policy that keeps to the
    actions of `policy` has it, UsageError if shapes or distributions are wrong.
    """
    world = checked(transition, reward, policy, initial)
    target = number(target, "target")
    present, (low, high) = float(_value(*world)), value_range(*world)
    close = _EXACT * max(abs(low), abs(high), 1.0)
    if abs(present - target) <= close:
        return MinimalChange(np.array(policy, dtype=np.float64), 0.0, 0.0, present)
    if not low - close <= target <= high + close:
        raise UnreachableError(
            f"no policy with the actions of the given one has return {target:.6g}: "
            f"it lies outside [{low:.6g}, {high:.6g}]",
            remedy="Choose a target inside.",
        )
    multiplier = _multiplier(world, target, close)
    changed = _soft(*world, multiplier)
    return MinimalChange(
        policy=np.array(changed),
        kl=float(_divergence(world[0], changed, world[2], world[3])),
        multiplier=float(multiplier),
        value=float(_value(world[0], world[1], changed, world[3])),
    )


@double
def soft_policy(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A"],
    policy: Float[np.ndarray, "H S A"],
    initial: Float[np.ndarray, " S"],
    multiplier: float,
) -> Float[np.ndarray, "H S A"]:
    """Return the policy on the frontier of least divergence per return that belongs to a multiplier."""
    return np.array(_soft(*checked(transition, reward, policy, initial), multiplier))


@double
def value(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A"],
    policy: Float[np.ndarray, "H S A"],
    initial: Float[np.ndarray, " S"],
) -> float:
    """Return the expected undiscounted return of a policy.

    Raises UsageError if shapes or distributions are wrong.
    """
    return float(_value(*checked(transition, reward, policy, initial)))


@double
def trajectory_kl(
    transition: Float[np.ndarray, "S A S"],
    policy: Float[np.ndarray, "H S A"],
    reference: Float[np.ndarray, "H S A"],
    initial: Float[np.ndarray, " S"],
) -> float:
    """Return E_policy sum_t log policy_t(a|s) / reference_t(a|s), in nats; inf where the reference never acts so.

    Raises UsageError if shapes or distributions are wrong.
    """
    check_shapes(transition=transition, policy=policy, reference=reference, initial=initial)
    world = {"transition": transition, "policy": policy, "reference": reference, "initial": initial}
    return float(_divergence(*(jnp.asarray(distribution(array, name)) for name, array in world.items())))


@double
def value_range(
    transition: Float[np.ndarray, "S A S"] | Float[Array, "S A S"],
    reward: Float[np.ndarray, "S A"] | Float[Array, "S A"],
    policy: Float[np.ndarray, "H S A"] | Float[Array, "H S A"],
    initial: Float[np.ndarray, " S"] | Float[Array, " S"],
) -> tuple[float, float]:
    """Return the least and the largest expected return of policies that keep to the actions of `policy`.

    Raises UsageError if shapes or distributions are wrong.
    """
    moves, paid, chance, start = checked(transition, reward, policy, initial)
    low, high = (_extreme(moves, sign * paid, chance > 0) for sign in (-1.0, 1.0))
    return float(start @ (0.0 - low)), float(start @ high)


World = tuple[Array, Array, Array, Array]
_Scalar = float | Array


def checked(
    transition: Float[np.ndarray, "S A S"] | Float[Array, "S A S"],
    reward: Float[np.ndarray, "S A"] | Float[Array, "S A"],
    policy: Float[np.ndarray, "H S A"] | Float[Array, "H S A"],
    initial: Float[np.ndarray, " S"] | Float[Array, " S"],
) -> World:
    """Return a world in float64. Raises UsageError if shapes or distributions are wrong, or rewards not finite."""
    check_shapes(transition=transition, reward=reward, policy=policy, initial=initial)
    if not np.all(np.isfinite(reward)):
        raise UsageError("`reward` has entries that are not finite")
    return (
        jnp.asarray(distribution(transition, "transition")),
        jnp.asarray(reward, dtype=float),
        jnp.asarray(distribution(policy, "policy")),
        jnp.asarray(distribution(initial, "initial")),
    )


def check_shapes(**tables: np.ndarray | Array) -> None:
    """Raise UsageError for what would otherwise be broadcast: a policy (S,A) for steps, a reward (S,1) for actions."""
    sizes: dict[str, int] = {}
    for name, table in tables.items():
        axes, shape, known = _AXES[name], np.shape(table), [f"{axis} = {size}" for axis, size in sizes.items()]
        same = (sizes.setdefault(axis, size) == size for axis, size in zip(axes, shape, strict=False))
        if len(shape) != len(axes) or not all(same):
            wanted = " with ".join(["(" + ",".join(axes) + ")"] + [", ".join(known)] * bool(known))
            raise UsageError(f"`{name}` has shape {shape}, not {wanted}")


def _multiplier(world: World, target: float, close: float) -> Array:
    """Find the multiplier between doubled bounds: at the end of the range only the limit reaches the target."""
    sign = 1.0 if target > float(_value(*world)) else -1.0
    bound = sign
    for _ in range(_DOUBLINGS):
        reached = float(_value(world[0], world[1], _soft(*world, bound), world[3]))
        if sign * (reached - target) >= -close:
            break
        bound *= 2
    return _bisect(world, min(0.0, bound), max(0.0, bound), target)


@jax.jit
def _bisect(world: World, low: _Scalar, high: _Scalar, target: _Scalar) -> Array:
    def halve(_: int | Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (ends[0] + ends[1]) / 2
        less = _value(world[0], world[1], _soft(*world, middle), world[3]) < target
        return jnp.where(less, middle, ends[0]), jnp.where(less, ends[1], middle)

    ends = jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.asarray(low), jnp.asarray(high)))
    return (ends[0] + ends[1]) / 2


@jax.jit
def _soft(transition: Array, reward: Array, policy: Array, initial: Array, multiplier: _Scalar) -> Array:
    del initial

    def back(after: Array, step: Array) -> tuple[Array, Array]:
        quality = jnp.where(step > 0, jnp.log(jnp.where(step > 0, step, 1.0)), -jnp.inf)
        quality = quality + multiplier * reward + transition @ after
        soft = jax.nn.logsumexp(quality, axis=1)
        return soft, jnp.exp(quality - soft[:, None])

    return jax.lax.scan(back, jnp.zeros(len(reward)), policy, reverse=True)[1]


@jax.jit
def _value(transition: Array, reward: Array, policy: Array, initial: Array) -> Array:
    return _expected(transition, jnp.broadcast_to(reward, policy.shape), policy, initial)


@jax.jit
def _divergence(transition: Array, policy: Array, reference: Array, initial: Array) -> Array:
    cost = jnp.where(policy > 0, jnp.log(jnp.where(policy > 0, policy, 1.0)) - jnp.log(reference), 0.0)
    return _expected(transition, cost, policy, initial)


def _expected(transition: Array, cost: Array, policy: Array, initial: Array) -> Array:
    """Sum a cost (H,S,A) over the states and actions that a policy meets: backwards, one step at a time."""

    def back(after: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
        chance, paid = step
        return (chance * (paid + transition @ after)).sum(axis=1), None

    return initial @ jax.lax.scan(back, jnp.zeros(len(initial)), (policy, cost), reverse=True)[0]


@jax.jit
def _extreme(transition: Array, reward: Array, possible: Array) -> Array:
    def back(after: Array, may: Array) -> tuple[Array, None]:
        return jnp.where(may, reward + transition @ after, -jnp.inf).max(axis=1), None

    return jax.lax.scan(back, jnp.zeros(len(reward)), possible, reverse=True)[0]
