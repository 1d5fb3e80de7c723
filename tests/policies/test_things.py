"""A frame thing by thing: what of a detector's maps is kept, and where in it is what a sentence names."""

import math

import pytest
import torch

from embodied_cf.language.instruction import COLOURS, DOOR, SEEN_KINDS
from embodied_cf.policies import detector
from embodied_cf.policies.things import (
    BEARINGS,
    COLOUR,
    FACTS,
    KIND,
    MOST,
    POINT,
    REACH,
    View,
    facts,
    matches,
    named,
    standing_about,
)

BOX, LAMP, GREEN, RED = SEEN_KINDS.index("box"), SEEN_KINDS.index("lamp"), COLOURS.index("green"), COLOURS.index("red")
HERE = torch.zeros(1, 1, 3)
THINGS = ((0.9, BOX, GREEN), (0.6, LAMP, GREEN), (0.3, BOX, RED))
"""Presence, kind and colour in the middle row, in every other column."""


@pytest.fixture
def maps():
    """One frame of 3 x 7 cells: a green box, a green lamp and a red box."""
    maps = torch.full((1, detector.CLOSENESS + 1, 3, 7), -20.0)
    maps[:, detector.CLOSENESS] = torch.arange(7) / 10
    for thing, (presence, kind, colour) in enumerate(THINGS):
        cell = maps[0, :, 1, 2 * thing]
        cell[0] = math.log(presence / (1 - presence))
        cell[detector.REACH] = torch.tensor([0.1, 0.2, 0.3, 0.4]).expm1().log()  # the inverse of softplus
        cell[detector.KIND.start + kind] = cell[detector.COLOUR.start + colour] = 20.0
    return maps


@pytest.fixture
def view(maps):
    return View.of(maps)


def meant(*names):
    """Kinds and colours of names; None: any."""
    kind, colour = torch.zeros(1, len(names), len(SEEN_KINDS)), torch.zeros(1, len(names), len(COLOURS))
    for row, (one, other) in enumerate(names):
        kind[0, row, slice(None) if one is None else one] = 1.0
        colour[0, row, slice(None) if other is None else other] = 1.0
    return kind, colour


def test_things_come_likeliest_first_and_the_rest_is_nought(view):
    assert view.things.shape == (1, MOST, COLOUR.stop)
    torch.testing.assert_close(view.things[0, :3, 0], torch.tensor([0.9, 0.6, 0.3]))
    assert not view.things[0, 3:].any(), "what is next to unlikely is none"
    torch.testing.assert_close(view.things[0, :3, 1], torch.tensor([-6 / 7, -2 / 7, 2 / 7]))
    torch.testing.assert_close(view.things[0, :3, 2], torch.zeros(3))
    torch.testing.assert_close(view.things[0, 1, REACH], torch.tensor([0.1, 0.2, 0.3, 0.4]))
    torch.testing.assert_close(view.things[0, :3, 7], torch.tensor([0.0, 0.2, 0.4]))
    assert view.things[0, :3, KIND].argmax(1).tolist() == [BOX, LAMP, BOX]
    assert view.things[0, :3, COLOUR].argmax(1).tolist() == [GREEN, GREEN, RED]


def test_a_cell_beside_a_likelier_one_is_no_thing_of_its_own(maps):
    maps[0, 0, 1, 1] = 0.0  # between the box and the lamp, at 0.5
    assert View.of(maps).things[0, :3, 0].tolist() == pytest.approx([0.9, 0.6, 0.3])


def test_the_nearest_of_three_rows_is_told(maps):
    maps[0, detector.CLOSENESS, 2, 3] = 2.0
    near = View.of(maps).near[0]
    torch.testing.assert_close(near, torch.tensor([[0.0, 0.1, 0.2, 2.0, 0.4, 0.5, 0.6]]))


def test_a_mirrored_view_is_the_view_of_mirrored_maps(maps, view):
    maps[0, detector.REACH, 1, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    swapped = maps.clone().flip(3)
    swapped[:, [1, 3]] = swapped[:, [3, 1]]
    told = View.of(maps).mirrored()
    for one, other in zip(told, View.of(swapped), strict=True):
        torch.testing.assert_close(one, other)
    assert all(torch.equal(one, other) for one, other in zip(view.mirrored().mirrored(), view, strict=True))


def test_a_name_is_where_its_kind_and_its_colour_are_believed_together(view):
    told = matches(view.things[:, None], *meant((BOX, GREEN), (LAMP, None), (None, RED), (LAMP, RED)))[0, 0]
    expected = torch.zeros(MOST, 4)
    expected[0, 0], expected[1, 1], expected[2, 2] = 0.9, 0.6, 0.3
    torch.testing.assert_close(told, expected)


def test_facts_by_hand(view):
    view.things[0, 1, KIND] = 0.0
    view.things[0, 1, KIND.start + SEEN_KINDS.index(DOOR)] = 0.7
    told = facts(view.things[:, None], 0.5, HERE)[0, 0, 1]
    right, away = -2 / 7, 5 / 5  # 0.2 / m are 5 m, and 45 degrees to the side are 0.5 of them
    places = [away, -(right - 0.2) / 2, away, -right / 2, away, -(right + 0.6) / 2]
    torch.testing.assert_close(told, torch.tensor([0.6, right, 0.0, 0.1, 0.2, 0.3, 0.4, 0.2, 0.8, 0.7, *places]))
    assert told.shape == (FACTS,)
    assert not facts(view.things[:, None], 0.5, HERE)[0, 0, 3:].any(), "what is not there tells nothing"


def test_far_things_are_at_most_ten_metres_away(view):
    assert facts(view.things[:, None], 1.0, HERE)[0, 0, 0, 10] == pytest.approx(2.0)


def test_what_was_seen_from_elsewhere_is_where_it_stands_now(view):
    """5 m ahead of a robot that then drove 1 m on and turned to the left by 90 degrees: 4 m to its right."""
    view.things[0, 1, 1] = 0.0
    before = torch.tensor([[[0.0, 1.0, -math.pi / 2]]])
    torch.testing.assert_close(facts(view.things[:, None], 1.0, before)[0, 0, 1, 12:14], torch.tensor([0.0, -0.8]))


def test_walls_stand_where_the_nearest_at_eye_level_is(view):
    near = torch.full((1, 1, 12, 24), 0.01)
    near[0, 0, 5, 23], near[0, 0, 6, 0] = 0.5, 3.0
    told = standing_about(near, 1.0, HERE)[0, 0]
    assert told.shape == (BEARINGS, POINT)
    torch.testing.assert_close(told[-1], torch.tensor([2 / 5, -2 / 5 * 11 / 12, 0.5]))
    torch.testing.assert_close(told[0], torch.tensor([10 / 5, 10 / 5 * 11 / 12, 0.01])), "the floor is no wall"
    assert standing_about(near[:, :, :1, :3], 1.0, HERE).shape == (1, 1, BEARINGS, POINT), "of small frames, too"


def test_the_best_match_counts_most(view):
    things = view.things[:, None]
    told = facts(things, 1.0, HERE)
    seen, *mean = named(matches(things, *meant((BOX, None))), told)[0, 0, 0].tolist()
    assert seen == pytest.approx(0.9)
    share = (1 / 3) ** 4
    expected = (told[0, 0, 0] + share * told[0, 0, 2]) / (1 + share)
    assert mean == pytest.approx(expected.tolist(), abs=1e-6)


def test_what_is_not_seen_tells_nothing_and_has_finite_gradients(view):
    kind, colour = (part.requires_grad_() for part in meant((BOX, GREEN)))
    things = torch.zeros_like(view.things)[:, None]
    told = named(matches(things, kind, colour), facts(things, 1.0, HERE))
    assert not told.any()
    told.sum().backward()
    assert torch.isfinite(kind.grad).all()
    assert torch.isfinite(colour.grad).all()
