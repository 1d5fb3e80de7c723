"""What a policy does at one step of an environment, and the few actions that are tried instead."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import EnumMeta
from itertools import groupby, product
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Float64

from embodied_cf.explain.errors import ReplayError

Action: TypeAlias = int | tuple[float, ...]
"""One of the actions 0 to A - 1, or the coordinates of a point of a box."""
_GRID = 2
"""Coordinates up to which every combination of their least, middle and greatest value is tried."""
_TOLD = 3
"""Actions in turn that are told of."""


@dataclass(frozen=True)
class Listed:
    """The actions 0 to A - 1."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, actions: int) -> "Listed":
        """Return so many actions that have no names."""
        return cls(tuple(f"action {at}" for at in range(actions)))

    def read(self, given: Any) -> int:
        """Return what a policy does. Raises ReplayError if that is none of the actions."""
        value, actions = _numbers(given), len(self.names)
        if value.size != 1 or value.dtype.kind not in "iu" or not 0 <= value.item() < actions:
            raise ReplayError(f"the policy returns {given!r}, which is none of the actions 0 to {actions - 1}",
                              remedy="Return one of them, as an integer.")  # fmt: skip
        return int(value.item())

    def instead(self, choice: int, wanted: Action) -> Action:
        """Return the action of a choice."""
        return choice

    def sent(self, action: Action) -> Any:
        """Return an action as the environment takes it."""
        return action

    def told(self, actions: Sequence[Action]) -> str:
        """Return actions, one after the other, in words."""
        runs = [self.names[int(it)] for it, _ in groupby(actions)]  # type: ignore[arg-type]
        return " then ".join(runs[:_TOLD]) + (" and so on" if len(runs) > _TOLD else "")


@dataclass(frozen=True)
class Points:
    """Points of a box: least, middle and greatest values."""

    names: tuple[str, ...]
    points: Float64[np.ndarray, "a d"]
    """nan where a coordinate stays what the policy makes it."""
    space: Box

    @classmethod
    def of(cls, space: Box) -> "Points":
        """Return all combinations of one or two coordinates; of more the middle of all, and each by itself."""
        low, high = (np.asarray(it, np.float64).ravel() for it in (space.low, space.high))
        three = np.stack([low, low / 2 + high / 2, high], axis=1)
        if len(low) <= _GRID:
            points = np.array(list(product(*three)))
            return cls(tuple(_point(it) for it in points), points, space)
        alone = [(at, value) for at in range(len(low)) for value in (low[at], high[at])]
        points = np.full((1 + len(alone), len(low)), np.nan)
        points[0] = three[:, 1]
        for row, (at, value) in enumerate(alone, start=1):
            points[row, at] = value
        return cls(("all in the middle", *(f"action[{at}] = {value:g}" for at, value in alone)), points, space)

    def read(self, given: Any) -> tuple[float, ...]:
        """Return what a policy does, clipped to the box. Raises ReplayError if that is no point."""
        value = _numbers(given)
        fits = value.size == self.points.shape[1] and value.dtype.kind in "fiu"
        if not fits or not np.isfinite(value).all():
            raise ReplayError(f"the policy returns {given!r}, which is no action of {self.space}",
                              remedy="Return as many finite numbers.")  # fmt: skip
        within = np.clip(value.astype(np.float64).reshape(self.space.shape), self.space.low, self.space.high)
        return tuple(within.astype(self.space.dtype).ravel().tolist())

    def instead(self, choice: int, wanted: Action) -> Action:
        """Return the action of a choice; what it leaves alone is as wanted."""
        point = self.points[choice]
        return self.read(np.where(np.isnan(point), wanted, point))

    def sent(self, action: Action) -> Any:
        """Return an action as the environment takes it."""
        return np.array(action, self.space.dtype).reshape(self.space.shape)

    def told(self, actions: Sequence[Action]) -> str:
        """Return actions, one after the other, in words: their mean, if they differ."""
        return ("about " if len(set(actions)) > 1 else "") + _point(np.mean(actions, axis=0))


Choices: TypeAlias = Listed | Points


def choices_of(env: gymnasium.Env) -> Choices:
    """Return what can be tried in an environment. Raises ReplayError for actions that are neither few nor a box."""
    space = env.action_space
    if isinstance(space, Discrete) and space.start == 0 and space.n > 1:
        return _named(env, int(space.n))
    if isinstance(space, Box) and space.is_bounded() and space.dtype is not None and space.dtype.kind == "f":
        return Points.of(space)
    raise ReplayError(f"actions are {space}, and neither several from 0 on, to be tried one by one, nor a bounded Box",
                      remedy="Wrap the environment so that they are Discrete from 0, or a Box of floats.")  # fmt: skip


def choices_in(make_env: Callable[[], gymnasium.Env]) -> Choices:
    """Return what can be tried in an environment that is made for it, and closed again."""
    env = make_env()
    choices = choices_of(env)
    env.close()
    return choices


def _named(env: gymnasium.Env, actions: int) -> Listed:
    """Return actions with their names where the environment has an Enum of them, as minigrid does."""
    for asked in (env.unwrapped, getattr(env, "inner", env).unwrapped):
        listed = getattr(asked, "actions", None)
        members: Mapping[str, Any] = listed.__members__ if isinstance(listed, EnumMeta) else {}
        names = {it.value: name for name, it in members.items()}
        if set(names) == set(range(actions)):
            return Listed(tuple(names[at] for at in range(actions)))
    return Listed.of(actions)


def _numbers(given: Any) -> np.ndarray:
    """Return what a policy gives as an array; an empty one if it is none."""
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError):  # ragged, or a tensor with a gradient
        return np.zeros(0)


def _point(value: Float64[np.ndarray, " d"]) -> str:
    numbers = [f"{it:.3g}" for it in value.tolist()]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"
