"""Who draws and who moves the world in which a policy is evaluated."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from embodied_cf.envs.episodes import Episodes, drive, settle
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.state import Noise
from embodied_cf.envs.tasks import Task

BackendName = Literal["raycast", "mujoco"]


@dataclass(frozen=True)
class Backend:
    """What B episodes look like, and how they go on for one control period under actions and whole episodes' noise."""

    see: Callable[[Episodes, Int64[np.ndarray, " r"], Camera], UInt8[np.ndarray, "r h w 3"]]
    """Of the chosen ones."""
    move: Callable[[Episodes, Float64[np.ndarray, "b 2"], Noise], Episodes]


def _raycast(now: Episodes, rows: Int64[np.ndarray, " r"], camera: Camera) -> UInt8[np.ndarray, "r h w 3"]:
    return render(now.worlds.take(rows), now.state.take(rows), camera).rgb


RAYCAST = Backend(_raycast, drive)
"""Our own renderer and kinematic drive, in which policies learn."""


@contextmanager
def backend_of(name: BackendName, tasks: Sequence[Task]) -> Iterator[Backend]:
    """Give the backend of these tasks, which only they may use.

    `mujoco`: the same scenes with physics and MuJoCo's pictures; raises MissingLibraryError where it or OpenGL is
    absent.
    """
    if name == "raycast":
        yield RAYCAST
        return
    from embodied_cf.envs.physics.fleet import Fleet

    with closing(Fleet()) as fleet:
        fleet.place(range(len(tasks)), [task.scene for task in tasks])
        yield Backend(
            lambda now, rows, camera: fleet.see(camera, rows.tolist()),
            lambda now, action, noise: settle(now, fleet.move(now, action, noise)),
        )
