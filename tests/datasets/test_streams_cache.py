"""The cache of decoded frames: made once, found at once, rebuilt when damaged, put where one can write."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from labelled import labelled

from embodied_cf.datasets.streams import Source, Stream, cache
from embodied_cf.datasets.streams.arrays import ArrayWriter, read_arrays
from embodied_cf.datasets.streams.sources import open_source
from embodied_cf.errors import DatasetError, OutputError, UsageError

SIZE = (16, 16)


@pytest.fixture
def data(tmp_path):
    return labelled(tmp_path / "tiny" / "1.0.0")


@pytest.fixture
def builds(monkeypatch):
    """How often a cache was built."""
    calls = []
    real = cache.build
    monkeypatch.setattr(cache, "build", lambda *arguments: (calls.append(1), real(*arguments)))
    return calls


def stream(data, **options):
    return Stream((Source(data),), **{"size": SIZE, "batch_size": 4, **options})


def image(stream):
    return next(iter(stream.batches(0))).image


def folder(data):
    (found,) = [path for path in data.with_name(".1.0.0.cache").iterdir() if path.is_dir()]
    return found


def test_it_lies_beside_the_dataset_and_is_made_once(data, builds):
    shown = []
    first = stream(data, progress=lambda done, total: shown.append((done, total)))
    assert shown == [(1, 4), (2, 4), (3, 4), (4, 4)]
    np.testing.assert_array_equal(image(first), image(stream(data)))
    assert len(builds) == 1
    stream(data, size=(8, 8))
    assert len(builds) == 2
    assert sorted(path.name for path in data.iterdir() if path.name.startswith(".")) == []


def test_a_chosen_directory_is_used(data, tmp_path, builds):
    chosen = tmp_path / "elsewhere"
    for _ in range(2):
        stream(data, cache=chosen)
    assert len(builds) == 1
    assert any(chosen.iterdir())
    assert not data.with_name(".1.0.0.cache").exists()


def test_where_nothing_can_be_written_it_lies_in_the_personal_cache(data, tmp_path, builds, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "personal"))
    monkeypatch.setattr(cache.os, "access", lambda path, mode: False)
    for _ in range(2):
        stream(data)
    assert len(builds) == 1
    assert any((tmp_path / "personal" / "embodied-cf").iterdir())


@pytest.mark.parametrize("file", ["frames.bin", "labels.action.bin", "index.json"])
@pytest.mark.parametrize("damage", ["shorter", "changed", "absent"])
def test_a_damaged_cache_is_made_again(data, builds, file, damage):
    before = image(stream(data))
    path = folder(data) / file
    content = path.read_bytes()
    path.unlink()
    if damage == "shorter":
        path.write_bytes(content[:-1])
    elif damage == "changed":
        path.write_bytes(bytes(255 - byte for byte in content[:64]) + content[64:])
    np.testing.assert_array_equal(image(stream(data)), before)
    assert len(builds) == 2


def test_an_interrupted_build_leaves_nothing_that_is_taken_for_whole(data, builds):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(data, progress=stop)
    assert not [path for path in data.with_name(".1.0.0.cache").iterdir() if path.is_dir()]
    stream(data)
    assert len(builds) == 2


def test_what_a_killed_build_left_is_swept_away(data, builds):
    stream(data)
    left = folder(data).with_name(f".{folder(data).name}.tmp")
    folder(data).rename(left)
    (left / "index.json").unlink()
    stream(data)
    assert len(builds) == 2
    assert not left.exists()


def test_many_who_want_it_at_once_make_it_once(data, builds):
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: image(stream(data)), range(4)))
    assert len(builds) == 1
    assert all(np.array_equal(images[0], other) for other in images)


def test_a_full_disk_is_named(data, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ArrayWriter, "append", full)
    with pytest.raises(OutputError, match="No space left on device"):
        stream(data)


def test_unreadable_records_are_left_out_and_named(tmp_path):
    def blot(index, episode):
        if index == 1:
            episode["steps"]["observation"]["image"][3] = b"\x89PNG no picture"

    data = labelled(tmp_path / "d" / "1.0.0", change=blot)
    opened = stream(data, holdout=0.0)
    assert opened.observations == 3 * 5
    assert len(opened.left_out) == 1
    assert "00001" in opened.left_out[0]
    assert "not a readable image" in opened.left_out[0]
    assert stream(data, holdout=0.0).left_out == opened.left_out


def test_rows_after_the_end_are_left_out_and_named(tmp_path):
    rows = [[("hindsight", 0, 5, "a")], [("hindsight", 40, 45, "a")]]
    opened = stream(labelled(tmp_path / "d" / "1.0.0", {"labels": rows}, episodes=2))
    assert "rows that start after the last step" in opened.left_out[0]


def test_nothing_usable_is_an_error_that_says_why(tmp_path):
    def blot(index, episode):
        episode["steps"]["observation"]["image"][0] = b"\x89PNG no picture"

    data = labelled(tmp_path / "d" / "1.0.0", change=blot)
    with pytest.raises(DatasetError, match=r"no episode has a label; 4 records were left out \(.*not a readable image"):
        stream(data)
    empty = labelled(tmp_path / "e" / "1.0.0", {"labels": [[], []]}, episodes=2)
    with pytest.raises(DatasetError, match=r"no episode has a label\. Look at labels/report\.html"):
        stream(empty)


def test_episodes_without_labels_are_not_decoded(tmp_path):
    opened = stream(labelled(tmp_path / "d" / "1.0.0", {"labels": [[("hindsight", 0, 5, "a")], []]}, episodes=2))
    assert opened.observations == 5
    assert opened.left_out == ()
    assert np.fromfile(folder(tmp_path / "d" / "1.0.0") / "frames.bin", np.uint8).size == 6 * 16 * 16 * 3


@pytest.mark.parametrize("size", [(0, 16), (16, -1), (5000, 16)])
def test_impossible_sizes_are_named(data, size):
    with pytest.raises(UsageError, match=r"image size .* is not in 1\.\.4096"):
        stream(data, size=size)


def test_the_fingerprint_is_of_the_content(data, tmp_path):
    copy = tmp_path / "copy" / "other"
    shutil.copytree(data, copy)
    fingerprint = open_source(Source(data)).fingerprint
    assert open_source(Source(copy)).fingerprint == fingerprint
    (copy / "spec.toml").write_text((data / "spec.toml").read_text().replace("0.25", "0.5"))
    assert open_source(Source(copy)).fingerprint != fingerprint
    assert open_source(Source(labelled(tmp_path / "more" / "1.0.0", score=0.5))).fingerprint != fingerprint


def test_arrays_come_back_and_empty_ones_too(tmp_path):
    with ArrayWriter(tmp_path) as writer:
        writer.append("a", np.arange(6, dtype=np.int32).reshape(2, 3))
        writer.append("a", np.zeros((1, 3), np.int32))
        writer.append("none", np.zeros((0, 2), np.float32))
        writer.finish({"said": ["x"]})
    arrays = read_arrays(tmp_path)
    assert arrays.by_name["a"].tolist() == [[0, 1, 2], [3, 4, 5], [0, 0, 0]]
    assert arrays.by_name["none"].shape == (0, 2)
    assert arrays.facts == {"said": ["x"]}
    assert read_arrays(tmp_path / "nowhere") is None
