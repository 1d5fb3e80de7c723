"""RLDS of robots that drive into folders of GNM trajectories, labels in a file beside each."""

import base64
import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydantic

from embodied_cf.datasets.contract import EncodedImages, Episode
from embodied_cf.datasets.convert.cards import card_files, declared_licence
from embodied_cf.datasets.convert.checked_json import parse
from embodied_cf.datasets.convert.gnm_to_rlds import ARRAYS, PICKLE
from embodied_cf.datasets.convert.lerobot_sidecar import label_rows
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.paths import inside
from embodied_cf.datasets.convert.result import Converted, Progress
from embodied_cf.datasets.convert.rlds_source import usable
from embodied_cf.datasets.convert.rlds_target import label_files
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.files import atomic_directory, json_line, write_text
from embodied_cf.datasets.images import encode_jpeg
from embodied_cf.datasets.parts import parts
from embodied_cf.datasets.rlds import RldsDataset, Shard, open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import DatasetError, UsageError

_SAID = (
    "Converted from RLDS ({name}) by embodied-cf. `labels.jsonl` beside a trajectory holds its labels, `labels/` "
    "where they come from; `language.jsonl` holds what the dataset itself said."
)
_JPEG = b"\xff\xd8"


@dataclass(frozen=True)
class _Stored:
    """How an array lay in the pickle that the data came from."""

    dtype: str
    shape: tuple[int, ...]
    data: str | None = None
    __pydantic_config__: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="forbid")


def rlds_to_gnm(options: ConvertOptions, progress: Progress) -> Converted:
    """Convert; run again to resume. Raises UsageError if the spec's robot does not drive."""
    dataset = open_dataset(options.source)
    spec = load_spec(options.spec, options.source)
    if spec.body().kind != "nav":
        raise UsageError("GNM holds poses of robots that drive; this spec's does not", where=options.source)
    reader = EpisodeReader(dataset.features, spec)
    named: set[str] = set()
    steps = anew = left_out = 0
    with parts(options.out, {"from": str(options.source.resolve()), "spec": str(spec)}) as state:
        for shard in dataset.shards():
            part = f"{shard.split}-{shard.index:05d}"
            done = state.result(part)
            if done is None:
                done = _shard(dataset, shard, reader, options.out, frozenset(named))
                state.finish(part, done)
            named |= set(done["names"])
            steps, anew, left_out = steps + done["steps"], anew + done["anew"], left_out + done["left_out"]
            progress(len(done["names"]), done["steps"])
        _write_beside(dataset, options.out)
    notes = (f"{anew} frames were no JPEG and are encoded as such",) if anew else ()
    return Converted(options.out, len(named), steps, notes, left_out)


def _shard(
    dataset: RldsDataset, shard: Shard, reader: EpisodeReader, out: Path, taken: frozenset[str]
) -> dict[str, Any]:
    """Write a shard's trajectories; those of it that stand already are whole."""
    names: list[str] = []
    steps = anew = left_out = 0
    for index, episode in usable(dataset, shard, reader):
        if episode is None:
            left_out += 1
            continue
        arrays = _stored(episode)
        own = str(episode.metadata.get("episode_metadata/episode_id", "")) if arrays else ""
        folder = inside(out, own or f"{shard.split}/{shard.index:05d}_{index:05d}")
        name = str(folder.relative_to(out))
        if name == "." or name in taken or name in names:
            raise DatasetError(f"a second episode is called {name!r}", where=episode.episode_id)
        names.append(name)
        images = next(iter(episode.cameras.values()))
        if not folder.is_dir():
            with atomic_directory(folder) as directory:
                _write(directory, episode, images, arrays)
        steps += len(episode)
        anew += sum(bytes(frame[:2]) != _JPEG for frame in images.frames)
    return {"names": names, "steps": steps, "anew": anew, "left_out": left_out}


def _write_beside(dataset: RldsDataset, out: Path) -> None:
    said = _SAID.format(name=f"{dataset.name} {dataset.version}")
    card = card_files(dataset.path, said, declared_licence(dataset.path))
    for name, text in {**card, **label_files(dataset.path / "labels")}.items():
        write_text(out / name, text)


def _write(directory: Path, episode: Episode, images: EncodedImages, arrays: Mapping[str, _Stored]) -> None:
    for at, frame in enumerate(images.frames):
        kept = bytes(frame) if bytes(frame[:2]) == _JPEG else encode_jpeg(images.decode(at))
        (directory / f"{at}.jpg").write_bytes(kept)
    (directory / PICKLE).write_bytes(pickle.dumps(_arrays(episode, arrays), protocol=4))
    rows = [row for name, labels in sorted(episode.labels.items()) for row in label_rows(name, 0, labels)]
    if rows:
        (directory / "labels.jsonl").write_text("".join(_lines(rows)), encoding="utf-8")
    spans = [asdict(span) for span in episode.language if span.text]
    if spans:
        (directory / "language.jsonl").write_text("".join(map(json_line, spans)), encoding="utf-8")


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        del row["episode_index"]
        width = len(row["action"]) // len(row["action_mask"])
        row["action"] = np.reshape(row["action"], (-1, width)).tolist()
        yield json_line(row)


def _stored(episode: Episode) -> dict[str, _Stored]:
    """Return what is known of the pickle that an episode came from, nothing if it came from none."""
    told = episode.metadata.get(ARRAYS)
    return parse(dict[str, _Stored], _json(str(told), episode.episode_id), episode.episode_id) if told else {}


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{ARRAYS} is no JSON ({error})", where=where) from error


def _arrays(episode: Episode, stored: Mapping[str, _Stored]) -> dict[str, np.ndarray]:
    pose = episode.pose if episode.pose is not None else np.zeros((0, 3))
    known = {"position": pose[:, :2], "yaw": pose[:, 2]}
    arrays = {name: values for name, values in known.items() if name not in stored}
    for name, how in stored.items():
        try:
            dtype = np.dtype(how.dtype)
            values = known[name].astype(dtype) if how.data is None else np.frombuffer(base64.b64decode(how.data), dtype)
            arrays[name] = values.reshape(how.shape)
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{ARRAYS} does not describe array {name!r} ({error})", where=episode.episode_id
            ) from error
    return arrays
