"""A dataset made to do harm is refused, or its episode set aside, with a named error and little memory."""

import json
import shutil
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest

from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.datasets.convert import video
from embodied_cf.datasets.film import data_uri
from embodied_cf.datasets.image_head import MOST_PIXELS, read_head
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.shards import masked_crc
from embodied_cf.datasets.writer import DatasetCard, write_dataset
from embodied_cf.errors import DatasetError, RecordError

_TEXT = "tensorflow_datasets.core.features.text_feature.Text"
_DICT = "tensorflow_datasets.core.features.features_dict.FeaturesDict"


@pytest.fixture
def source(arm, tmp_path):
    return shutil.copytree(arm, tmp_path / "source")


def _told(source, **changes):
    """Change what dataset_info.json says of its split."""
    info = json.loads((source / "dataset_info.json").read_text())
    info["splits"][0] |= changes
    (source / "dataset_info.json").write_text(json.dumps(info))


_PLAIN = "arm_logs-train.{FILEFORMAT}-{SHARD_X_OF_Y}"
"""A template without the split's name, so that the files are found whatever it is."""


@pytest.mark.parametrize("name", ["../../evil", "a/b", "/etc/evil", "..", ".hidden", "a\0b", "", "a\nb", "x" * 101])
def test_a_split_that_would_lead_elsewhere(source, name):
    """Parts of a run and converted files are named after splits."""
    _told(source, name=name, filepathTemplate=_PLAIN)
    with pytest.raises(DatasetError, match="is no name of a split"):
        open_dataset(source)


def test_a_split_that_would_lead_elsewhere_is_not_written_either(tmp_path, source):
    with pytest.raises(DatasetError, match=r"'\.\./evil' is no name of a split"):
        write_dataset(tmp_path / "out", DatasetCard("x"), None, {"../evil": []})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("key", "value", "what"), [("name", "../x", "a dataset"), ("version", "1/../..", "version")])
def test_a_dataset_whose_name_would_lead_elsewhere(source, key, value, what):
    _told(source, filepathTemplate=_PLAIN)
    info = json.loads((source / "dataset_info.json").read_text())
    (source / "dataset_info.json").write_text(json.dumps({**info, key: value}))
    with pytest.raises(DatasetError, match=f"is no .*{what}"):
        open_dataset(source)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("/etc/{SHARD_X_OF_Y}", "points outside the dataset"),
        ("../{SPLIT}-{SHARD_X_OF_Y}", "points outside the dataset"),
        ("deep/../../{SPLIT}-{SHARD_X_OF_Y}", "points outside the dataset"),
        ("features.json", "'features.json' is no name of a shard"),
        ("labels/parts/run.json", "'labels/parts/run.json' is no name of a shard"),
        ("views/{SHARD_X_OF_Y}", "is no name of a shard"),
        (".{SHARD_X_OF_Y}.tmp", "is no name of a shard"),
        ("arm_logs-train.tfrecord-00000-of-00002", "stands for two shards"),
    ],
)
def test_shards_that_are_no_shards(source, template, problem):
    (source / "labels" / "parts").mkdir(parents=True)
    (source / "labels" / "parts" / "run.json").write_text("{}")
    _told(source, filepathTemplate=template)
    with pytest.raises(DatasetError) as caught:
        open_dataset(source)
    told = str(caught.value)
    assert problem in told or "shards are missing" in told
    assert problem in told or "views" in template or ".tmp" in template


@pytest.mark.parametrize(
    ("lengths", "problem"),
    [(["1"] * 20_000, "20000 shards, more than 16384"), (["-5", "4"], "a shard of -5 records"),
     ([str(2**62), "4"], f"a shard of {2**62} records")],
)  # fmt: skip
def test_absurd_numbers_of_shards_and_records(source, lengths, problem):
    _told(source, shardLengths=lengths)
    with pytest.raises(DatasetError, match=problem):
        open_dataset(source)


def _nested(depth):
    inner = json.dumps({"pythonClassName": _TEXT, "text": {}})
    head = f'{{"pythonClassName": "{_DICT}", "featuresDict": {{"features": {{"steps": '
    return head * depth + inner + "}}}" * depth


@pytest.mark.parametrize("text", [_nested(60), _nested(5000), "[" * 10**6, '{"a":' * 10**5, "[1, 2]", "null", "", "\0"])
@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_metadata_that_nest_without_end_or_are_none(source, name, text):
    (source / name).write_text(text)
    with pytest.raises(DatasetError, match=f"{name} cannot be read"):
        open_dataset(source)


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_metadata_of_a_hundred_megabytes(source, name):
    with open(source / name, "a") as file:
        file.truncate(100 << 20)
    with pytest.raises(DatasetError, match="metadata of 104857600 bytes, more than 67108864"):
        open_dataset(source)


def _legacy(name):
    return json.dumps({"type": _DICT, "content": {"steps": {"type": name, "content": "{}"}}})


def _within_text(name):
    inner = json.dumps({"type": name, "content": {}})
    return json.dumps({"type": _DICT, "content": json.dumps({"features": {"steps": {"jsonFeature": {"json": inner}}}})})


@pytest.mark.parametrize(
    "write",
    [
        lambda name: json.dumps({"pythonClassName": name, "text": {}}),
        lambda name: json.dumps({"python_class_name": name, "text": {}}),
        _legacy,
        _within_text,
    ],
)
def test_a_feature_class_from_elsewhere_is_not_imported(source, tmp_path, monkeypatch, write):
    """TFDS would import the module that features.json names: opening a dataset would run its author's choice."""
    (tmp_path / "chosen_by_the_author.py").write_text("raise SystemExit('this code ran')")
    monkeypatch.syspath_prepend(tmp_path)
    (source / "features.json").write_text(write("chosen_by_the_author.Feature"))
    with pytest.raises(DatasetError, match=r"names the class 'chosen_by_the_author.Feature', which is not one of"):
        open_dataset(source)


def png_of(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG that claims a size; its pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def claiming(kind: str, width: int, height: int) -> bytes:
    """An image of a few bytes whose head claims a size."""
    match kind:
        case "png":
            return png_of(width, height)
        case "jpeg":
            raw = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1])
            at = raw.index(b"\xff\xc0")
            raw[at + 5 : at + 9] = struct.pack(">HH", height, width)
        case "bmp":
            raw = bytearray(cv2.imencode(".bmp", np.zeros((8, 8, 3), np.uint8))[1])
            raw[18:26] = struct.pack("<ii", width, -height)
        case "gif":
            raw = bytearray(cv2.imencode(".gif", np.zeros((8, 8, 3), np.uint8))[1])
            raw[6:10] = struct.pack("<HH", width, height)
        case "webp":
            raw = bytearray(b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\0" * 6)
            raw[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(raw)


KINDS = ["png", "jpeg", "bmp", "gif", "webp"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_claims_too_much_is_not_decoded(kind):
    head = read_head(claiming(kind, 8192, 8192))
    assert (head.mime, head.width, head.height) == (f"image/{kind}", 8192, 8192)
    with pytest.raises(RecordError, match=r"here\[0\]: not a readable image \(an image of 60000 x 60000 pixels"):
        EncodedImages([claiming(kind, 60000, 60000)], "here").decode(0)
    with pytest.raises(ValueError, match="an image of 0 x 8 pixels" if kind != "webp" else "16777216 x 8"):
        read_head(claiming(kind, 0 if kind != "webp" else 1 << 24, 8))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".webp"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (24, 37), (300, 2)])
def test_honest_pictures_are_what_their_heads_say(suffix, height, width):
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    for quality in (100, 101):  # WebP: lossy, lossless
        options = [cv2.IMWRITE_WEBP_QUALITY, quality - 50 * (quality == 100)] if suffix == ".webp" else []
        encoded = cv2.imencode(suffix, pixels, options)[1].tobytes()
        head = read_head(encoded)
        assert (head.height, head.width) == (height, width)
        assert EncodedImages([encoded], "here").decode(0).shape == (height, width, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_breaks_off_is_named(kind):
    whole = claiming(kind, 8, 8)
    for length in range(32):
        try:
            read_head(whole[:length])
        except ValueError as error:
            assert any(told in str(error) for told in ("breaks off", "neither PNG", "pixels"))  # noqa: PT017
    for content in (b"", b"x", b"\xff\xd8\xff" + b"\xff" * 50, b"\xff\xd8\xff\xe0\0\0" * 9):
        with pytest.raises(RecordError, match="not a readable image"):
            EncodedImages([content], "here").decode(0)


def test_a_picture_of_one_row_makes_no_wall():
    assert len(data_uri(np.zeros((1, 100_000, 3), np.uint8))) < 100_000


def test_a_film_whose_frames_are_too_large_is_not_decoded(tmp_path, monkeypatch):
    path = tmp_path / "film.mp4"
    with video.VideoWriter(path, "h264", 10, (32, 64)) as writer:
        for _ in range(3):
            writer.write(np.zeros((32, 64, 3), np.uint8))
    assert len(list(video.read_frames(path, 0.0, 3, 10, whole=True))) == 3
    monkeypatch.setattr(video, "MOST_PIXELS", 2000)
    with pytest.raises(DatasetError, match=r"film.mp4: frames of 64 x 32 pixels, more than 2000"):
        list(video.read_frames(path, 0.0, 3, 10, whole=True))


_MEASURED = """
import resource, sys
from pathlib import Path
from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.datasets.shards import read_at, read_shard
import cv2
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sorted(Path(sys.argv[1]).iterdir()):
    try:
        if name.suffix == ".shard":
            kinds = [type(found).__name__ for found in read_shard(name, "tfrecord")]
            print(kinds, list(read_at(name, "tfrecord", [0])))
        else:
            EncodedImages([name.read_bytes()], name.name).decode(0)
    except Exception as error:
        print(type(error).__name__, error)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown // (1 if sys.platform == "linux" else 1024))
"""


def test_bombs_take_no_memory(tmp_path):
    """A PNG and a JPEG of 10 GB, and a shard of a terabyte that is a hole: a process reads them in a few megabytes."""
    (tmp_path / "a.png").write_bytes(png_of(60000, 60000))
    (tmp_path / "b.jpg").write_bytes(claiming("jpeg", 60000, 60000))
    length = struct.pack("<Q", (1 << 31) + 5)
    with open(tmp_path / "c.shard", "wb") as file:
        file.write(length + struct.pack("<I", masked_crc(length)))
        file.truncate((1 << 31) + 5 + 16)
    done = subprocess.run([sys.executable, "-c", _MEASURED, tmp_path], capture_output=True, text=True, check=True)
    png, jpeg, shard, grown = done.stdout.splitlines()
    assert png.startswith(f"RecordError a.png[0]: not a readable image (an image of 60000 x 60000 pixels, not of 1 to "
                          f"{MOST_PIXELS})")  # fmt: skip
    assert jpeg.startswith("RecordError b.jpg[0]: not a readable image (an image of 60000 x 60000 pixels")
    assert shard == "['Broken'] []"
    assert int(grown) < 100_000, "kilobytes"
