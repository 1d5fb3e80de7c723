"""Label sets of a LeRobot dataset that this project exported: tables in meta/embodied_cf, read and written.

LeRobot's language columns hold the words; chunks, masks, scores and sources have no place there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pydantic

from embodied_cf.datasets.contract import Labels
from embodied_cf.datasets.convert.checked_json import parse, read_json
from embodied_cf.datasets.convert.rows import Rows, numbers, read_columns
from embodied_cf.datasets.label_store import hindsight_texts, label_features, set_key, step_text_key
from embodied_cf.errors import DatasetError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict
    from tensorflow_datasets.core.features.feature import FeatureConnector

FOLDER = Path("meta") / "embodied_cf"
EXPORT = "export.json"
_TEXTS = ("kind", "instruction", "command", "source")
_NUMBERS = (("start", "int32"), ("end", "int32"), ("told", "int32"), ("score", "float32"))
_COLUMNS = [*_TEXTS, *(name for name, _ in _NUMBERS), "action", "action_mask"]


@dataclass(frozen=True)
class Export:
    """export.json: the label sets and the shape (H, A) of their chunks."""

    label_sets: dict[str, tuple[int, int]] = field(default_factory=dict)
    __pydantic_config__: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="forbid")


@dataclass(frozen=True)
class LabelReader:
    """Gives an episode's label sets as parts of an RLDS example and feature tree."""

    sets: Mapping[str, tuple[int, int]]
    places: Mapping[tuple[str, int], tuple[Path, int, int]]
    """(label set, episode) to file, first row and number of rows."""

    def features(self) -> Mapping[str, "FeaturesDict"]:
        """Return the top-level features."""
        return {key: tree for name, shape in self.sets.items() for key, tree in label_features(name, *shape).items()}

    def step_features(self) -> Mapping[str, "FeatureConnector"]:
        """Return the per-step hindsight texts."""
        from tensorflow_datasets.core import features as tf

        return {
            step_text_key(name): tf.Text(doc=f"Hindsight instruction of this step, of label set {name}.")
            for name in self.sets
        }

    def example(self, episode: int, steps: int) -> dict[str, Any]:
        """Return the label sets of an episode as parts of its example."""
        parts: dict[str, Any] = {}
        for name in self.sets:
            labels = self.read(name, episode)
            parts |= {f"{set_key(name)}/{column}": getattr(labels, column) for column in _COLUMNS}
            parts[step_text_key(name)] = hindsight_texts(labels, steps)
        return parts

    def read(self, name: str, episode: int) -> Labels:
        """Return one label set of an episode; it may have no rows."""
        shape = self.sets[name]
        if (name, episode) not in self.places:
            return Labels.empty(*shape)
        path, start, count = self.places[name, episode]
        table, where = Rows(_COLUMNS).read(path, start, count), f"{path}, episode {episode}"
        columns: dict[str, Any] = {column: tuple(map(str, table[column].to_pylist())) for column in _TEXTS}
        columns |= {column: numbers(table[column], dtype, (), where) for column, dtype in _NUMBERS}
        return Labels(
            **columns,
            action=numbers(table["action"], "float32", shape, where),
            action_mask=numbers(table["action_mask"], "bool", shape[:1], where),
        )


def open_sidecar(root: Path) -> LabelReader:
    """Return the label sets of a LeRobot dataset, none if this project did not export it."""
    path = root / FOLDER / EXPORT
    if not path.is_file():
        return LabelReader({}, {})
    sets = parse(Export, read_json(path), path).label_sets
    places: dict[tuple[str, int], tuple[Path, int, int]] = {}
    for file in sorted((root / FOLDER).glob("labels-*.parquet")):
        table = read_columns(file, ["label_set", "episode_index"])
        for at, key in enumerate(zip(table["label_set"], table["episode_index"], strict=True)):
            held = places.setdefault(key, (file, at, 0))
            if held[0] != file or held[1] + held[2] != at:
                raise DatasetError(f"labels of episode {key[1]} do not lie together", where=file)
            places[key] = (file, held[1], held[2] + 1)
    return LabelReader(sets, places)


def label_schema() -> Any:
    """Return the Arrow schema of a label table."""
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("label_set", *_TEXTS)]
    whole = [(name, pa.int32()) for name in ("start", "end", "told")]
    numeric = [("episode_index", pa.int64()), *whole, ("score", pa.float32())]
    return pa.schema([*texts, *numeric, ("action", pa.list_(pa.float32())), ("action_mask", pa.list_(pa.bool_()))])


def label_rows(name: str, episode: int, labels: Labels) -> Iterable[dict[str, Any]]:
    """Yield the rows of a label table."""
    columns: dict[str, Sequence[Any]] = {column: getattr(labels, column) for column in _TEXTS}
    columns |= {column: getattr(labels, column).tolist() for column, _ in _NUMBERS}
    columns |= {"action": labels.action.reshape(len(labels), -1).tolist(), "action_mask": labels.action_mask.tolist()}
    for row in range(len(labels)):
        yield {"label_set": name, "episode_index": episode, **{key: values[row] for key, values in columns.items()}}
