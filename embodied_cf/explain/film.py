"""Frames of one episode of a gymnasium environment, for people to look at."""

import os
from collections.abc import Callable, Container
from functools import partial

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from embodied_cf.datasets.film import data_uri, spread_steps
from embodied_cf.errors import UsageError
from embodied_cf.explain.lanes import RestingEnvs
from embodied_cf.explain.rollout import play

FRAMES = 7
_WIDTH = 220
Film = list[tuple[int, str]]
"""(step, data URI) of frames; that of step t is before action t."""


class Filmed(gym.Wrapper):
    """Keep the frames before the wanted actions, and the last one; all of them if nothing is said."""

    def __init__(self, env: gym.Env, wanted: Container[int] | None = None) -> None:
        super().__init__(env)
        self.wanted = wanted
        self.frames: dict[int, UInt8[np.ndarray, "h w 3"]] = {}

    def reset(self, **kwargs: object) -> tuple:
        """Begin an episode, and another film."""
        begun = self.env.reset(**kwargs)  # type: ignore[arg-type]
        self.frames, self._at = {}, 0
        self._keep(last=False)
        return begun

    def step(self, action: object) -> tuple:
        """Step, and look."""
        *seen, terminated, truncated, info = self.env.step(action)
        self._at += 1
        self._keep(last=terminated or truncated)
        return *seen, terminated, truncated, info

    def _keep(self, last: bool) -> None:
        if last or self.wanted is None or self._at in self.wanted:
            self.frames[self._at] = np.asarray(self.env.render())


def drawn(make: Callable[..., gym.Env]) -> gym.Env | None:
    """Return an environment that renders frames; None if it cannot here, such as without pygame."""
    if not any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # else SDL complains of the window that nobody asked for
    try:
        env = make(render_mode="rgb_array")
        env.reset(seed=0)
        frame = np.asarray(env.render())
    except (gym.error.Error, ImportError, NotImplementedError, TypeError, UsageError):
        return None
    return env if frame.dtype == np.uint8 and frame.ndim == 3 else None


def shown(frames: dict[int, UInt8[np.ndarray, "h w 3"]]) -> Film:
    """Return frames as pictures of a page."""
    return [(at, data_uri(frame, round(_WIDTH * frame.shape[0] / frame.shape[1]))) for at, frame in frames.items()]


def typical_start(env: str, expected: list[tuple[nn.Module, float]], seed: int) -> int:
    """Return the seed, of eight, from which each policy's return is nearest to what is expected of it."""

    def surprise(start: int) -> float:
        make = partial(gym.make, env)
        played = [play(policy, RestingEnvs(make, 1), np.random.default_rng(start)) for policy, _ in expected]
        return sum(abs(float(it.reward.sum()) - mean) for it, (_, mean) in zip(played, expected, strict=True))

    return min(range(8 * seed, 8 * seed + 8), key=surprise)


def film(env: str, policy: nn.Module, seed: int) -> tuple[Film, float]:
    """Return frames spread over an episode from `seed`, and its return.

    Both policies get the same seed: the same start, and the same numbers where they draw actions. No frames if the
    environment cannot be drawn.
    """
    bare = drawn(partial(gym.make, env))
    if bare is None:
        return [], float("nan")
    filmed = Filmed(bare)
    episode = play(policy, RestingEnvs(lambda: filmed, 1), np.random.default_rng(seed))
    picked = spread_steps(len(filmed.frames), FRAMES)
    filmed.close()
    return shown({at: filmed.frames[at] for at in picked}), float(torch.sum(episode.reward))
