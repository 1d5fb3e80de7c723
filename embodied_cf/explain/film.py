"""Frames of one episode of a policy, for people to look at."""

import base64
from functools import partial

import cv2
import gymnasium as gym
import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from embodied_cf.explain.lanes import RestingEnvs
from embodied_cf.explain.rollout import play

FRAMES = 7
_WIDTH = 220


class _Filmed(gym.Wrapper):
    """Keep every frame that is shown."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.frames: list[np.ndarray] = []

    def step(self, action: object) -> tuple:
        self.frames.append(np.asarray(self.env.render()))
        return self.env.step(action)


def typical_start(env: str, expected: list[tuple[nn.Module, float]], seed: int) -> int:
    """Return the seed, of eight, from which each policy's return is nearest to what is expected of it."""

    def surprise(start: int) -> float:
        make = partial(gym.make, env)
        played = [play(policy, RestingEnvs(make, 1), np.random.default_rng(start)) for policy, _ in expected]
        return sum(abs(float(it.reward.sum()) - mean) for it, (_, mean) in zip(played, expected, strict=True))

    return min(range(8 * seed, 8 * seed + 8), key=surprise)


def film(env: str, policy: nn.Module, seed: int) -> tuple[list[tuple[int, str]], float]:
    """Return (step, data URI) of frames spread over an episode from `seed`, and its return.

    Both policies get the same seed: the same start, and the same numbers where they draw actions. No frames if the
    environment cannot be drawn here, such as without pygame.
    """
    try:
        shown = _Filmed(gym.make(env, render_mode="rgb_array"))
        episode = play(policy, RestingEnvs(lambda: shown, 1), np.random.default_rng(seed))
    except (gym.error.Error, ImportError, TypeError):
        return [], float("nan")
    picked = np.unique(np.linspace(0, len(shown.frames) - 1, FRAMES).round().astype(int)).tolist()
    shown.close()
    return [(at, _uri(shown.frames[at])) for at in picked], float(torch.sum(episode.reward))


def _uri(frame: UInt8[np.ndarray, "h w 3"]) -> str:
    size = (_WIDTH, round(_WIDTH * frame.shape[0] / frame.shape[1]))
    small = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    return "data:image/jpeg;base64," + base64.b64encode(cv2.imencode(".jpg", small)[1].tobytes()).decode()
