"""Many episodes in MuJoCo side by side, one model each: how they move on and what their robots see."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, UInt8

from embodied_cf.envs.episodes import Episodes, present
from embodied_cf.envs.physics import library
from embodied_cf.envs.physics.dynamics import Room, RoomState
from embodied_cf.envs.physics.model import CAMERA, CAMERA_HEIGHT_M, HORIZONTAL_FOV_DEG
from embodied_cf.envs.rendering.render import Camera
from embodied_cf.envs.scene import Scene
from embodied_cf.envs.state import Noise, State
from embodied_cf.errors import UsageError


class Fleet:
    """Rooms by number, and where each stands. Raises MissingLibraryError where MuJoCo or OpenGL is absent."""

    def __init__(self) -> None:
        self.rooms: dict[int, Room] = {}
        self.states: dict[int, RoomState] = {}
        """`rooms[i].branch(states[i], actions, noise)` says what would happen."""
        self._eyes: dict[Camera, library.Camera] = {}

    def place(self, rows: Sequence[int], scenes: Sequence[Scene]) -> None:
        """Begin rows anew in scenes."""
        for row, scene in zip(rows, scenes, strict=True):
            self.rooms[row] = Room(scene)
            self.states[row] = self.rooms[row].initial

    def move(self, now: Episodes, action: Float64[np.ndarray, "b 2"], noise: Noise) -> State:
        """Return the state one control period later of those that are not over. noise: of whole episodes."""
        state, slip = now.state, present(now, noise)
        for row in np.flatnonzero(~now.over).tolist():
            self.states[row] = self.rooms[row].step(
                self.states[row], action[[row]], Noise(slip.slip[[row]], slip.person[[row]])
            )
            state = state.replaced([row], self.states[row].world)
        return state

    def see(self, camera: Camera, rows: Sequence[int] | None = None) -> UInt8[np.ndarray, "b h w 3"]:
        """Return what these robots see, or all. Raises UsageError for a camera that the models do not have."""
        if (camera.horizontal_fov_deg, camera.height_m) != (HORIZONTAL_FOV_DEG, CAMERA_HEIGHT_M):
            raise UsageError(f"the model has no camera {camera}")
        if camera not in self._eyes:
            self._eyes[camera] = library.Camera(camera.width, camera.height)
        eye = self._eyes[camera]
        rooms = [(self.rooms[row], self.states[row]) for row in (sorted(self.rooms) if rows is None else rows)]
        return np.stack([eye.rgb(room.model, room.scratch(state), CAMERA) for room, state in rooms])

    def close(self) -> None:
        """Free the cameras."""
        for eye in self._eyes.values():
            eye.close()
        self._eyes.clear()
