from dataclasses import replace

import numpy as np
import pytest
import torch

from embodied_cf.datasets.contract import EncodedImages, Episode
from embodied_cf.datasets.images import encode_jpeg
from embodied_cf.envs.rendering.render import Camera
from embodied_cf.envs.rendering.snapshots import Snapshots, take_snapshots
from embodied_cf.errors import DatasetError, RecordError
from embodied_cf.language.instruction import COLOURS, SEEN_KINDS
from embodied_cf.language.nav import VOCABULARY
from embodied_cf.language.segments import Segments
from embodied_cf.policies.detector import SIZE, Detector, load_detector, save_detector, weights_path
from embodied_cf.train.detector import DetectorRecipe, detection_loss, train_detector, training_frames
from embodied_cf.train.detector_batches import Frames, batches, make_batch, recolour
from embodied_cf.train.detector_scores import overlap, score_detector
from embodied_cf.vlm.learned import LearnedCaptioner


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dev():
    """Frames of layouts and names that training never saw."""
    return take_snapshots("rooms", "dev", range(100, 104), 8, Camera(SIZE, SIZE))


def test_the_shipped_weights_read_frames_that_training_never_saw(dev):
    found = score_detector(load_detector(), dev)
    assert found.recall > 0.7
    assert found.precision > 0.6
    assert found.colour > 0.8
    assert found.kind > 0.8
    assert found.distance > 0.7
    assert score_detector(Detector().eval(), dev).recall < 0.05, "untrained weights find nothing"


def test_the_shipped_weights_are_small():
    assert weights_path().stat().st_size < 2_000_000


def test_weights_are_written_and_read_back_in_half_precision(tmp_path):
    model = Detector().eval()
    save_detector(model, tmp_path / "w.safetensors")
    back = load_detector(tmp_path / "w.safetensors")
    frame = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(back(frame), model(frame), atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_broken_weights_are_named(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(DatasetError, match="no detector weights"):
        load_detector(tmp_path / "w.safetensors")


def test_overlap_by_hand():
    """Two unit squares that share half a square: 0.5 / 1.5; and one that shares nothing."""
    others = np.array([[0.5, 0.0, 1.5, 1.0], [2.0, 2.0, 3.0, 3.0]])
    np.testing.assert_allclose(overlap(np.array([0.0, 0.0, 1.0, 1.0]), others), [1 / 3, 0.0])


def _one_box(box, closeness=None):
    ramp = np.linspace(0, 1, SIZE, dtype=np.float16).repeat(SIZE).reshape(1, SIZE, SIZE)
    return Snapshots(np.zeros((1, SIZE, SIZE, 3), np.uint8), np.array([0]), np.array([box]), np.array([2]),
                     np.array([1]), np.array([500]), np.ones((1, SIZE), np.float32),
                     ramp if closeness is None else closeness)  # fmt: skip


def _batch(part, mirror=False):
    return make_batch(Frames.of(part), torch.arange(len(part.rgb)), mirror)


def test_a_box_is_taught_at_the_cell_of_its_centre_and_mirrors_with_the_frame():
    part = _one_box([0.25, 0.5, 0.5, 0.75])
    plain, mirrored = (_batch(part, mirror) for mirror in (False, True))
    assert [int(index[0]) for index in plain.index] == [0, 22, 13]
    assert [int(index[0]) for index in mirrored.index] == [0, 22, 22], "centre at 0.625"
    assert float(plain.heat[0, 22, 13]) == 1.0
    assert 0.0 < float(plain.heat[0, 22, 14]) < 1.0
    cell = (np.array([13, 22]) + 0.5) / 36
    torch.testing.assert_close(
        plain.reach[0],
        torch.tensor([cell[0] - 0.25, cell[1] - 0.5, 0.5 - cell[0], 0.75 - cell[1]], dtype=torch.float32),
    )


def test_a_cell_is_as_close_as_the_nearest_that_it_shows():
    frames = np.zeros((1, SIZE, SIZE), np.float16)
    frames[0, 4, 7], frames[0, 5, 6], frames[0, -1, -1] = 0.5, 0.25, 9.0
    part = _one_box([0.25, 0.5, 0.5, 0.75], frames)
    plain, mirrored = (_batch(part, mirror).closeness for mirror in (False, True))
    assert plain[0, 1, 1] == 0.5
    assert plain[0, 35, 35] == 2.5, "what is closer than 0.4 m counts as so close"
    assert int((plain > 0).sum()) == 2
    torch.testing.assert_close(mirrored, plain.flip(2))


def test_chosen_frames_bring_their_own_things_without_the_smallest(dev):
    frames = Frames.of(dev)
    chosen = [9, 2, 30]
    batch = make_batch(frames, torch.tensor(chosen), mirror=False)
    large = dev.pixels >= 0.0015 * SIZE**2
    for place, frame in enumerate(chosen):
        own, told = np.flatnonzero((dev.frame == frame) & large), batch.index[0] == place
        assert batch.kind[told].tolist() == dev.kind[own].tolist()
        assert batch.colour[told].tolist() == dev.colour[own].tolist()
    assert not large.all()
    assert len(batch.kind) == sum(int(((dev.frame == frame) & large).sum()) for frame in chosen)


def test_an_epoch_brings_each_frame_once(dev):
    frames = Frames.joined([Frames.of(dev)] * 2)
    assert len(frames) == 2 * len(dev.rgb)
    epoch = list(batches(frames, 5, np.random.default_rng(0)))
    assert [len(batch.image) for batch in epoch] == [5] * 12 + [4]
    assert sum(len(batch.kind) for batch in epoch) == len(frames.kind)
    grey = torch.cat([batch.image.mean(dim=(1, 2, 3)) for batch in epoch]).sort().values
    torch.testing.assert_close(grey, (frames.rgb.float() / 255).mean(dim=(1, 2, 3)).sort().values)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_recipe_makes_weights(tmp_path, workers):
    recipe = DetectorRecipe(tmp_path / "w.safetensors", scenes=1, poses=4, epochs=2, batch=8, device="cpu",
                            workers=workers)  # fmt: skip
    frames = training_frames(recipe)
    assert len(frames) == 3 * 4
    model = train_detector(recipe, frames)
    back = load_detector(recipe.out)
    shown = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(back(shown), model(shown), atol=2e-2, rtol=2e-2)


def test_from_recoloured_frames_no_colour_is_learnt():
    part = _one_box([0.25, 0.5, 0.5, 0.75])
    part = replace(part, rgb=np.random.default_rng(0).integers(0, 255, part.rgb.shape, np.uint8))
    batch = _batch(part)
    changed, same = (recolour(batch, share, np.random.default_rng(1)) for share in (1.0, 0.0))
    assert changed.colour.tolist() == [-1]
    assert same.colour.tolist() == batch.colour.tolist() == [1]
    torch.testing.assert_close(same.image, batch.image)
    assert (changed.image - batch.image).abs().mean() > 0.05
    assert changed.image.min() >= 0
    assert changed.image.max() <= 1
    model = Detector().eval()
    detection_loss(model, changed).backward()
    assert not any(value.grad.any() for value in model.colour.parameters()), "the colours learn nothing from it"
    assert model.head.weight.grad.any()


def test_what_colour_there_is_is_told_by_pixels_where_it_is_read_by_shapes():
    torch.manual_seed(0)
    reader = Detector().colour
    shape, middle = torch.randn(1, 32, 9, 9), (0, slice(None), slice(3, 6), slice(3, 6))
    uniform = torch.rand(1, 3, 1, 1).expand(1, 3, 36, 36)
    told = reader(uniform, shape)[middle].flatten(1)
    chance = torch.softmax(reader.pixel(uniform), dim=1)[0, :, 0, 0]
    seen = reader.where(shape).softmax(dim=1)[middle].flatten(1)
    inside = seen.unflatten(0, (5, 5))[1:4, 1:4].sum(dim=(0, 1))
    torch.testing.assert_close(told.exp() - 1e-4, chance[:, None] * inside, atol=1e-5, rtol=1e-4)
    other = reader(uniform, torch.randn(1, 32, 9, 9))[middle].flatten(1)
    torch.testing.assert_close(other.softmax(0), told.softmax(0), atol=1e-2, rtol=1e-2)


def test_maps_of_frames_that_do_not_divide_into_cells():
    assert Detector().eval()(torch.rand(1, 3, 18, 30)).shape[2:] == (5, 8)


def test_frozen_it_says_the_same():
    model = load_detector()
    frames = torch.rand(2, 3, 48, SIZE)
    torch.testing.assert_close(model.frozen()(frames), model(frames), atol=1e-3, rtol=1e-3)
    assert not any(value.requires_grad for value in model.frozen().parameters())


def test_training_makes_the_loss_smaller_and_frames_without_things_are_no_trouble():
    torch.manual_seed(0)
    part = _one_box([0.25, 0.5, 0.5, 0.75])
    model, losses = Detector().train(), []
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    batch = _batch(part)
    for _ in range(8):
        loss = detection_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    none = (column[:0] for column in (part.frame, part.box, part.kind, part.colour, part.pixels))
    empty = Snapshots(part.rgb, *none, part.floor, part.closeness)
    assert torch.isfinite(detection_loss(model, _batch(empty)))


async def _captions(frames):
    steps = len(frames)
    episode = Episode("set/0", {"primary": EncodedImages([encode_jpeg(frame) for frame in frames])},
                      np.zeros((steps, 0)), np.zeros((steps, 2)), np.ones(steps, bool), np.zeros(steps))  # fmt: skip
    nothing = Segments(np.zeros(0, np.int64), np.zeros(0, np.int64), (), ())
    return await LearnedCaptioner(VOCABULARY).caption(episode, nothing)


def test_the_learned_captioner_speaks_of_pixels_of_any_size(dev):
    import asyncio

    told = asyncio.run(_captions(dev.rgb[:6].repeat(2, axis=1).repeat(2, axis=2)))
    assert told.objects
    for item in told.objects:
        colour, kind = item.name.split()
        assert colour in COLOURS
        assert kind in SEEN_KINDS
        assert 0 <= item.box[0] < item.box[2] <= 2 * SIZE
        assert 0.35 <= item.score <= 1


def test_frames_of_different_sizes_in_one_episode_are_named():
    import asyncio

    frames = [np.zeros((16, width, 3), np.uint8) for width in (24, 24, 20)]
    with pytest.raises(RecordError, match=r"\[2\]: an image of 20 x 16 pixels among frames of 24 x 16"):
        asyncio.run(_captions(frames))
