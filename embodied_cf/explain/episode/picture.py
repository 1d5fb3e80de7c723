"""An explanation of an episode as a picture: the map with what happened and what would have, and what the robot saw."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from embodied_cf.datasets.files import atomic_path
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.rendering.topdown import draw_map
from embodied_cf.envs.state import State
from embodied_cf.explain.episode.explanation import EpisodeExplanation

SIZE = 448
_INK, _GAP = (30, 30, 34), 6


def map_picture(told: EpisodeExplanation, size: int = SIZE) -> UInt8[np.ndarray, "h w 3"]:
    """Return the map at the decisive moment (else the end): blue what happened, orange what would have, with the
    correction."""
    recording, found = told.recording, told.attribution.decisive
    paths = [recording.trail.pose]
    moment = recording.decisions
    if found is not None and told.corrected is not None:
        moment = found.decision
        paths.append(told.corrected.pose[0])
    return draw_map(recording.task.scene, size, paths, recording.moments.state.take([moment]))


def second_best_picture(told: EpisodeExplanation, row: int, size: int = SIZE) -> UInt8[np.ndarray, "h w 3"]:
    """Return the map with the real way and the one after a second-best action."""
    assert told.second_branches is not None
    recording, decision = told.recording, int(told.second.decision[row])
    paths = [recording.trail.pose, told.second_branches.pose[row]]
    return draw_map(recording.task.scene, size, paths, recording.moments.state.take([decision]))


def view(told: EpisodeExplanation, state: State, size: int = SIZE) -> UInt8[np.ndarray, "h w 3"]:
    """Return what the robot sees in a state."""
    return render(told.recording.moments.worlds.take([0]), state, Camera(size, size)).rgb[0]


def picture(told: EpisodeExplanation) -> UInt8[np.ndarray, "h w 3"]:
    """Return map, what the robot saw at the decisive moment, and how it ended in fact and with the correction."""
    recording, found = told.recording, told.attribution.decisive
    panels = [("what happened (blue), corrected (orange)", map_picture(told))]
    if found is not None:
        at = recording.moments.state.take([found.decision])
        panels.append((f"decision {found.decision}: what it saw", view(told, at)))
    panels.append(("how it ended", view(told, recording.moments.state.take([recording.decisions]))))
    if told.corrected is not None:
        panels.append(("how it ends corrected", view(told, told.corrected.final.state)))
    return np.concatenate([_captioned(image, text) for text, image in panels], axis=1)


def _captioned(image: UInt8[np.ndarray, "h w 3"], text: str) -> UInt8[np.ndarray, "h2 w2 3"]:
    strip = np.full((28, image.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, text, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return np.pad(np.concatenate([strip, image]), ((0, 0), (0, _GAP), (0, 0)), constant_values=255)


def write_picture(told: EpisodeExplanation, path: Path) -> None:
    """Write the picture as PNG."""
    encoded = cv2.imencode(".png", cv2.cvtColor(picture(told), cv2.COLOR_RGB2BGR))[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
