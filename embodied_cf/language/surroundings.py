"""What words can refer to in a scene: things with names and places, walls, and where the robot starts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Surroundings:
    """One scene as language sees it; world frame, m and rad. Doors are things of kind "door"."""

    kind: tuple[str, ...]
    colour: tuple[str, ...]
    position: Float[np.ndarray, "n 2"]
    radius: Float[np.ndarray, " n"]
    """Of the circle around each thing's footprint, m."""
    walls: Float[np.ndarray, "w 4"]
    """Segments x0, y0, x1, y1."""
    start: Float[np.ndarray, " 3"]
    """Pose x, y, yaw where the episode begins."""
