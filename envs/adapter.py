"""Any gymnasium environment that shows an image and says an instruction, in the form of our own.

>>> env = adapt("BabyAI-GoToLocal-v0", Wiring(instruction="mission"))  # doctest: +SKIP
>>> observation, info = env.reset(seed=0)  # doctest: +SKIP
>>> observation["instruction"], info["success"]  # doctest: +SKIP
('go to the purple box', False)
"""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float64

from embodied_cf.errors import UsageError

SuccessRule = Callable[[float, bool, Mapping[str, Any]], bool]
"""(reward, terminated, info) of a step to whether the episode has succeeded with it."""
MAX_TEXT = 512
_FAR = 1e6
"""Bound of poses, m; gymnasium's checker frowns on infinite ones."""


def rewarded(reward: float, terminated: bool, info: Mapping[str, Any]) -> bool:
    """The episode ended with a positive reward: so do BabyAI, MiniGrid and MiniWorld pay success."""
    return terminated and reward > 0


def flagged(reward: float, terminated: bool, info: Mapping[str, Any]) -> bool:
    """The environment says so itself, under `success` or `is_success`."""
    return bool(info.get("success", info.get("is_success", False)))


@dataclass(frozen=True)
class Wiring:
    """Where in a foreign environment things are. Paths into the observation join keys by "/", "" is all of it."""

    image: str = "image"
    """An RGB image, (h, w, 3) uint8."""
    instruction: str = "instruction"
    success: SuccessRule = rewarded
    pose: Callable[[gymnasium.Env], Float64[np.ndarray, " 3"]] | None = None
    """Reads x, y, yaw off the unwrapped environment; then the observation has a `pose` as well."""


class AdaptedEnv(gymnasium.Env):
    """Observation Dict(image, instruction and, if wired, pose); `info` has `success` and `instruction` as well.

    Actions are the environment's own. Raises UsageError if the wiring names nothing or no image, and for an action
    of the wrong shape or kind.
    """

    def __init__(self, env: gymnasium.Env, wiring: Wiring) -> None:
        self.inner, self.wiring = env, wiring
        self.metadata, self.render_mode = env.metadata, env.render_mode
        self.action_space = env.action_space
        self._check_image()
        _entry(env.observation_space, wiring.instruction)
        parts: dict[str, spaces.Space] = {"image": _entry(env.observation_space, wiring.image)}
        if wiring.pose is not None:
            parts["pose"] = spaces.Box(-_FAR, _FAR, (3,), np.float32)
        # the default charset has no space between words
        parts["instruction"] = spaces.Text(MAX_TEXT, min_length=0, charset=string.printable)
        self.observation_space = spaces.Dict(parts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Begin an episode."""
        super().reset(seed=seed)
        observation, info = self.inner.reset(seed=seed, options=options)
        adapted = self._adapted(observation)
        return adapted, {**info, "success": False, "instruction": adapted["instruction"]}

    def step(self, action: Any) -> tuple[dict, float, bool, bool, dict]:
        """Take the environment's own action."""
        result = self.inner.step(checked_action(self.action_space, action))
        observation, reward, terminated, truncated, info = result
        adapted, pay = self._adapted(observation), float(reward)
        success = self.wiring.success(pay, terminated, info)
        return adapted, pay, terminated, truncated, {**info, "success": success, "instruction": adapted["instruction"]}

    def render(self) -> Any:
        """Return what the environment renders."""
        return self.inner.render()

    def close(self) -> None:
        """Close the environment."""
        self.inner.close()

    def _check_image(self) -> None:
        space = _entry(self.inner.observation_space, self.wiring.image)
        if not (isinstance(space, spaces.Box) and space.dtype == np.uint8 and space.shape[2:] == (3,)):
            raise UsageError(
                f"the observation's {self.wiring.image!r} is {space}, no (h, w, 3) uint8 image",
                remedy="Name the image in Wiring(image=...), or wrap the environment so that it shows one.",
            )

    def _adapted(self, observation: Any) -> dict[str, Any]:
        parts: dict[str, Any] = {"image": _value(observation, self.wiring.image)}
        if self.wiring.pose is not None:
            parts["pose"] = np.asarray(self.wiring.pose(self.inner.unwrapped), np.float32)
        return parts | {"instruction": str(_value(observation, self.wiring.instruction))}


def adapt(env: str | gymnasium.Env, wiring: Wiring, **options: Any) -> AdaptedEnv:
    """Return an environment, or the one that gymnasium makes of an id and options, in our form.

    Raises UsageError for an id that is not registered.
    """
    return AdaptedEnv(made(env, **options) if isinstance(env, str) else env, wiring)


def made(env_id: str, **options: Any) -> gymnasium.Env:
    """Return `gymnasium.make(env_id)`. Raises UsageError for an id that is none, or lacks what it needs."""
    try:
        return gymnasium.make(env_id, **options)
    except (gymnasium.error.Error, ImportError) as error:
        raise UsageError(
            f"no environment {env_id!r} ({error})",
            remedy="Check the id and its extra, and import the package that registers it first.",
        ) from error


def checked_action(space: spaces.Space, action: Any) -> Any:
    """Return an action, or raise UsageError: it has another shape than the space, is not finite, or no choice."""
    if isinstance(space, spaces.Box):
        if np.shape(action) != space.shape:
            raise UsageError(f"an action of shape {np.shape(action)} where {space.shape} belongs")
        if not np.isfinite(action).all():
            raise UsageError(f"an action that is not finite: {np.asarray(action).tolist()}")
    elif not space.contains(action):
        raise UsageError(f"action {action!r} is none of {space}")
    return action


def _entry(space: spaces.Space, path: str) -> spaces.Space:
    for key in _keys(path):
        if not isinstance(space, spaces.Dict) or key not in space.spaces:
            names = ", ".join(space.spaces) if isinstance(space, spaces.Dict) else str(space)
            raise UsageError(f"the observation has no {path!r}", remedy=f"It has: {names}. Correct the wiring.")
        space = space[key]
    return space


def _value(observation: Any, path: str) -> Any:
    for key in _keys(path):
        observation = observation[key]
    return observation


def _keys(path: str) -> list[str]:
    return path.split("/") if path else []
