"""Phrases in which things have no names, and what they are heard as. With the frozen model of the wheel: no network."""

import copy

import pytest
import torch

from embodied_cf.language.phrasing import GO_TO, PASS_BETWEEN
from embodied_cf.policies.nameless import spoken
from embodied_cf.policies.naming import Naming
from embodied_cf.policies.phrases import MiniLmPhraseEncoder
from embodied_cf.policies.text import MiniLmWordEncoder, split_words


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    return MiniLmPhraseEncoder(8).eval()


def test_every_phrase_comes_after_its_words_and_names_nothing(reader):
    said = reader(("turn left, then go to the red box", "stop"))
    assert said.there.sum(1).tolist() == [2 + 1 + 6 + 1, 2]
    assert not said.word[0, [2, 9]].any()
    assert said.word[0, [0, 1, 3]].any(dim=1).all()
    kinds, _ = Naming(reader, 8)(reader(("stop",)))
    torch.testing.assert_close(kinds, torch.ones_like(kinds), atol=0.05, rtol=0)


def test_names_do_not_change_a_phrase_but_its_words_do(reader):
    said = reader(("go to the red box", "go to the blue ball", "drive to the red box"))
    one, other, third = said.state[:, 5].split(1)
    assert len({spoken(text).wording for text in ("go to the red box", "go to the blue ball")}) == 1
    assert not torch.allclose(one, other), "the words before it count"
    assert not torch.allclose(one, third)


def test_what_is_asked_in_new_words_lies_nearer_by_phrases_than_by_words(reader):
    """Of the held-out ways to ask for a thing more are nearer to the training ones than to those for a gap."""

    def vectors(texts, by_phrase):
        filled = [text.format(thing="the thing", first="the thing", second="the thing") for text in texts]
        embedding = reader._frozen.embedding
        rows = [
            embedding(text) if by_phrase else torch.stack([embedding(word) for word in split_words(text)]).mean(0)
            for text in filled
        ]
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)

    def right(by_phrase):
        new = vectors(GO_TO.held_out, by_phrase)
        own, gap = (
            (new @ vectors(wording.train, by_phrase).T).topk(3).values.mean(1) for wording in (GO_TO, PASS_BETWEEN)
        )
        return int((own > gap).sum())

    assert right(by_phrase=True) == len(GO_TO.held_out)
    assert right(by_phrase=False) < len(GO_TO.held_out)


def test_long_and_odd_texts_are_read(reader):
    texts = ("go " * 10_000, "...", "!?", ";,", "a" * 100_000)
    said = reader(texts)
    assert torch.isfinite(said.vector).all()
    assert said.there.sum(1).max() <= 32 + 32


def test_copies_share_the_frozen_model_and_hear_the_same(reader):
    other = copy.deepcopy(reader)
    assert other._frozen is reader._frozen
    assert torch.equal(other(("go to the red box",)).vector, reader(("go to the red box",)).vector)


def test_words_alone_are_read_as_ever():
    torch.manual_seed(0)
    assert MiniLmWordEncoder(8)(("go to the red box",)).there.sum() == 5
