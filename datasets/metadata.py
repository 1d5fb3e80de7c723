"""features.json and dataset_info.json, through TFDS' own classes; no TensorFlow is loaded."""

import errno
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embodied_cf.datasets.features import STEPS, load_tree
from embodied_cf.datasets.files import atomic_path, disk_errors, write_text
from embodied_cf.datasets.label_store import belongs_to, label_features, set_key, step_text_key

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict

_COPY_LIMIT = 10 << 20
"""Bytes up to which a file beside the shards is carried over."""
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
"""What file systems without hard links answer, or with too many of them."""
INFO = "dataset_info.json"
FEATURES = "features.json"


def with_label_set(directory: Path, name: str, horizon: int, dimensions: int) -> "FeaturesDict":
    """Return the feature tree of a dataset with a label set added, its per-step text included."""
    from tensorflow_datasets.core import features

    text = features.Text(doc=f"Hindsight instruction of this step, of label set {name}.")
    added = label_features(name, horizon, dimensions)
    return _edited(load_tree(directory), lambda key: False, {step_text_key(name): text}, added)


def without_label_set(directory: Path, *names: str) -> "FeaturesDict":
    """Return the feature tree of a dataset less some label sets."""

    def dropped(key: str) -> bool:
        return any(belongs_to(name, f"{key}/") or belongs_to(name, key) for name in names)

    return _edited(load_tree(directory), dropped, {}, {})


def steps_only(tree: "FeaturesDict") -> "FeaturesDict":
    """Return a feature tree without top-level label sets, for readers that spread every key over the steps."""
    from tensorflow_datasets.core import features

    kept = {key: child for key, child in tree.items() if not (key == set_key("labels") or key.startswith("labels_"))}
    return features.FeaturesDict(kept)


def write_features(tree: "FeaturesDict", directory: Path) -> None:
    """Write features.json, and the vocabulary files that some features have, into an existing directory."""
    with atomic_path(directory / FEATURES) as temporary:
        scratch = temporary.with_name(f"{temporary.name}.d")
        scratch.mkdir(exist_ok=True)
        try:
            tree.save_config(str(scratch))
            (scratch / FEATURES).replace(temporary)
            for extra in scratch.iterdir():
                extra.replace(directory / extra.name)
        finally:
            for left in scratch.iterdir():
                left.unlink()
            scratch.rmdir()


def write_info(source: Path, directory: Path, splits: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    """Write dataset_info.json as `source` has it, with the (records, bytes) of each shard of each split.

    Splits that are not named are dropped, as are statistics, which the new records would belie.
    """
    from tensorflow_datasets.core import dataset_info

    proto = dataset_info.read_from_json(str(source / INFO))
    kept = [split for split in proto.splits if split.name in splits]
    for split in kept:
        shards = splits[split.name]
        split.shard_lengths[:] = [records for records, _ in shards]
        split.num_bytes = sum(size for _, size in shards)
        split.ClearField("statistics")
    del proto.splits[:]
    proto.splits.extend(kept)
    write_text(directory / INFO, _canonical(dataset_info.get_dataset_info_json(proto)))


def carry_over(source: Path, directory: Path, shards: Sequence[str]) -> None:
    """Copy licence, readme, spec and the like; other tools' statistics would be stale and stay behind."""
    for item in sorted(source.iterdir()):
        stale = item.name.startswith(("dataset_statistics", ".")) or item.name in (FEATURES, INFO)
        if item.is_file() and item.name not in shards and not stale and item.stat().st_size <= _COPY_LIMIT:
            with atomic_path(directory / item.name) as temporary:
                shutil.copyfile(item, temporary)


def link_view(directory: Path, tree: "FeaturesDict", shards: Sequence[str]) -> None:
    """Make `directory/views/steps`: hard links to the shards under metadata that shows no label sets.

    Where the file system has no hard links, the view holds copies.
    """
    view = directory / "views" / "steps"
    with disk_errors(view):
        view.mkdir(parents=True, exist_ok=True)
        for name in shards:
            link = view / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            _link_or_copy(directory / name, link)
    write_features(steps_only(tree), view)
    write_text(view / INFO, (directory / INFO).read_text(encoding="utf-8"))


def _link_or_copy(file: Path, link: Path) -> None:
    try:
        link.hardlink_to(file)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with atomic_path(link) as temporary:
            shutil.copyfile(file, temporary)


def _edited(tree: "FeaturesDict", dropped: Any, step_texts: Mapping, top: Mapping) -> "FeaturesDict":
    from tensorflow_datasets.core import features

    steps = tree[STEPS]
    inner = {key: child for key, child in steps.feature.items() if not dropped(f"{STEPS}/{key}")}
    inner |= {key.removeprefix(f"{STEPS}/"): child for key, child in step_texts.items()}
    kept = {key: child for key, child in tree.items() if not dropped(key) and key != STEPS}
    rebuilt = type(steps)(features.FeaturesDict(inner), length=getattr(steps, "_length", None))
    return features.FeaturesDict({**kept, STEPS: rebuilt, **top})


def _canonical(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
