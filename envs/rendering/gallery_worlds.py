"""Pictures of whole scenes for the gallery: the three worlds, a map with the expert's way, people about, a table."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from embodied_cf.envs.driving.expert import Expert
from embodied_cf.envs.layouts.scenes import WORLDS
from embodied_cf.envs.motion.branch import branch
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.rendering.topdown import draw_map
from embodied_cf.envs.scene import stack
from embodied_cf.envs.state import draw_noise, initial_state
from embodied_cf.envs.tasks import Task, make_task

Picture = UInt8[np.ndarray, "h w 3"]
_WHITE = 255
_SHOWN_STEPS = 6
"""Frames of a film strip."""


def worlds(size: int, columns: int = 6) -> Picture:
    """Return what the robot sees where tasks begin, one world a row."""
    rows = []
    for world in WORLDS:
        scenes = [make_task(world, "object", "train", seed).scene for seed in range(columns)]
        rows.append(beside(render(stack(scenes), initial_state(scenes), Camera(size, size)).rgb))
    return np.concatenate(rows)


def maps(size: int) -> Picture:
    """Return one scene of each world from above, with the expert's way from its start."""
    tasks = [make_task(world, "chained", "train", 3) for world in WORLDS]
    return beside([_captioned(draw_map(task.scene, size, [_drive(task)[0]]), task.text) for task in tasks])


def social(size: int) -> Picture:
    """Return a drive among people: the map with everybody's ways, and frames on the way."""
    task = make_task("courtyard", "object", "train", 5, people=(5, 6))
    path, frames, people = _drive(task, size)
    count = len(task.scene.person)
    ways = [path, *(people[:, row, :2] for row in range(count))]
    above = _captioned(draw_map(task.scene, 2 * size, ways), task.text)
    half = (_SHOWN_STEPS + 1) // 2
    film = np.concatenate([beside(frames[:half]), beside(frames[half:])])
    return beside([above, np.pad(film, ((0, len(above) - len(film)), (0, 0), (0, 0)), constant_values=_WHITE)])


def table(size: int, columns: int = 4) -> Picture:
    """Return tables with their instructions. Raises MissingLibraryError without MuJoCo or OpenGL."""
    from embodied_cf.envs.tabletop.environment import TabletopEnv

    env = TabletopEnv(size=size)
    seen = [env.reset(seed=seed)[0] for seed in range(columns)]
    env.close()
    return beside([_captioned(view["image"], view["instruction"]) for view in seen])


def _drive(task: Task, size: int = 64) -> tuple[np.ndarray, list[Picture], np.ndarray]:
    """Let the expert carry a task out: its path (t, 3), some frames on the way, and the people (t, p, 4)."""
    state, worlds_of = initial_state([task.scene]), stack([task.scene])
    noise, expert = draw_noise([task.seed], 360), Expert.by([task.scene], [task.instruction], [task.routes])
    states = [state]
    for at in range(360):
        if expert.progress.tracker.done[0]:
            break
        state = branch(worlds_of, state, expert.act(state)[:, None], noise.at(at)).state(1)
        states.append(state)
    shown = [states[index] for index in np.linspace(0, len(states) - 1, _SHOWN_STEPS).astype(int)]
    frames = [render(worlds_of, each, Camera(size, size)).rgb[0] for each in shown]
    return np.stack([each.pose[0] for each in states]), frames, np.stack([each.person[0] for each in states])


def beside(pictures: Sequence[Picture] | UInt8[np.ndarray, "n h w 3"]) -> Picture:
    """Return pictures of one height side by side, two white pixels apart."""
    return np.concatenate([np.pad(each, ((0, 2), (0, 2), (0, 0)), constant_values=_WHITE) for each in pictures], axis=1)


def _captioned(picture: Picture, text: str) -> Picture:
    """Return the picture with a text below it, broken into lines that fit."""
    lines: list[str] = []
    width, line = picture.shape[1], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if cv2.getTextSize(longer, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0] > width - 8:
            lines, longer = [*lines, line], word
        line = longer
    strip = np.full((8 + 16 * 3, width, 3), _WHITE, np.uint8)
    for row, words in enumerate([*lines, line][:3]):
        cv2.putText(strip, words, (4, 16 + 16 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 44), 1, cv2.LINE_AA)
    return np.concatenate([picture, strip])
