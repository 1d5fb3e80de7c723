import asyncio
from dataclasses import replace

import cv2
import numpy as np
import pytest

from embodied_cf.datasets.contract import EncodedImages, Episode
from embodied_cf.datasets.privileged import KEY, VisibleThing, encode, read_scene, read_visible
from embodied_cf.errors import RecordError, UsageError
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import COLOURS, KINDS, Chain, GoTo, Thing
from embodied_cf.language.nav import VOCABULARY
from embodied_cf.language.segments import Segments
from embodied_cf.vlm.captions import SeenObject
from embodied_cf.vlm.faults import Faults
from embodied_cf.vlm.scene import SceneCaptioner
from embodied_cf.vlm.sightings import ArrivalRule, arrivals

FRAME = bytes(cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1])
CHAIR = VisibleThing(0, "red chair", (20.0, 20.0, 30.0, 40.0), 150)


def episode(visible, name="sim/1/0"):
    steps = len(visible)
    return Episode(
        episode_id=name,
        cameras={"primary": EncodedImages([FRAME] * steps)},
        state=np.zeros((steps, 3), np.float32),
        action=np.zeros((steps, 2), np.float32),
        action_mask=np.ones(steps, bool),
        timestamp=np.arange(steps) * 0.25,
        pose=np.zeros((steps, 3)),
        metadata={KEY: encode({"family": "rooms"}, 7, visible)},
    )


def captions(visible, faults, seed=0):
    nothing = Segments(np.zeros(0, np.int64), np.zeros(0, np.int64), (), ())
    captioner = SceneCaptioner(VOCABULARY, seed, faults)
    return asyncio.run(captioner.caption(episode(visible), nothing))


def test_a_faultless_captioner_says_what_each_frame_shows_and_no_more():
    small = VisibleThing(1, "blue ball", (0.0, 30.0, 2.0, 33.0), 6)
    told = captions(((CHAIR, small), (), (CHAIR,)), Faults(0.0, 0.0, jitter=0.0))
    assert told.objects == (SeenObject(0, "red chair", CHAIR.box), SeenObject(2, "red chair", CHAIR.box))


@pytest.mark.parametrize("persistent", [False, True])
def test_faults_come_as_often_as_asked(persistent):
    things = tuple(VisibleThing(row, "red chair", CHAIR.box, 150) for row in range(1000))
    told = captions((things,), Faults(0.2, 0.3, persistent)).objects
    true = sum(item.name == "red chair" for item in told)
    # 85 % are not misnamed, and 80 % of those are seen
    assert abs(true / 1000 - 0.85 * 0.8) < 0.05
    # misnamed ones, and made-up ones whose place is inside the frame
    assert 0.15 <= (len(told) - true) / 1000 <= 0.33
    wrong = [item.name.split() for item in told if item.name != "red chair"]
    assert all(colour in COLOURS and kind in KINDS for colour, kind in wrong)
    assert all((colour == "red") != (kind == "chair") for colour, kind in wrong), "one of the two is wrong, not both"


def test_persistent_faults_are_the_same_in_every_frame_and_others_are_not():
    def said(persistent):
        objects = captions(((CHAIR,),) * 60, Faults(0.0, 0.5, persistent)).objects
        return [frozenset(item.name for item in objects if item.step == step) for step in range(60)]

    assert len(set(said(True))) == 1
    assert len(set(said(False))) > 5


def test_boxes_stay_inside_the_frame():
    edge = VisibleThing(0, "red chair", (0.0, 0.0, 64.0, 64.0), 3000)
    boxes = np.array([item.box for item in captions(((edge,),) * 50, Faults(0.0, 0.5, jitter=0.3)).objects])
    assert boxes.min() >= 0
    assert boxes.max() <= 64
    assert ((boxes[:, 2:] - boxes[:, :2]) >= 1).all()


def test_the_same_seed_says_the_same():
    visible = ((CHAIR,),) * 20
    assert captions(visible, Faults(), 3) == captions(visible, Faults(), 3)
    assert captions(visible, Faults(), 3) != captions(visible, Faults(), 4)


def test_data_of_another_origin_is_refused():
    bare = episode(((CHAIR,),))
    bare = Episode(**{**vars(bare), "metadata": {}})
    with pytest.raises(RecordError, match="episode_metadata/privileged"):
        read_visible(bare)


def test_the_privileged_feature_reads_back():
    there = episode(((CHAIR,), ()))
    assert read_visible(there) == ((CHAIR,), ())
    assert read_scene(there) == ({"family": "rooms"}, 7)


def test_probabilities_are_checked():
    with pytest.raises(UsageError, match="omission 2 is not a probability"):
        Faults(omission=2)


def approach(bottom, middle=32.0, heights=(10.0, 14.0, 18.0, 24.0)):
    """Sightings at steps 0, 1, ... of a thing that grows; its foot ends at `bottom`, its centre at `middle`."""
    feet = np.linspace(40.0, bottom, len(heights))
    return [
        SeenObject(step, "red chair", (middle - 5, foot - tall, middle + 5, foot))
        for step, (foot, tall) in enumerate(zip(feet.tolist(), heights, strict=True))
    ]


def words(seen):
    return [
        (item.start, item.end, item.instruction)
        for item in arrivals(seen, (64, 64), ArrivalRule(), np.random.default_rng(0))
    ]


def test_driving_up_to_a_thing_is_told():
    [(start, end, text)] = words(approach(62.0))
    assert (start, end) == (0, 2), "step 2 is the first whose box is 1.5 times as high as the first one"
    assert text.endswith("the red chair")


@pytest.mark.parametrize(
    "seen",
    [
        approach(43.0),
        approach(62.0, middle=62.0),
        approach(62.0, heights=(20.0, 22.0, 24.0, 26.0)),
        approach(62.0)[-1:],
        [replace(item, step=2) for item in approach(62.0)],
    ],
    ids=["still far away", "passes it", "was near from the first", "seen once", "several of a name in one frame"],
)
def test_other_approaches_are_not(seen):
    assert words(seen) == []


def later(seen, name, steps):
    """The same boxes of another thing, so many steps later."""
    return [SeenObject(item.step + steps, name, item.box) for item in seen]


def test_two_arrivals_make_a_chain():
    first = approach(62.0)
    told = words([*first, *later(first, "blue box", 6)])
    assert [(start, end) for start, end, _ in told] == [(0, 2), (6, 8), (0, 8)]
    chain = parse(told[2][2])
    assert chain == Chain((GoTo(Thing("chair", "red")), GoTo(Thing("box", "blue"))))


def test_arrivals_far_apart_or_at_the_same_thing_make_none():
    first = approach(62.0)
    assert len(words([*first, *later(first, "blue box", 70)])) == 2
    assert len(words([*first, *later(first, "red chair", 12)])) == 2


def test_a_share_of_the_motion_is_put_into_words():
    runs = 200
    start = np.arange(runs)
    segments = Segments(start, start + 1, ("forward", "turn_left") * (runs // 2), ("",) * runs)

    def said(share):
        captioner = SceneCaptioner(VOCABULARY, motion_share=share)
        return asyncio.run(captioner.caption(episode(((),) * runs), segments)).hindsight

    assert 0.05 * len(said(1.0)) < len(said(0.1)) < 0.2 * len(said(1.0))
    assert set(said(0.1)) < set(said(1.0))
    assert not said(0.0)
