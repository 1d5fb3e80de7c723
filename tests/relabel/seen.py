"""Episodes in which things stand at known places, and a captioner says exactly what a pinhole camera shows."""

import cv2
import numpy as np

from embodied_cf.datasets.contract import EncodedImages, Episode
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.spec import CameraModel
from embodied_cf.language.meaning import NavMeaning
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.segments import Segments
from embodied_cf.relabel.profile import Profile
from embodied_cf.relabel.stages import Context
from embodied_cf.vlm.captions import Captions, SeenObject

CAMERA = CameraModel(horizontal_fov_deg=90.0, height_m=0.6)
SCALE = MotionScale(step=0.17, turn=0.9)
NAV = load_embodiment("nav")
PROFILE = Profile(SCALE, np.zeros(1), np.ones(1), 1)
SIZE, FOCAL = 64, 32.0


def straight(steps=10, step=0.0):
    """A track along +x; by default the robot stands."""
    return np.stack([step * np.arange(float(steps)), np.zeros(steps), np.zeros(steps)], axis=1)


def box_of(place, pose):
    """The box of a circle (x, y, radius) from a pose: its foot at the near side; None where it is out of the frame."""
    x, y, radius = place
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    ahead = cos * (x - pose[0]) + sin * (y - pose[1])
    left = cos * (y - pose[1]) - sin * (x - pose[0])
    away = np.hypot(ahead, left)
    if away <= radius:
        return None
    near = np.array([ahead, left]) * (1 - radius / away)
    if near[0] <= 0.61:
        return None
    middle, foot = SIZE / 2 - FOCAL * near[1] / near[0], SIZE / 2 + FOCAL * 0.6 / near[0]
    half = FOCAL * radius / away / (near[0] / np.hypot(*near))
    if middle - half < 1.5 or middle + half > SIZE - 1.5:
        return None
    return (middle - half, foot - 12.0, middle + half, foot)


def context_of(things, track=None, floor=None):
    """The context of an episode in which `things` (name -> (x, y, radius)) are seen."""
    track = straight() if track is None else track
    frame = bytes(cv2.imencode(".png", np.zeros((SIZE, SIZE, 3), np.uint8))[1])
    steps = len(track)
    objects = [
        SeenObject(step, name, box)
        for step in range(steps) for name, place in things.items() if (box := box_of(place, track[step]))
    ]  # fmt: skip
    episode = Episode("set/0/0/0/0", {"primary": EncodedImages([frame] * steps)}, np.zeros((steps, 0)),
                      np.zeros((steps, 2)), np.ones(steps, bool), np.arange(steps) * 0.25, pose=track)  # fmt: skip
    segments = Segments(np.array([0]), np.array([steps - 1]), ("stop",), ("",))
    captions = Captions(objects=tuple(objects), floor=floor)
    return Context(episode, track, segments, captions, NAV, NavMeaning(SCALE), CAMERA)
