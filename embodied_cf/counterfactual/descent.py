"""Penalised descent towards a return in a tabular world, by exact gradients: what COUNTERPOL does, without sampling.

Minimises (J - target)² + k KL_traj(pi, pivot) over logits. With the pivot held at the original policy the result lies
on the exact frontier, but off the target by k lambda / 2; a pivot that follows (COUNTERPOL, arXiv 2307.13192,
"KL-pivoting") reaches the target, but leaves the frontier: the change is larger than it need be.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embodied_cf.counterfactual.precision import double, number
from embodied_cf.counterfactual.tabular import _divergence, _value, checked


@dataclass(frozen=True)
class Descended:
    """Where a descent ended."""

    policy: Float[np.ndarray, "H S A"]
    value: float
    kl: float
    """Trajectory divergence from the policy at the start, in nats."""
    steps: int
    """Gradient steps taken; fewer than allowed if the return came within `delta` of the target."""


@double
def descend(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A"],
    logits: Float[np.ndarray, "H S A"],
    initial: Float[np.ndarray, " S"],
    target: float,
    *,
    proximity: float,
    pivot_every: int | None,
    steps: int,
    delta: float,
    rate: float = 0.2,
) -> Descended:
    """Descend from `logits`; `proximity` is k, and the pivot moves after every `pivot_every` steps (None: never).

    Raises UsageError if shapes or distributions are wrong, or numbers not finite.
    """
    moves, paid, start, first = checked(transition, reward, np.array(jax.nn.softmax(jnp.asarray(logits))), initial)
    world, every = (moves, paid, first), steps if pivot_every is None else pivot_every
    numbers = number(target, "target"), number(proximity, "proximity")
    end, taken = _run(*world, jnp.asarray(logits), *numbers, every, steps, delta, rate)
    policy = jax.nn.softmax(end)
    return Descended(
        policy=np.array(policy),
        value=float(_value(world[0], world[1], policy, world[2])),
        kl=float(_divergence(world[0], policy, start, world[2])),
        steps=int(taken),
    )


@double
def divergence_gradient(
    transition: Float[np.ndarray, "S A S"],
    logits: Float[np.ndarray, "H S A"],
    pivot: Float[np.ndarray, "H S A"],
    initial: Float[np.ndarray, " S"],
) -> Float[np.ndarray, "H S A"]:
    """Return the gradient of KL_traj(softmax(logits), pivot) with respect to the logits; zero at the pivot."""
    arrays = [jnp.asarray(array) for array in (logits, transition, pivot, initial)]
    slope = jax.grad(lambda x, p, ref, start: _divergence(p, jax.nn.softmax(x), ref, start))(*arrays)
    return np.array(slope)


@partial(jax.jit, static_argnames=("every", "steps"))
def _run(
    transition: Array,
    reward: Array,
    initial: Array,
    logits: Array,
    target: float | Array,
    proximity: float | Array,
    every: int,
    steps: int,
    delta: float | Array,
    rate: float | Array,
) -> tuple[Array, Array]:
    def objective(x: Array, pivot: Array) -> tuple[Array, Array]:
        policy = jax.nn.softmax(x)
        gap = _value(transition, reward, policy, initial) - target
        return gap**2 + proximity * _divergence(transition, policy, pivot, initial), gap

    def step(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        x, pivot, taken, _ = state
        gradient, gap = jax.grad(objective, has_aux=True)(x, pivot)
        found = jnp.abs(gap) < delta
        x = jnp.where(found, x, x - rate * gradient)
        taken = taken + ~found
        return x, jnp.where(taken % every == 0, jax.nn.softmax(x), pivot), taken, found

    def going(state: tuple[Array, Array, Array, Array]) -> Array:
        return ~state[3] & (state[2] < steps)

    start = (logits, jax.nn.softmax(logits), jnp.asarray(0), jnp.asarray(False))
    end, _, taken, _ = jax.lax.while_loop(going, step, start)
    return end, taken
