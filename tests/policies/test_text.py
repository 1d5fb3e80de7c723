import copy
from types import SimpleNamespace

import pytest
import torch

from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.errors import InstructionError, UsageError
from embodied_cf.policies import frozen_text, text
from embodied_cf.policies.config import ModelCard, NavVlaTinyConfig
from embodied_cf.policies.text import CommandEncoder, WordEncoder, split_words, vocabulary_of
from embodied_cf.policies.text_readers import build_text_encoder

SAID = ("go to the red box", "turn left, then stop", "")


def words():
    torch.manual_seed(0)
    return WordEncoder(vocabulary_of(SAID), 8).eval()


def test_words_and_pauses():
    assert split_words("Turn left, then go.") == ["turn", "left", ",", "then", "go"]
    assert split_words("") == []
    assert vocabulary_of(["b a", "a, c"]) == (",", "a", "b", "c")


def test_a_vector_depends_on_its_own_sentence_only():
    encoder = words()
    together, alone = encoder(SAID).vector, torch.cat([encoder((text,)).vector for text in SAID])
    assert torch.allclose(together, alone, atol=1e-6)
    twice = encoder((SAID[0], SAID[0]))
    assert all(torch.equal(part[0], part[1]) for part in twice)


def test_words_stand_one_by_one_and_the_rest_is_nought():
    encoder = words()
    said = encoder(SAID)
    assert said.there.sum(1).tolist() == [5, 5, 0]
    assert not said.word[~said.there].any()
    red, box = encoder(("red",)).word[0, 0], encoder(("box",)).word[0, 0]
    assert torch.equal(said.word[0, 3], red)
    assert torch.equal(said.word[0, 4], box)
    other = encoder(("the red turn",))
    assert torch.allclose(other.word[0, 1], red), "alone it means the same everywhere"
    assert not torch.allclose(other.state[0, 1], said.state[0, 3]), "in an instruction it does not"


def test_order_counts():
    encoder = words()
    one, other = encoder(("red box", "box red")).vector
    assert not torch.allclose(one, other)


def test_nothing_said_is_a_learnt_vector():
    encoder = words()
    assert torch.equal(encoder(("",)).vector[0], encoder.nothing)


def test_unknown_words_are_zero_vectors():
    encoder = words()
    assert torch.equal(encoder(("zebra",)).vector, encoder(("okapi",)).vector)
    assert torch.isfinite(encoder(("!?",)).vector).all()


def test_commands_by_name_or_phrase():
    encoder = CommandEncoder("nav", 8)
    name, phrase, other = encoder(("turn_left", "make a left turn", "turn_right")).vector
    assert torch.equal(name, phrase)
    assert not torch.equal(name, other)
    assert encoder.understands("stop")
    assert not encoder.understands("go to the red box")
    assert not encoder.understands("turn left, then stop")
    with pytest.raises(InstructionError, match=r"'go to the red box' names no atomic command.* Say one of forward"):
        encoder(("go to the red box",))


def test_arms_have_their_own_commands():
    card = ModelCard(NavVlaTinyConfig(text="commands"), load_embodiment("arm"))
    assert build_text_encoder(card).understands("close the gripper")


class TestMiniLm:
    """With a stand-in for the frozen model, which lies in the extra `text`."""

    @pytest.fixture
    def encoder(self, monkeypatch):
        self.asked = []

        def tokenizer(sentence, **options):
            self.asked.append(sentence)
            return {"ids": torch.full((1, 5, 384), float(len(sentence)))}

        frozen = frozen_text.FrozenSentences(tokenizer, lambda ids: SimpleNamespace(last_hidden_state=ids))
        monkeypatch.setattr(text, "frozen_sentences", lambda: frozen)
        torch.manual_seed(0)
        return text.MiniLmEncoder(8)

    def test_each_sentence_is_read_once(self, encoder):
        first, again = encoder((*SAID, SAID[0])).vector, encoder(SAID).vector
        assert torch.equal(first[:3], again)
        assert torch.equal(first[0], first[3])
        assert self.asked == sorted(SAID[:2])

    def test_copies_share_the_frozen_model(self, encoder):
        assert copy.deepcopy(encoder)._frozen is encoder._frozen

    def test_frozen_weights_are_neither_trained_nor_saved(self, encoder):
        assert {name.split(".")[0] for name in encoder.state_dict()} == {"nothing", "project"}


def test_minilm_says_what_to_install(monkeypatch):
    frozen_text.frozen_sentences.cache_clear()
    monkeypatch.setattr(frozen_text.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"not installed\. pip install 'embodied-cf\[text\]'"):
        text.MiniLmEncoder(8)


def test_the_real_minilm_puts_like_commands_together():
    """The frozen model of the wheel, loaded without a network."""
    reader = frozen_text.frozen_sentences()
    red, also_red, blue, turn = (
        torch.nn.functional.normalize(reader.embedding(text), dim=0)
        for text in ("go to the red chair", "drive up to the red chair", "go to the blue lamp", "turn left")
    )
    assert red @ also_red > red @ blue > red @ turn


def test_texts_read_together_mean_what_they_mean_alone():
    reader = frozen_text.frozen_sentences()
    texts = ("turn left", "go to the red chair", "stop", "turn right", *(f"drive {n} m" for n in range(70)))
    alone = torch.stack([torch.nn.functional.normalize(reader.embedding(text), dim=0) for text in texts])
    assert torch.allclose(reader.directions(texts), alone, atol=1e-5)
