"""A recorded episode once more: its task, where everybody stood, and what the robot saw."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, UInt8

from embodied_cf.datasets.film import spread_steps
from embodied_cf.envs.motion.dynamics import step
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.scene import stack
from embodied_cf.envs.state import PERIOD_S, Noise, State, draw_noise, initial_state
from embodied_cf.envs.tasks import Task
from embodied_cf.errors import DatasetError
from embodied_cf.evaluate.record import Record
from embodied_cf.evaluate.suites import parse_suite
from embodied_cf.language.grammar import canonical

CAMERA = Camera(128, 128)

Path = Float64[np.ndarray, "t 3"]


def task_of(record: Record, people: tuple[int, int] = (0, 2)) -> Task:
    """Return the task of a record whose control left the scene as it is; `people` as it was evaluated with.

    Raises DatasetError if the worlds have changed since.
    """
    task = parse_suite("/".join(record.cell), people).cells[0].task(record.seed)
    start = record.path[0] if record.path else ()
    if canonical(task.instruction) != record.instruction or not np.allclose(start, task.scene.start, atol=1e-3):
        remedy = "Evaluate again, or give the numbers of people that were used."
        raise DatasetError(f"seed {record.seed} is another task now", where="/".join(record.cell), remedy=remedy)
    return task


def path_of(record: Record) -> Path:
    """Return the recorded poses x m, y m, yaw rad."""
    return np.array(record.path, np.float64)


def replay(task: Task, path: Path) -> Iterator[State]:
    """Yield the world of every step: the robot as recorded, people as they walk in its presence, with its chance.

    People see the robot go where it went in straight steps, so that they may be a few millimetres off.
    """
    worlds, state = stack([task.scene]), initial_state([task.scene])
    noise = draw_noise([task.seed], len(path))
    yield state
    for at in range(1, len(path)):
        ahead = path[at] - path[at - 1]
        action = np.array([[np.hypot(ahead[0], ahead[1]), ahead[2]]]) / PERIOD_S
        exact = Noise(np.zeros((1, 1, 2)), noise.at(at - 1).person)
        moved = step(worlds, state, action, exact)
        state = State(**{**vars(moved), "pose": path[at][None]})
        yield state


def film(task: Task, path: Path, frames: int, camera: Camera = CAMERA) -> list[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """Return up to `frames` steps, evenly spread from first to last, with what the robot saw there."""
    worlds, wanted = stack([task.scene]), set(spread_steps(len(path), frames))
    return [(at, render(worlds, state, camera).rgb[0]) for at, state in enumerate(replay(task, path)) if at in wanted]
