"""Augmentation: what becomes of image, action and instruction, by hand and by property."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.spec import CameraModel
from embodied_cf.datasets.streams import ColourJitter, HorizontalShift, Mirror, RandomCrop, View
from embodied_cf.datasets.streams.augment import mirrored, moved, recoloured, turned
from embodied_cf.errors import SpecError, UsageError

NAV, ARM = load_embodiment("nav"), load_embodiment("arm")
CAMERA = CameraModel(90.0, 0.6)
VIEW = View(NAV, CAMERA)
EVERY = (RandomCrop(2), ColourJitter(), HorizontalShift(3), Mirror())


def batch(size=4, width=8, history=2, observation=None, seed=0, text="Turn left, then keep right"):
    rng = np.random.default_rng(seed)
    return Batch(
        image=rng.integers(0, 256, (size, history, 6, width, 3)).astype(np.uint8),
        instruction=(text,) * size,
        action=rng.normal(0, 1, (size, 8, 2)).astype(np.float32),
        mask=np.ones((size, 8), bool),
        kind=np.zeros(size, np.uint8),
        score=np.ones(size, np.float32),
        odometry=rng.normal(0, 1, (size, history + 1, 3)).astype(np.float32),
        observation=np.arange(size) if observation is None else np.array(observation),
    )


def same(one, other):
    assert one.instruction == other.instruction
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_allclose(one.action, other.action, atol=1e-5)
    np.testing.assert_allclose(one.odometry, other.odometry, atol=1e-5)


def test_a_mirror_by_hand():
    before = batch(size=2)
    after = mirrored(before, np.array([True, False]))
    assert after.instruction == ("Turn right, then keep left", "Turn left, then keep right")
    np.testing.assert_array_equal(after.image[0, :, :, 0], before.image[0, :, :, -1])
    np.testing.assert_array_equal(after.action[0], before.action[0] * [1, -1])
    np.testing.assert_array_equal(after.action[1], before.action[1])
    np.testing.assert_array_equal(after.image[1], before.image[1])


@given(
    seed=st.integers(0, 99),
    words=st.lists(st.sampled_from(["left", "Right", "RIGHT", "clockwise", "leftmost", "chair,", "go"]), min_size=1),
)
def test_a_mirror_twice_is_the_same(seed, words):
    before = batch(seed=seed, text=" ".join(words))
    which = np.random.default_rng(seed).random(4) < 0.5
    same(mirrored(mirrored(before, which), which), before)


def test_who_turns_about_is_not_mirrored_nor_is_the_rest_of_that_observation():
    """To which side to look round is no matter of what is seen."""
    before = batch(observation=[0, 0, 1, 2])
    along = np.arange(1, 9) / 8
    before.action[:] = np.stack([along, 0.2 * along], axis=1)
    about = np.stack([np.sin(1.8 * along), 1 - np.cos(1.8 * along)], axis=1)
    before.action[1], before.action[3] = 0.3 * about, 0.0
    after = Mirror(1.0)(before, np.random.default_rng(0), VIEW)
    same(after, mirrored(before, np.array([False, False, True, True])))
    before.mask[1, 4:] = False
    same(Mirror(1.0)(before, np.random.default_rng(0), VIEW), mirrored(before, np.ones(4, bool)))


def test_a_shift_turns_the_chunk_by_hand():
    """90 degrees over 8 pixels: f = 4. Moved 4 pixels right is a robot turned 45 degrees to the left."""
    before = batch(size=1)
    before.action[0] = [1, 0]
    after = turned(before, np.array([4]), CAMERA)
    np.testing.assert_allclose(after.action[0, 0], [np.sqrt(0.5), -np.sqrt(0.5)], atol=1e-6)
    np.testing.assert_array_equal(after.image[0, :, :, 4:], before.image[0, :, :, :4])
    np.testing.assert_array_equal(after.image[0, :, :, :4], np.repeat(before.image[0, :, :, :1], 4, axis=2))


def test_a_shift_agrees_with_the_camera():
    """A post straight ahead stands in the middle; after the shift its column says the direction its chunk has."""
    size, focal = 64, 32.0
    before = batch(size=1, width=size)
    before.image[:] = 0
    before.image[0, :, :, 32] = 255
    before.action[0] = [2, 0]
    for pixels in (-9, 5, 12):
        after = turned(before, np.array([pixels]), CAMERA)
        column = int(after.image[0, 0, 0, :, 0].argmax())
        x, y = after.action[0, 0]
        assert column - 32 == pytest.approx(-focal * y / x)  # left of the middle is a positive y


@given(pixels=st.lists(st.integers(-3, 3), min_size=4, max_size=4), seed=st.integers(0, 99))
def test_a_shift_and_back_gives_the_chunk_and_the_middle_of_the_picture(pixels, seed):
    before, right = batch(seed=seed), np.array(pixels)
    back = turned(turned(before, right, CAMERA), -right, CAMERA)
    np.testing.assert_allclose(back.action, before.action, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(back.action, axis=2), np.linalg.norm(before.action, axis=2), atol=1e-5)
    np.testing.assert_array_equal(back.image[:, :, :, 3:5], before.image[:, :, :, 3:5])


@given(pixels=st.lists(st.integers(-3, 3), min_size=4, max_size=4), seed=st.integers(0, 99))
def test_a_shift_and_a_mirror_change_places_with_the_other_sign(pixels, seed):
    before, right, every = batch(seed=seed), np.array(pixels), np.ones(4, bool)
    same(mirrored(turned(before, right, CAMERA), every), turned(mirrored(before, every), -right, CAMERA))


def test_a_move_by_hand():
    image = np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3, 1).repeat(3, axis=4)
    right = moved(image, np.array([0]), np.array([1]))[0, 0, :, :, 0]
    down = moved(image, np.array([1]), np.array([0]))[0, 0, :, :, 0]
    assert right.tolist() == [[0, 0, 1], [3, 3, 4]]
    assert down.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_colours_by_hand():
    """Two pixels, grey 100 and 200: mean 150. Brightness doubles, contrast halves, no colour leaves the grey."""
    image = np.array([[[[[100] * 3, [200] * 3]]]], np.uint8)
    colour = np.array([[[[[200, 0, 0], [0, 0, 0]]]]], np.uint8)

    def first(image, *factors):
        return recoloured(image, np.array([factors]))[0, 0, 0, :, 0].tolist()

    assert first(image, 1.0, 1.0, 1.0) == [100, 200]
    assert first(image, 1.2, 1.0, 1.0) == [120, 240]
    assert first(image, 2.0, 1.0, 1.0) == [200, 255]
    assert first(image, 1.0, 0.5, 1.0) == [125, 175]
    assert first(image, 2.0, 0.5, 1.0) == [250, 255]  # the mean is 300 by then
    assert recoloured(colour, np.array([[1.0, 1.0, 0.0]]))[0, 0, 0].tolist() == [[60, 60, 60], [0, 0, 0]]


@pytest.mark.parametrize("augmentation", EVERY)
def test_samples_of_one_observation_are_changed_alike(augmentation):
    before = batch(size=6, observation=[7, 3, 7, 3, 7, 7])
    before.image[:] = before.image[:1]
    before.action[:] = before.action[:1]
    after = augmentation(before, np.random.default_rng(1), VIEW)
    for at in (3, 7):
        own = np.flatnonzero(before.observation == at)
        for other in own[1:]:
            np.testing.assert_array_equal(after.image[own[0]], after.image[other])
            np.testing.assert_array_equal(after.action[own[0]], after.action[other])
            assert after.instruction[own[0]] == after.instruction[other]


@pytest.mark.parametrize("augmentation", EVERY)
def test_chance_comes_from_the_generator_alone_and_the_batch_stays(augmentation):
    before, kept = batch(size=8), batch(size=8)
    same(*(augmentation(before, np.random.default_rng(4), VIEW) for _ in range(2)))
    same(before, kept)
    after = augmentation(before, np.random.default_rng(4), VIEW)
    assert not np.array_equal(after.image, before.image)
    assert set(after.instruction) <= set(augmentation.texts(before.instruction[0]))
    np.testing.assert_array_equal(after.observation, before.observation)


@pytest.mark.parametrize("augmentation", [RandomCrop(), ColourJitter()])
def test_looks_do_not_touch_the_action(augmentation):
    before = batch()
    np.testing.assert_array_equal(augmentation(before, np.random.default_rng(0), VIEW).action, before.action)


def test_what_has_no_exact_meaning_is_refused():
    with pytest.raises(UsageError, match=r"embodiment 'arm' has no mirror image.*Leave Mirror out"):
        Mirror().check(View(ARM, CAMERA))
    with pytest.raises(SpecError, match=r"no camera model.*Add \[camera_model\]"):
        HorizontalShift().check(View(NAV, None))
    with pytest.raises(UsageError, match=r"'arm' does not turn with its camera.*RandomCrop"):
        HorizontalShift().check(View(ARM, CAMERA))
    with pytest.raises(UsageError, match="pixels -1 is negative"):
        RandomCrop(-1).check(VIEW)
    with pytest.raises(UsageError, match=r"probability 2\.0"):
        Mirror(2.0).check(VIEW)
    with pytest.raises(UsageError, match=r"must be in \[0, 1\]"):
        ColourJitter(brightness=1.5).check(VIEW)
