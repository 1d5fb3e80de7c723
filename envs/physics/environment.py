"""`EmbodiedCF/Rooms-MuJoCo-v0`: the navigation environment with MuJoCo's physics and pictures in place of our own.

Tasks, observation, action, info and options are those of `envs.navigation`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from embodied_cf.envs.episodes import Episodes, settle
from embodied_cf.envs.navigation import NavigationEnv, NavigationVectorEnv
from embodied_cf.envs.physics.fleet import Fleet
from embodied_cf.envs.rendering.render import Camera


class PhysicalVectorEnv(NavigationVectorEnv):
    """B environments, one after the other. Raises MissingLibraryError where MuJoCo or OpenGL is absent."""

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **setting: Any) -> None:
        super().__init__(num_envs, render_mode, **setting)
        self.fleet = Fleet()
        """The physics of each environment."""

    def close_extras(self, **kwargs: Any) -> None:
        """Free the cameras."""
        self.fleet.close()

    def _start(self, rows: Sequence[int]) -> Episodes:
        episodes = super()._start(rows)
        self.fleet.place(rows, [self.tasks[row].scene for row in rows])
        return episodes

    def _move(self, now: Episodes, action: Float64[np.ndarray, "b 2"]) -> Episodes:
        return settle(now, self.fleet.move(now, action, self._noise), self.setting.collision_fails)

    def _see(self, camera: Camera) -> UInt8[np.ndarray, "b h w 3"]:
        return self.fleet.see(camera)


class PhysicalEnv(NavigationEnv):
    """One environment of the kind; same keywords."""

    kind = PhysicalVectorEnv
