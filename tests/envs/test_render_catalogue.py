import dataclasses
import itertools
import math

import numpy as np
import pytest
import scenes

from embodied_cf.envs.rendering.catalogue import BOX, PARTS
from embodied_cf.envs.rendering.catalogue_people import BODY, wardrobe
from embodied_cf.envs.rendering.gallery import object_colours, object_sides, people_walking, sheet
from embodied_cf.envs.rendering.render import FIRST_OBJECT, Camera, render
from embodied_cf.envs.scene import COLOUR_RGB, RADIUS_M, stack
from embodied_cf.envs.state import PERSON_RADIUS_M, initial_state
from embodied_cf.language.instruction import COLOURS, KINDS

SIDES = [math.pi + side * math.pi / 4 for side in range(8)]


def views(kind, colour, size=64, distance=2.0):
    """The object from 8 sides: pictures and masks."""
    room = scenes.room([(kind, colour, distance, 0.0)])
    made = [dataclasses.replace(room, yaw=np.array([yaw])) for yaw in SIDES]
    frames = render(stack(made), initial_state(made), Camera(size, size))
    return frames.rgb, frames.segmentation == FIRST_OBJECT


def corners(part):
    """Points of a part that are furthest from the axis of the object."""
    if part.shape == BOX:
        return [(part.x + i * part.a, part.y + j * part.b) for i in (-1, 1) for j in (-1, 1)]
    out = 1 + max(part.a, part.b) / max(math.hypot(part.x, part.y), 1e-9)
    return [(part.x * out, part.y * out)] if math.hypot(part.x, part.y) > 1e-9 else [(max(part.a, part.b), 0.0)]


@pytest.mark.parametrize("kind", KINDS)
def test_objects_stay_within_their_radius_and_are_large_enough(kind):
    robot_high = [part for part in PARTS[kind] if kind != "tree" or part.low < 0.8]
    assert max(math.hypot(*corner) for part in robot_high for corner in corners(part)) <= RADIUS_M[kind] + 1e-9
    span = [
        max(corner[axis] for part in PARTS[kind] for corner in corners(part))
        - min(corner[axis] for part in PARTS[kind] for corner in corners(part))
        for axis in (0, 1)
    ]
    assert max(*span, max(part.high for part in PARTS[kind])) >= 0.6
    assert min(part.low for part in PARTS[kind]) == 0.0


def test_people_fit_their_radius_while_they_stand():
    assert max(math.hypot(*corner) for part in BODY for corner in corners(part)) <= PERSON_RADIUS_M + 0.06


@pytest.mark.parametrize("kind", KINDS)
def test_most_of_what_is_seen_has_the_named_colour(kind):
    for colour in COLOURS:
        rgb, mask = views(kind, colour)
        own = np.array(COLOUR_RGB[colour], np.float64)
        seen = rgb[mask].astype(np.float64)
        # a shaded pixel is a multiple of the colour; grey ones tell black from white by their brightness
        share = seen @ own / (own @ own)
        off = np.linalg.norm(seen - share[:, None] * own, axis=1) / np.linalg.norm(own)
        bright = {"white": share > 0.4, "black": share < 1.6}.get(colour, share > 0.2)
        assert ((off < 0.12) & bright).mean() > 0.5, colour


def test_kinds_look_different_from_one_another_from_every_side():
    masks = {kind: views(kind, "red")[1] for kind in KINDS}
    for one, other in itertools.combinations(KINDS, 2):
        for a, b in itertools.product(masks[one][:3], masks[other][:3]):
            assert (a & b).sum() / (a | b).sum() < 0.88, (one, other)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cone"])
def test_objects_look_different_from_their_front_than_from_behind_or_beside(kind):
    rgb, _ = views(kind, "red", size=96)
    front, beside, behind = (rgb[side].astype(int) for side in (0, 2, 4))
    changed = [(np.abs(front - other).max(axis=-1) > 12).sum() for other in (beside, behind)]
    assert max(changed) >= 12


def test_a_scaled_object_is_larger_and_a_far_one_smaller():
    room = dataclasses.replace(scenes.room([("ball", "red", 2.0, 0.0)]), scale=np.array([1.5]))
    frames = render(stack([room]), initial_state([room]), Camera(64, 64))
    large = (frames.segmentation == FIRST_OBJECT).sum()
    usual, far = (views("ball", "red", distance=d)[1][0].sum() for d in (2.0, 4.0))
    assert large / usual == pytest.approx(2.25, rel=0.25)
    assert usual / far == pytest.approx(4.0, rel=0.3)


def test_neighbouring_looks_differ_in_clothes():
    rgb = wardrobe().rgb
    assert (np.abs(rgb[1:] - rgb[:-1]).max(axis=(1, 2)) > 20).all()
    assert set(wardrobe().bag.tolist()) == {0, 1}


def test_the_gallery_shows_every_kind_in_every_colour_and_walking_people():
    assert object_sides(16).shape == (10 * 18, 8 * 18, 3)
    assert object_colours(16).shape == (10 * 18, 8 * 18, 3)
    assert people_walking(16).shape == (6 * 18, 8 * 18, 3)
    frames = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1).repeat(3, axis=3)
    assert sheet(frames, 2)[::3, ::3, 0].tolist() == [[0, 1], [2, 3]]
