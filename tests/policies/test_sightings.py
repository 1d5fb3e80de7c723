"""Where a detector believes the things that a sentence names."""

import pytest
import torch

from embodied_cf.language.instruction import COLOURS, SEEN_KINDS
from embodied_cf.policies.detector import COLOUR, KIND, REACH
from embodied_cf.policies.sightings import FACTS, facts, matches
from embodied_cf.policies.vision import frozen_detector

BOX, LAMP, GREEN, RED = SEEN_KINDS.index("box"), SEEN_KINDS.index("lamp"), COLOURS.index("green"), COLOURS.index("red")
THINGS = ((0.9, BOX, GREEN), (0.6, LAMP, GREEN), (0.3, BOX, RED))


@pytest.fixture
def seen():
    """One frame of 3 x 5 cells: a green box, a green lamp and a red box in the middle row, and two empty columns."""
    maps = torch.zeros(1, 1, frozen_detector().feature_channels, 3, 5)
    maps[:, :, -1] = torch.arange(5) / 10
    for column, (presence, kind, colour) in enumerate(THINGS):
        for channel in (0, KIND.start + kind, COLOUR.start + colour):
            maps[0, 0, channel, 1, column] = 3 * presence
        maps[0, 0, REACH, 1, column] = 3 * presence * torch.tensor([0.1, 0.2, 0.3, 0.4])
    return maps


def meant(*names):
    """Kinds and colours of names; None: any."""
    kind, colour = torch.zeros(1, len(names), len(SEEN_KINDS)), torch.zeros(1, len(names), len(COLOURS))
    for row, (one, other) in enumerate(names):
        kind[0, row, slice(None) if one is None else one] = 1.0
        colour[0, row, slice(None) if other is None else other] = 1.0
    return kind, colour


def test_a_name_is_where_its_kind_and_its_colour_are_believed_together(seen):
    found = matches(seen, *meant((BOX, GREEN), (LAMP, None), (None, RED), (LAMP, RED)))[0, 0]
    assert not found[:, [0, 2]].any()
    torch.testing.assert_close(
        found[:, 1],
        torch.tensor([[2.7, 0, 0, 0, 0], [0, 1.8, 0, 0, 0], [0, 0, 0.9, 0, 0], [0, 0, 0, 0, 0]]),
    )


def test_facts_of_a_sighting_by_hand(seen):
    told = facts(matches(seen, *meant((LAMP, GREEN), (LAMP, RED))), seen)
    assert told.shape == (1, 1, 2, FACTS)
    torch.testing.assert_close(told[0, 0, 0], torch.tensor([1.8, 1.0, 0.0, -0.5, 0.1, 0.2, 0.3, 0.4, 0.1]))
    assert not told[0, 0, 1].any(), "what is not seen tells nothing"


def test_the_best_match_counts_most(seen):
    told = facts(matches(seen, *meant((BOX, None))), seen)[0, 0, 0]
    assert told[0] == pytest.approx(2.7)
    share = (1 / 3) ** 4
    assert told[3].item() == pytest.approx((-1.0 + share * 0.0) / (1 + share), abs=1e-5)


def test_nothing_seen_has_finite_gradients(seen):
    kind, colour = (part.requires_grad_() for part in meant((BOX, GREEN)))
    facts(matches(torch.zeros_like(seen), kind, colour), seen).sum().backward()
    assert torch.isfinite(kind.grad).all()
    assert torch.isfinite(colour.grad).all()
