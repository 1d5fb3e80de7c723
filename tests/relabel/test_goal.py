"""Pixels to ground, ground to path, and what unmasks a thing that is not there: by hand-computed values."""

from dataclasses import replace

import numpy as np
import pytest

from embodied_cf.datasets.contract import EncodedImages, Episode, Labels
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.sample import draw
from embodied_cf.datasets.spec import CameraModel
from embodied_cf.language.meaning import NavMeaning
from embodied_cf.language.scale import MotionScale
from embodied_cf.language.segments import Segments
from embodied_cf.language.verdict import FAIL, PASS, UNKNOWN
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.goal import GoalSynthesizer
from embodied_cf.relabel.goal_verdict import goal_verdicts
from embodied_cf.relabel.ground import from_world, ground_point, standing_circles, to_world
from embodied_cf.relabel.profile import Profile
from embodied_cf.relabel.propose import GrammarProposer
from embodied_cf.relabel.stages import Context, Proposals
from embodied_cf.relabel.standing import Standing
from embodied_cf.relabel.synthesize import PrimitiveSynthesizer, arcs
from embodied_cf.relabel.ways import STOP_SHORT_M
from embodied_cf.vlm.captions import Captions, SeenObject

CAMERA = CameraModel(horizontal_fov_deg=90.0, height_m=0.6)
SCALE = MotionScale(step=0.12, turn=0.9)
NAV = load_embodiment("nav")
SYNTHESIZER = GoalSynthesizer(PrimitiveSynthesizer(Profile(SCALE, np.zeros(1), np.ones(1), 1), NAV), CAMERA)


def test_a_pixel_meets_the_ground_where_geometry_says():
    """Focal length 32: (32, 48) looks 16/32 down, 1.2 m ahead; (48, 48) as far, and 0.6 m to the right."""
    np.testing.assert_allclose(
        ground_point(np.array([[32.0, 48.0], [48.0, 48.0]]), CAMERA, 64, 64), [[1.2, 0.0], [1.2, -0.6]], atol=1e-12
    )
    assert np.isnan(ground_point(np.array([[32.0, 32.0], [32.0, 10.0]]), CAMERA, 64, 64)).all(), (
        "at or above the horizon"
    )


def test_a_pitched_camera_sees_nearer_ground():
    """Looking 45 degrees down, the middle pixel meets the ground at the camera's height ahead."""
    down = CameraModel(horizontal_fov_deg=90.0, height_m=0.6, pitch_deg=45.0)
    np.testing.assert_allclose(ground_point(np.array([[32.0, 32.0]]), down, 64, 64), [[0.6, 0.0]], atol=1e-12)


def test_a_point_moves_between_robot_frames():
    """1 m ahead of a robot at (1, 0) that faces +y is (1, 1) in odometry, which is 1 m ahead and 1 left of (0, 0)."""
    there, here = np.array([[1.0, 0.0, np.pi / 2]]), np.array([[0.0, 0.0, 0.0]])
    place = to_world(there, np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(from_world(here, place), [[1.0, 1.0]], atol=1e-12)
    np.testing.assert_allclose(from_world(there, place), [[1.0, 0.0]], atol=1e-12)


def test_a_box_is_a_circle_on_the_ground():
    """Its foot is 1.6 m ahead; 16 of 64 pixels wide, half its width is 1/4 of its distance: r = 1.6 / 4 / (3 / 4)."""
    found = standing_circles(np.array([[24.0, 20.0, 40.0, 44.0], [30.0, 20.0, 34.0, 44.0]]), CAMERA, (64, 64))
    np.testing.assert_allclose(found, [[1.6 + 1.6 / 3, 0.0, 1.6 / 3], [1.9, 0.0, 0.3]], atol=1e-12)


def test_arcs_by_hand():
    """A quarter circle of length pi/2 has radius 1 and ends at (1, 1); a straight one ends at its length."""
    ends = arcs(np.array([np.pi / 2, 2.0]), np.array([np.pi / 2, 0.0]), 4)[:, -1]
    np.testing.assert_allclose(ends, [[1.0, 1.0], [2.0, 0.0]], atol=1e-6)


def _context(track, objects, size=64):
    import cv2

    frame = bytes(cv2.imencode(".png", np.zeros((size, size, 3), np.uint8))[1])
    steps = len(track)
    episode = Episode("set/0/0/0/0", {"primary": EncodedImages([frame] * steps)}, np.zeros((steps, 0)),
                      np.zeros((steps, 2)), np.ones(steps, bool), np.arange(steps) * 0.25, pose=track)  # fmt: skip
    segments = Segments(np.array([0]), np.array([steps - 1]), ("forward",), ("",))
    return Context(episode, track, segments, Captions(objects=tuple(objects)), NAV, NavMeaning(SCALE), CAMERA)


def _goal(box, start=0, seen=0, name="red post"):
    return Proposals(np.array([start]), np.array([-1]), (f"go to the {name}",), np.zeros(1), np.ones(1), ("",),
                     np.array([seen]), np.array([box], np.float64), (name,), Asked.nothing(1))  # fmt: skip


def _verdict(proposals, labels):
    return goal_verdicts(Standing.of(_context(STRAIGHT, []), proposals), labels, 0.96).tolist()


STRAIGHT = np.stack([0.12 * np.arange(10.0), np.zeros(10), np.zeros(10)], axis=1)


def test_the_path_leads_to_the_box_and_keeps_its_distance():
    """A box that stands at (40, 48) is 1.2 m ahead and 0.3 m right: a bend to it that ends some 0.6 m short."""
    made = SYNTHESIZER.synthesize(_context(STRAIGHT, []), _goal((32, 10, 48, 48)))
    assert made.reason == ("",)
    near = np.array([1.2, -0.3])
    assert np.linalg.norm(near - made.action[0, -1]) == pytest.approx(STOP_SHORT_M, abs=SCALE.step)
    heading = np.arctan2(*(made.action[0, 4] - made.action[0, 3])[::-1]) if made.action[0, 4, 0] else -0.1
    assert heading < 0
    step = np.linalg.norm(np.diff(made.action[0], axis=0), axis=1)
    assert step.max() <= SCALE.step + 1e-6


def test_a_goal_is_carried_to_later_frames_by_odometry():
    """Five steps of 0.12 m on, the same thing is 0.6 m nearer: 0.6 m ahead, so the robot stands still."""
    made = SYNTHESIZER.synthesize(_context(STRAIGHT, []), _goal((24, 10, 40, 48), start=5, seen=0))
    np.testing.assert_allclose(made.action, 0.0, atol=1e-6)
    assert made.reason == ("",)


@pytest.mark.parametrize(
    ("box", "start", "reason"),
    [
        ((24, 2, 40, 20), 0, "the box stands on no ground"),
        ((24, 10, 40, 32.5), 0, "too far to place on the ground"),
        ((24, 10, 40, 60), 9, "no way there keeps clear and makes headway"),
    ],
)
def test_goals_that_make_no_sense_are_named(box, start, reason):
    assert SYNTHESIZER.synthesize(_context(STRAIGHT, []), _goal(box, start)).reason == (reason,)


def _row(chunk, instruction="go to the red post"):
    """A counterfactual row whose chunk is straight, to `chunk` metres ahead and left."""
    path = np.linspace(0, 1, 9)[1:, None] * np.array(chunk)
    return Labels(("counterfactual",), np.array([0], np.int32), np.array([8], np.int32), (instruction,), ("",),
                  path[None].astype(np.float32), np.ones((1, 8), bool), np.ones(1, np.float32), ("",))  # fmt: skip


@pytest.mark.parametrize(
    ("box", "chunk", "judged"),
    [
        # stands 2.4 m ahead
        ((24, 10, 40, 40), (0.9, 0.0), PASS),
        ((24, 10, 40, 40), (0.7, 0.5), PASS),
        ((24, 10, 40, 40), (0.1, 0.9), FAIL),
        ((24, 10, 40, 40), (-0.9, 0.0), FAIL),
        ((24, 10, 40, 40), (0.0, 0.0), FAIL),
        # stands 0.8 m ahead: arrived
        ((24, 10, 40, 56), (0.0, 0.0), PASS),
        ((24, 2, 40, 20), (0.9, 0.0), UNKNOWN),
    ],
    ids=["straight", "slanting", "aside", "away", "stops too early", "stops there", "on no ground"],
)
def test_a_chunk_is_judged_by_the_place_of_the_thing(box, chunk, judged):
    assert _verdict(_goal(box), _row(chunk)) == [judged]


def _blocked(chunk):
    """A row that is told of a post 3.6 m ahead, with a barrel 1.1 m ahead between them that all frames show."""
    post, barrel = (30, 10, 34, 37.33), (24, 24, 40, 53.8)
    seen = [SeenObject(step, name, box) for step in range(3) for name, box in
            (("red post", post), ("green barrel", barrel))]  # fmt: skip
    context = _context(np.zeros((10, 3)), seen)
    return context, _goal(post), _row(chunk)


def test_what_blocks_the_way_is_driven_around_and_that_is_judged_by_the_way_around():
    context, goal, _ = _blocked((0, 0))
    assert len(context.landmarks) == 2
    made = SYNTHESIZER.synthesize(context, goal)
    assert made.reason == ("",)
    path = np.concatenate([np.zeros((1, 2)), made.action[0]])
    turned = np.arctan2(*(path[-1] - path[-2])[::-1])
    assert abs(turned) > np.radians(30), "it turns aside"
    assert context.obstacles.room(np.zeros((1, 3)), path[None]).min() > 0.0
    row = replace(_row((0, 0)), action=made.action)
    assert goal_verdicts(Standing.of(context, goal), row, 0.96).tolist() == [PASS]


@pytest.mark.parametrize(("chunk", "judged"), [((0.0, 0.0), FAIL), ((-0.5, 0.1), FAIL), ((-0.2, 0.9), FAIL)])
def test_not_everything_is_a_way_around(chunk, judged):
    context, goal, row = _blocked(chunk)
    assert goal_verdicts(Standing.of(context, goal), row, 0.96).tolist() == [judged]


def test_words_that_say_more_are_not_judged():
    goal = _goal((24, 10, 40, 40))
    careful = replace(goal, instruction=("go to the red post without touching the wall",))
    assert _verdict(careful, _row((0.9, 0.0), careful.instruction[0])) == [UNKNOWN]
    assert _verdict(goal, _row((0.9, 0.0), "Head for the red post.")) == [PASS]


def _box(pose, post, size=64):
    """Return the pixels of a post that `draw` paints: what an honest captioner would answer."""
    blank, seen = (draw(pose, places, ["red"] * len(places), size).astype(int)
                   for places in (np.zeros((0, 2)), post[None]))  # fmt: skip
    rows, columns = np.nonzero(np.abs(seen - blank).sum(axis=2) > 30)
    return (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))


def test_a_real_thing_is_confirmed_and_an_invented_one_unmasked():
    """Frames are drawn with the camera model; the thing seen in all of them has support, the other has not."""
    post = np.array([2.5, 0.3])
    real = [SeenObject(step, "red post", _box(STRAIGHT[step], post)) for step in range(0, 9, 2)]
    invented = SeenObject(4, "blue chair", (30.0, 20.0, 40.0, 44.0))
    context = _context(STRAIGHT, [*real, invented])
    support = Standing.of(context, _goal(real[2].box, 4, 4)).support
    assert support[0] == pytest.approx(5 / 6)
    assert Standing.of(context, _goal(invented.box, 4, 4, "Blue chair")).support[0] < 0.34
    landmarks = context.landmarks
    assert landmarks.name == ("blue chair", "red post")
    np.testing.assert_allclose(landmarks.place[1, :2], post, atol=0.25)
    assert landmarks.support[1, 4] == pytest.approx(5 / 6)
    assert landmarks.support[0, 4] < 0.34


def test_a_lone_frame_can_neither_confirm_nor_deny():
    seen = SeenObject(0, "red post", (24.0, 10.0, 40.0, 48.0))
    assert Standing.of(_context(STRAIGHT, [seen]), _goal(seen.box)).support.tolist() == [0.5]


def test_seen_things_are_proposed_before_plain_commands():
    import asyncio

    seen = SeenObject(2, "red post", (24.0, 10.0, 40.0, 48.0))
    context = _context(STRAIGHT, [seen])
    proposals = asyncio.run(GrammarProposer().propose(context, np.random.default_rng(0)))
    goal = int(np.flatnonzero(proposals.is_goal)[0])
    assert "red post" in proposals.instruction[goal]
    assert proposals.start[goal] == 2
    assert (proposals.priority[goal] < proposals.priority[proposals.command >= 0]).all()
    assert not (np.delete(proposals.command, goal) == 0).any(), "the factual command is not proposed"
