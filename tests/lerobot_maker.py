"""Small LeRobot datasets, v2.1 and v3.0, written with pyarrow and PyAV alone."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embodied_cf.datasets.convert.video import scheduling_kept

FPS = 10
LENGTHS = (12, 9, 15)
TASKS = ("pick up the cube", "put it down")
STATE_NAMES = ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]
CAMERA = "observation.images.front"
FEATURES = {
    "action": {"dtype": "float32", "shape": [7], "names": {"motors": [f"d{name}" for name in STATE_NAMES]}},
    "observation.state": {"dtype": "float32", "shape": [7], "names": STATE_NAMES},
    "observation.effort": {"dtype": "float64", "shape": [2, 3], "names": None},
    "next.reward": {"dtype": "float32", "shape": [1], "names": None},
    "next.done": {"dtype": "bool", "shape": [1], "names": None},
    "counts": {"dtype": "int64", "shape": [2], "names": None},
    "note": {"dtype": "string", "shape": [1], "names": None},
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
    CAMERA: {"dtype": "video", "shape": [64, 96, 3], "names": ["height", "width", "channels"],
             "info": {"video.fps": FPS, "video.codec": "av1"}},
}  # fmt: skip


def columns(episode: int) -> dict[str, list]:
    """The numbers of one episode: an end effector that moves by its actions."""
    length, first = LENGTHS[episode], sum(LENGTHS[:episode])
    rng = np.random.default_rng(episode)
    delta = np.zeros((length, 7))
    for start in range(0, length, 4):
        delta[start : start + 4, rng.integers(3)] = rng.choice([-0.01, 0.01])
    state = np.cumsum(delta, axis=0) - delta + [0.3, 0, 0.2, 0, 0, 0, 0]
    state[:, 6] = delta[:, 6] = np.arange(length) < length // 2
    return {
        "action": delta.astype(np.float32).tolist(),
        "observation.state": state.astype(np.float32).tolist(),
        "observation.effort": (rng.standard_normal((length, 2, 3)) / 3).tolist(),
        "next.reward": (np.arange(length) == length - 1).astype(np.float32).tolist(),
        "next.done": (np.arange(length) == length - 1).tolist(),
        "counts": [[i, 2**40 + i] for i in range(length)],
        "note": [f"é{i}" for i in range(length)],
        "timestamp": (np.arange(length) / FPS).astype(np.float32).tolist(),
        "frame_index": list(range(length)),
        "episode_index": [episode] * length,
        "index": list(range(first, first + length)),
        "task_index": [episode % 2] * (length - 2) + [1, 1],
    }


def frames(episode: int) -> list[np.ndarray]:
    """Pictures whose brightness says which frame they are."""
    rng = np.random.default_rng(100 + episode)
    blocks = rng.integers(0, 60, (4, 6, 3))
    return [np.kron(blocks + 10 * i, np.ones((16, 16, 1))).astype(np.uint8) for i in range(LENGTHS[episode])]


def write_video(path: Path, pictures: list[np.ndarray], codec: str = "libx264") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(FPS))
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        stream.options = {"crf": "10", "g": "2"}
        with scheduling_kept():
            container.start_encoding()
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _table(data: dict[str, list]) -> pa.Table:
    kinds = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
    fields = []
    for name in data:
        kind = kinds.get(FEATURES[name]["dtype"], pa.string())
        for _ in FEATURES[name]["shape"] if FEATURES[name]["shape"] != [1] else ():
            kind = pa.list_(kind)
        fields.append(pa.field(name, kind))
    return pa.table(data, schema=pa.schema(fields))


def _write(path: Path, table: pa.Table, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)


def _info(version: str, **more) -> dict:
    return {
        "codebase_version": version, "robot_type": "so100", "fps": FPS, "chunks_size": 1000, "features": FEATURES,
        "total_episodes": len(LENGTHS), "total_frames": sum(LENGTHS), "splits": {"train": "0:2", "val": "2:3"}, **more,
    }  # fmt: skip


def _finish(root: Path, info: dict) -> Path:
    (root / "meta" / "info.json").write_text(json.dumps(info))
    (root / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# My robot\n")
    (root / "LICENSE").write_text("All of it.")
    return root


def v21(root: Path, codec: str = "libx264") -> Path:
    """One parquet and one video per episode, metadata as JSON lines."""
    for episode in range(len(LENGTHS)):
        _write(root / f"data/chunk-000/episode_{episode:06d}.parquet", _table(columns(episode)))
        write_video(root / f"videos/chunk-000/{CAMERA}/episode_{episode:06d}.mp4", frames(episode), codec)
    meta = root / "meta"
    meta.mkdir()
    rows = [{"episode_index": i, "tasks": list(TASKS), "length": length} for i, length in enumerate(LENGTHS)]
    (meta / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = [{"task_index": i, "task": task} for i, task in enumerate(TASKS)]
    (meta / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tasks))
    return _finish(root, _info(
        "v2.1", data_path="data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        video_path="videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    ))  # fmt: skip


def v30(root: Path, codec: str = "libx264") -> Path:
    """The first two episodes share their files, the third has its own; row groups cut episodes apart."""
    rows, firsts = [], (0, 12, 21)
    for file, episodes in enumerate(((0, 1), (2,))):
        table = pa.concat_tables([_table(columns(episode)) for episode in episodes])
        _write(root / f"data/chunk-000/file-{file:03d}.parquet", table, row_group_size=8)
        pictures = [picture for episode in episodes for picture in frames(episode)]
        write_video(root / f"videos/{CAMERA}/chunk-000/file-{file:03d}.mp4", pictures, codec)
        for episode in episodes:
            start = (firsts[episode] - firsts[episodes[0]]) / FPS
            rows.append({
                "episode_index": episode, "tasks": list(TASKS), "length": LENGTHS[episode],
                "data/chunk_index": 0, "data/file_index": file,
                "dataset_from_index": firsts[episode], "dataset_to_index": firsts[episode] + LENGTHS[episode],
                f"videos/{CAMERA}/chunk_index": 0, f"videos/{CAMERA}/file_index": file,
                f"videos/{CAMERA}/from_timestamp": start,
                f"videos/{CAMERA}/to_timestamp": start + LENGTHS[episode] / FPS,
            })  # fmt: skip
    _write(root / "meta/episodes/chunk-000/file-000.parquet", pa.Table.from_pylist(rows))
    _write(root / "meta/tasks.parquet", pa.table({"task_index": [0, 1], "task": list(TASKS)}))
    return _finish(root, _info(
        "v3.0", data_path="data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        video_path="videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    ))  # fmt: skip
