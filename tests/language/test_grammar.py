"""Instructions in words and back, over every phrasing, kind and colour."""

import itertools

import numpy as np
import pytest
from asked import instructions
from hypothesis import given
from hypothesis import strategies as st

from embodied_cf.errors import InstructionError
from embodied_cf.language import connectives, nav, phrasing
from embodied_cf.language.arm import VOCABULARY as ARM
from embodied_cf.language.grammar import canonical, mirror, parse, phrase, phrasings
from embodied_cf.language.instruction import (
    COLOURS,
    DOOR,
    KINDS,
    WALL,
    ArcAround,
    Chain,
    Do,
    FollowWall,
    GoTo,
    KeepSide,
    PassBetween,
    StopBeside,
    Thing,
)
from embodied_cf.language.vocabulary import mirror_text

CHAIR, TABLE, DOORWAY = Thing("chair", "red"), Thing("table"), Thing("door", "blue")
CLAUSES = {
    "go to the red chair": GoTo(CHAIR),
    "go to the red chair nearest the blue door": GoTo(CHAIR, DOORWAY),
    "stop left of the table": StopBeside(TABLE, "left"),
    "pass between the red chair and the wall": PassBetween(CHAIR, Thing(WALL)),
    "follow the wall on your left": FollowWall("left"),
    "keep to the right side of the corridor": KeepSide("right"),
    "take a wide left arc around the table": ArcAround(TABLE, "left"),
    "turn slightly left": Do("adjust_left"),
}
EACH = [*CLAUSES.values(), *map(Do, nav.VOCABULARY.names)]
ANYWHERE = [phrasing.NOUNS, phrasing.COLOUR_WORDS]


@pytest.mark.parametrize("text", CLAUSES)
def test_the_words_mean_what_they_say(text):
    assert parse(text) == CLAUSES[text]


def test_a_chain_reads_clause_by_clause():
    asked = Chain((GoTo(CHAIR), Do("turn_left"), StopBeside(TABLE, "right")))
    assert canonical(asked) == "go to the red chair, then turn left, then stop right of the table"
    assert parse("First go to the red chair, then turn left, then stop right of the table.") == asked
    assert parse("Go to the red chair. Then turn left; afterwards, stop right of the table!") == asked


@given(instructions)
def test_canonical_and_parse_are_inverse(asked):
    assert parse(canonical(asked)) == asked
    assert canonical(parse(canonical(asked))) == canonical(asked)


@given(instructions, st.integers(0, 2**32), st.booleans())
def test_every_phrasing_reads_back(asked, seed, held_out):
    text = phrase(asked, np.random.default_rng(seed), held_out)
    assert parse(text) == asked
    assert parse(text.upper()) == asked


@pytest.mark.parametrize("held_out", [False, True])
def test_every_name_reads_back_in_every_form(held_out):
    for clause in EACH:
        assert {parse(text) for text in phrasings(clause, held_out)} == {clause}
    for kind, colour in itertools.product([*KINDS, DOOR], ["", *COLOURS]):
        nouns, colours = phrasing.NOUNS[kind].all, phrasing.COLOUR_WORDS[colour].all if colour else ("",)
        for noun, shade in itertools.product(nouns, colours):
            assert parse(f"go to the {shade} {noun}".replace("  ", " ")) == GoTo(Thing(kind, colour))


@pytest.mark.parametrize("clause", EACH, ids=canonical)
def test_enough_phrasings_and_none_in_both_sets(clause):
    train, held_out = phrasings(clause), phrasings(clause, held_out=True)
    assert len({*train}) >= 12
    assert len({*held_out}) >= 5
    assert {_words(text) for text in train}.isdisjoint({_words(text) for text in held_out})


def test_connectives_and_names_are_kept_apart_too():
    assert len({_words(each.joint) for each in connectives.TRAIN}) >= 5
    assert len({_words(each.joint) for each in connectives.HELD_OUT}) >= 5
    assert {_words(each.joint) for each in connectives.TRAIN}.isdisjoint(
        {_words(each.joint) for each in connectives.HELD_OUT}
    )
    for table in ANYWHERE:
        names = [name for wording in table.values() for name in wording.all]
        assert len(names) == len({*names}), "a name names one thing, in one set"


@given(instructions, st.integers(0, 2**32))
def test_training_texts_use_no_held_out_name(asked, seed):
    text = f" {phrase(asked, np.random.default_rng(seed))} "
    for table in ANYWHERE:
        for wording in table.values():
            assert not [name for name in wording.held_out if f" {name} " in text]


def test_each_vocabulary_phrase_names_one_command():
    for vocabulary in (nav.VOCABULARY, ARM):
        said = [text for command in vocabulary.commands for text in command.phrases + command.held_out]
        assert len(said) == len({*said})


@given(st.lists(st.sampled_from(nav.VOCABULARY.names), min_size=1, max_size=4), st.integers(0, 2**32), st.booleans())
def test_both_languages_agree_on_atomic_commands(commands, seed, held_out):
    parts = tuple(map(Do, commands))
    asked = Chain(parts) if len(parts) > 1 else parts[0]
    text = phrase(asked, np.random.default_rng(seed), held_out)
    assert nav.VOCABULARY.parse(text) == tuple(commands)
    assert nav.VOCABULARY.compose(commands) == canonical(asked)


def test_what_relabelling_says_about_things_is_understood():
    for pick in range(len(phrasing.GO_TO.train)):
        assert parse(phrasing.going_to("red chair", pick)) == GoTo(CHAIR)


@given(instructions)
def test_mirrored_words_are_the_mirrored_instruction(asked):
    assert mirror(mirror(asked)) == asked
    assert canonical(mirror(asked)) == mirror_text(canonical(asked))


@given(instructions, st.integers(0, 2**32), st.booleans())
def test_every_phrasing_mirrors(asked, seed, held_out):
    assert parse(mirror_text(phrase(asked, np.random.default_rng(seed), held_out))) == mirror(asked)


def test_the_wall_comes_second_wherever_it_is_said():
    assert parse("go between the wall and a red chair") == PassBetween(CHAIR, Thing(WALL))


def _words(text):
    return text.lower().strip(" ,;.").replace(",", "")


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("", "nothing of it was understood"),
        ("sing", "nothing of it was understood"),
        ("dance around the red chair to the left", 'understood: "the red chair", "left"'),
        ("go to the lamp, then dance, then stop", 'understood: "go to the lamp", "stop"'),
        ("go to the wall", 'understood: "the wall"'),
        ("go to the pink chair", "nothing of it was understood"),
        ("pass between the wall and the wall", 'understood: "the wall", "the wall"'),
        ("go to the lamp, then", 'understood: "go to the lamp"'),
    ],
)
def test_what_cannot_be_read_is_named_with_what_was_understood(text, understood):
    with pytest.raises(InstructionError, match=r"is no known instruction \(.*Say for example") as caught:
        parse(text)
    assert f"({understood})" in str(caught.value)
