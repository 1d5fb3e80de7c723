"""Which of the things that a detector knows a sentence names, before and after training."""

import numpy as np
import pytest
import torch

from embodied_cf.language.grammar import phrase
from embodied_cf.language.instruction import COLOURS, SEEN_KINDS, GoTo, Thing
from embodied_cf.policies.naming import Naming
from embodied_cf.policies.text import MiniLmWordEncoder, WordEncoder
from embodied_cf.policies.things import NAMES


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    return MiniLmWordEncoder(16).eval()


@pytest.fixture(scope="module")
def naming(text):
    torch.manual_seed(0)
    return Naming(text, 16)


@torch.no_grad()
def meant(naming, text, *said):
    kind, colour = naming(text(said))
    assert kind.shape == (len(said), NAMES, len(SEEN_KINDS))
    assert colour.shape == (len(said), NAMES, len(COLOURS))
    return kind, colour


def best(chance, names):
    """The name that is meant most, for each slot."""
    return [names[row] for row in chance.argmax(-1).tolist()]


def test_before_training_every_name_of_training_is_known(naming, text):
    rng = np.random.default_rng(0)
    for kind in SEEN_KINDS:
        for colour in COLOURS:
            for _ in range(3):
                kinds, colours = meant(naming, text, phrase(GoTo(Thing(kind, colour)), rng))
                assert best(kinds[0], SEEN_KINDS) == [kind] * NAMES
                assert best(colours[0], COLOURS) == [colour] * NAMES


@pytest.mark.parametrize(
    ("said", "kind"), [("your destination is the sphere", "ball"), ("the houseplant", "plant"), ("the seats", "chair")]
)
def test_words_that_training_never_says(naming, text, said, kind):
    assert best(meant(naming, text, said)[0][0], SEEN_KINDS) == [kind] * NAMES


@pytest.mark.parametrize("said", ["", "stop", "go straight ahead", "!?"])
def test_where_no_thing_is_named_any_may_be_meant(naming, text, said):
    kinds, colours = meant(naming, text, said)
    assert kinds.min() > 0.9
    assert colours.min() > 0.9


def test_a_kind_without_a_colour_may_have_any(naming, text):
    kinds, colours = meant(naming, text, "go to the chair")
    assert kinds[0, :, SEEN_KINDS.index("chair")].min() > 0.9
    assert kinds[0, :, SEEN_KINDS.index("lamp")].max() < 0.2
    assert colours.min() > 0.9


def test_a_sentence_does_not_depend_on_its_company(naming, text):
    alone, long = "the red box", "go all the way over to the blue lamp and stop there, then turn left"
    for one, other in zip(meant(naming, text, alone), meant(naming, text, alone, long, ""), strict=True):
        torch.testing.assert_close(one[0], other[0], atol=1e-4, rtol=1e-4)


def test_which_name_is_which_is_learnt(text):
    """Two things are named, and each of two slots shall hold its own."""
    torch.manual_seed(0)
    naming, said = Naming(text, 16), text(("the red box beside the blue lamp", "the blue lamp beside the red box"))
    wanted = torch.tensor([[SEEN_KINDS.index(one) for one in pair] for pair in (("box", "lamp"), ("lamp", "box"))])
    said = said._replace(vector=said.vector.detach(), word=said.word.detach(), state=said.state.detach())
    adam = torch.optim.Adam(naming.parameters(), 0.05)
    for _ in range(150):
        adam.zero_grad()
        kind = naming(said)[0][:, :2]
        (1 - kind.gather(2, wanted[..., None])).sum().backward()
        adam.step()
    assert torch.equal(kind.argmax(2), wanted)


def test_words_that_are_learnt_name_nothing_in_particular_at_first():
    torch.manual_seed(0)
    words = WordEncoder(("red", "box"), 16)
    kinds, _ = Naming(words, 16)(words(("red box", "")))
    assert kinds[0].std() < 0.2
    kinds.sum().backward()
    assert words.words.weight.grad.isfinite().all()
