from dataclasses import dataclass

import numpy as np
import pytest
from sights import BLUE, GREEN, RED, Constant, Gambler, view

from embodied_cf.explain.input.asking import Asker, frames
from embodied_cf.explain.input.concepts import concept_effects, spoken_of
from embodied_cf.explain.input.edits import Edit, edits_of, names_what_is_there
from embodied_cf.explain.input.explanation import Effect, InputExplanation, explain_input
from embodied_cf.explain.input.known_causes import (
    ColourSeeker,
    CornerReader,
    Listener,
    Planted,
    SideTaker,
    Wavering,
    looks,
    towards,
)
from embodied_cf.explain.input.regions import Shown, blanked, filled, probe_regions
from embodied_cf.explain.input.text import sentences
from embodied_cf.explain.options import InputOptions
from embodied_cf.policies.contract import ActionChunk, Observation

FEW = InputOptions(nearby=2)


def test_a_policy_that_reads_only_colour_is_seen_through():
    told = explain_input(ColourSeeker(), view(), FEW)
    assert told.causes == {(factor, "red chair") for factor in ("colour", "presence", "place")}
    assert {it.edit.about for it in told.smallest[0]} == {"red chair"}
    assert told.measures.validity == 1.0
    assert told.measures.placebo == 0.0
    assert told.measures.simulatability == 1.0 > told.measures.blind_reader
    assert "it does not listen" in sentences(told)[1]


def test_a_policy_that_hears_the_colour_word_only():
    told = explain_input(Listener(), view(), FEW)
    assert {"colour", "colour word", "instruction"} <= told.factors
    assert not told.factors & {"noun", "kind", "side word"}
    assert "“red” matters" in sentences(told)[1]


def test_a_policy_with_its_eyes_shut():
    told = explain_input(SideTaker(), view(told="stop left of the red chair"), FEW)
    assert told.factors == {"side word", "instruction"}
    assert told.regions.smallest == ()
    assert "No single change of the scene matters" in sentences(told)[2]


def test_a_policy_that_reads_a_corner():
    told = explain_input(CornerReader(corner=(7, 2)), view(), FEW)
    assert told.regions.smallest == ((7, 2),)
    assert np.unravel_index(told.regions.moved.argmax(), (8, 8)) == (7, 2)
    assert np.count_nonzero(told.regions.moved) == 1
    assert told.to_json()["swapped"] == told.regions.swapped.tolist()


@dataclass(frozen=True)
class Either(Planted):
    """Goes on while it sees anything red or anything blue."""

    def bearing(self, image, told):
        return 0.0 if any(np.isfinite(towards(image, colour)) for colour in ("red", "blue")) else float("nan")


def test_where_no_single_change_is_enough_pairs_are_tried():
    told = explain_input(Either(), view(), FEW)
    assert not told.causes
    assert {len(group) for group in told.smallest} == {2}
    assert all({it.edit.about for it in group} == {"red chair", "blue ball"} for group in told.smallest)
    assert sentences(told)[0].startswith("No single change makes it act otherwise. These 2 together do: the ")


@pytest.mark.parametrize("policy", [Gambler(sample=True), Wavering()])
def test_chance_is_no_cause(policy):
    """Neither looks or listens. Four views, each with some two dozen edits, and questions asked again."""
    told = [explain_input(policy, view(), InputOptions(nearby=0), seed=seed) for seed in range(4)]
    changed = [it.changed for one in told for it in one.effects]
    again = [moved > one.threshold for one in told for moved in one.placebo]
    assert sum(changed) <= 0.05 * len(changed)
    assert sum(again) <= 0.05 * len(again)
    assert min(np.mean(one.placebo) for one in told) > 0


def test_a_policy_that_draws_is_heard_through_its_noise():
    told = explain_input(Wavering(of=SideTaker()), view(told="stop left of the red chair"), InputOptions(nearby=1))
    assert told.factors == {"side word", "instruction"}
    assert told.threshold > 0.15
    assert told.measures.placebo == 0.0
    assert told.measures.validity == 1.0


def test_what_does_not_draw_is_asked_no_oftener_for_it():
    """Asked 20 times again here, and once in each view from nearby."""
    few, more = (explain_input(Constant(), view(), InputOptions(nearby=count)) for count in (0, 2))
    questions = len(few.effects) + len(few.placebo) - 20
    assert more.measures.cost - few.measures.cost == 2 * (1 + questions)
    assert few.samples == 1


def test_a_policy_that_nothing_moves():
    told = explain_input(Constant(), view(), FEW)
    assert told.smallest == ()
    assert told.measures.proximity is None
    assert sentences(told)[0].startswith("Nothing that was tried")


def test_edits_out_of_sight_are_placebo():
    """The green box stands behind the robot."""
    told = explain_input(ColourSeeker(), view(), FEW)
    assert "green box" not in {it.edit.about for it in told.effects}
    assert len(told.placebo) >= 4 + 3
    assert max(told.placebo) == 0.0


def test_the_history_is_edited_too():
    @dataclass(frozen=True)
    class Rememberer(ColourSeeker):
        history: int = 2

        def bearing(self, image, told):
            return towards(image, self.colour)

    told = explain_input(Rememberer(), view(history=2), FEW)
    assert ("colour", "red chair") in told.causes


def test_each_thing_is_edited_in_each_way():
    scene = view().scene
    edits = edits_of(scene, "go to the red chair", np.random.default_rng(0))
    of_chair = {edit.factor: edit for edit in edits if edit.about == "red chair"}
    assert set(of_chair) == {"colour", "kind", "presence", "place"}
    moved = of_chair["place"].change_scene(scene).position[0]
    np.testing.assert_allclose(moved, (3.5, -0.8), atol=1.2)
    assert moved[1] < 0
    assert of_chair["colour"].change_scene(scene).colour[0] != scene.colour[0]
    assert np.hypot(*of_chair["presence"].change_scene(scene).position[0]) > 1000
    for edit in edits:
        assert (edit.change_scene(scene).walls == scene.walls).all()


def test_words_are_exchanged_for_others_that_fit_the_scene():
    scene = view().scene
    edits = edits_of(scene, "stop left of the bright red chair", np.random.default_rng(0))
    texts = {edit.factor: edit.change_told("stop left of the bright red chair") for edit in edits}
    assert texts["colour word"] in ("stop left of the blue chair", "stop left of the green chair")
    assert texts["noun"] in ("stop left of the bright red ball", "stop left of the bright red box")
    assert texts["side word"] == "stop right of the bright red chair"
    assert texts["instruction"] == ""
    assert names_what_is_there(scene, "go to the red chair")
    assert not names_what_is_there(scene, "go to the purple chair")
    assert not names_what_is_there(scene, "")


def test_concept_effects_are_averages_over_views():
    told = [explain_input(Listener(), view(told=f"go to the {name}"), FEW) for name in ("red chair", "blue ball")]
    effects = {it.concept: it for it in concept_effects(told)}
    word = [[it.moved for it in one.effects if it.edit.factor == "colour word"] for one in told]
    assert effects["colour word"].moved == pytest.approx(np.mean([np.mean(each) for each in word]))
    assert effects["colour word"].views == 2
    assert effects["noun"].changed == effects["placebo"].changed == 0.0
    assert effects["colour of the thing spoken of"].changed == 1.0


@pytest.mark.parametrize(
    ("told", "spoken"),
    [
        ("go to the red chair", {"red chair"}),
        ("go to the crimson pylon", {"red cone"}),
        ("go to the chair nearest the blue ball", {"green chair", "blue ball"}),
        ("go to the chair", {"red chair", "green chair"}),
        ("follow the wall on your left", set()),
        ("kindly find that pylon, would you", {"red cone"}),
        ("kindly find that crimson chair, would you", {"red chair"}),
    ],
)
def test_what_is_spoken_of_is_what_the_words_mean(told, spoken):
    """Neither every red thing nor every chair."""
    things = [RED, BLUE, ("chair", "green", 3.5, -2.4), ("cone", "red", 6.0, 2.0)]
    assert spoken_of(view(things=things).scene.surroundings(), told) == spoken


def test_views_count_alike_however_many_edits_they_have():
    told = [explained(changed) for changed in ([True], [False, False, False])]
    assert next(it for it in concept_effects(told) if it.concept == "noun").changed == 0.5


def explained(changed):
    """An explanation of which only the effects of nouns are known."""
    told = object.__new__(InputExplanation)
    effects = tuple(Effect(Edit("noun", "chair", ""), 1.0, 0.0, it, True) for it in changed)
    for name, value in {"view": view(), "effects": effects, "placebo": (), "threshold": 0.15}.items():
        object.__setattr__(told, name, value)
    return told


def test_a_region_is_taken_from_the_other_frame():
    seen, fill = np.zeros((1, 16, 16, 3), np.uint8), np.full((1, 16, 16, 3), 9, np.uint8)
    image = filled(seen, {(0, 1), (7, 7)}, fill)
    assert (image[0, :2, 2:4] == 9).all()
    assert (image[0, 14:, 14:] == 9).all()
    assert int((image == 9).sum()) == 2 * 4 * 3


def test_a_region_of_the_frames_mean_colour_is_missed_all_the_same():
    seen = np.full((1, 16, 16, 3), 100, np.uint8)
    asker = Asker(CornerReader(corner=(7, 2)), samples=1, seed=0)
    shown = Shown(seen, np.zeros((2, 3), np.float32), "")
    chunk = asker.chunks(*shown.instead(seen[None]))[0]
    told = probe_regions(asker, shown, seen, chunk, threshold=0.1)
    assert told.smallest == ((7, 2),)
    mean, unlike = blanked(seen)
    assert (mean == seen).all()
    assert (unlike == 255).all()


@dataclass(frozen=True)
class Nervous(Planted):
    """Draws left or right by how bright the top left corner is, and tells how likely that was."""

    sample: bool = False

    def chance(self, observation):
        bright = observation.image[:, -1, :12, :12].mean(axis=(1, 2, 3)) / 255
        return 1 / (1 + np.exp(-8 * (bright - 0.5)))

    def act(self, observation, instruction, rng):
        left = np.where(self.sample, rng.random(len(observation)), 0.0) < self.chance(observation)
        chunk = np.zeros((len(left), 8, 2), np.float32)
        chunk[..., 1] = np.where(left, 1.0, -1.0)[:, None]
        return ActionChunk(chunk, np.ones(chunk.shape[:2], bool))

    def log_probability(self, observation, instruction, chunk):
        left = self.chance(observation)
        return np.log(np.where(chunk[:, 0, 1] > 0, left, 1 - left)).astype(np.float32)


def test_a_divergence_is_traced_where_the_mean_action_stays():
    told = explain_input(Nervous(), view(), FEW)
    assert not told.regions.moved.any()
    assert np.argwhere(told.regions.traced).tolist() == [[0, 0]]
    seen = frames([view()], (96, 96))
    bright = seen[:, 0].copy()
    bright[:, :12, :12] = seen.reshape(-1, 3).mean(axis=0).astype(np.uint8)
    before, after = (Nervous().chance(Observation(image)) for image in (seen, bright[:, None]))
    drawn = np.log([before / after, (1 - before) / (1 - after)])
    assert drawn.min() - 1e-5 <= told.regions.traced[0, 0] <= drawn.max() + 1e-5
    assert explain_input(Constant(), view(), FEW).regions.traced is None


def test_colours_are_told_apart_in_the_image():
    image = frames([view(things=(RED, BLUE, GREEN))], (96, 96))[0, 0]
    assert towards(image, "red") > 0 > towards(image, "blue")
    assert not looks(image, "green").any()
    assert np.isnan(towards(image, "green"))
