"""`EmbodiedCF/Rooms-MuJoCo-v0`: the navigation environment with MuJoCo's physics and pictures in place of our own.

Tasks, observation, action, info and options are those of `envs.navigation`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from embodied_cf.envs.episodes import Episodes, present, settle
from embodied_cf.envs.navigation import NavigationEnv, NavigationVectorEnv
from embodied_cf.envs.physics import library
from embodied_cf.envs.physics.dynamics import Room, RoomState
from embodied_cf.envs.physics.model import CAMERA, CAMERA_HEIGHT_M, HORIZONTAL_FOV_DEG
from embodied_cf.envs.rendering.render import Camera
from embodied_cf.envs.state import Noise
from embodied_cf.errors import UsageError


class PhysicalVectorEnv(NavigationVectorEnv):
    """B environments, one after the other. Raises MissingLibraryError where MuJoCo or OpenGL is absent."""

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **setting: Any) -> None:
        super().__init__(num_envs, render_mode, **setting)
        self.rooms: dict[int, Room] = {}
        """The physics of each environment."""
        self.states: dict[int, RoomState] = {}
        """Where each stands: `rooms[i].branch(states[i], actions, noise)` says what would happen."""
        self._eyes: dict[Camera, library.Camera] = {}

    def close_extras(self, **kwargs: Any) -> None:
        """Free the cameras."""
        for eye in self._eyes.values():
            eye.close()
        self._eyes.clear()

    def _start(self, rows: Sequence[int]) -> Episodes:
        episodes = super()._start(rows)
        for row in rows:
            self.rooms[row] = Room(self.tasks[row].scene)
            self.states[row] = self.rooms[row].initial
        return episodes

    def _move(self, now: Episodes, action: Float64[np.ndarray, "b 2"]) -> Episodes:
        state, noise = now.state, present(now, self._noise)
        for row in np.flatnonzero(~now.over).tolist():
            self.states[row] = self.rooms[row].step(
                self.states[row], action[[row]], Noise(noise.slip[[row]], noise.person[[row]])
            )
            state = state.replaced([row], self.states[row].world)
        return settle(now, state, self.setting.collision_fails)

    def _see(self, camera: Camera) -> UInt8[np.ndarray, "b h w 3"]:
        if (camera.horizontal_fov_deg, camera.height_m) != (HORIZONTAL_FOV_DEG, CAMERA_HEIGHT_M):
            raise UsageError(f"the model has no camera {camera}")
        if camera not in self._eyes:
            self._eyes[camera] = library.Camera(camera.width, camera.height)
        eye = self._eyes[camera]
        rooms = [(self.rooms[row], self.states[row]) for row in range(self.num_envs)]
        return np.stack([eye.rgb(room.model, room.scratch(state), CAMERA) for room, state in rooms])


class PhysicalEnv(NavigationEnv):
    """One environment of the kind; same keywords."""

    kind = PhysicalVectorEnv
