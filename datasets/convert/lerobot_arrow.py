"""LeRobot's data rows as Arrow tables that Hugging Face `datasets` reads with the right types."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from embodied_cf.datasets.convert.lerobot_info import LeRobotFeature

_LANGUAGE_TEXTS = ("role", "content", "style", "camera")


def schema(features: Mapping[str, LeRobotFeature]) -> Any:
    """Return the Arrow schema of the data files; video features have no column."""
    import pyarrow as pa

    own = {name: feature for name, feature in features.items() if feature.dtype != "video"}
    told = {"info": {"features": {name: _hugging_face(name, feature) for name, feature in own.items()}}}
    fields = [pa.field(name, _arrow(name, feature)) for name, feature in own.items()]
    return pa.schema(fields, metadata={"huggingface": json.dumps(told)})


def cells(feature: LeRobotFeature, values: Any) -> Sequence[Any]:
    """Return a column's values as Arrow takes them."""
    if feature.dtype == "image":
        return [{"bytes": bytes(image), "path": None} for image in values.frames]
    return values.tolist() if isinstance(values, np.ndarray) else values


def tasks_table(tasks: Sequence[str]) -> Any:
    """Return meta/tasks.parquet: pandas reads the texts as the table's index, which is how LeRobot looks them up."""
    import pyarrow as pa

    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": own, "metadata": None}
        for name, kind, own in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    about = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    types = pa.schema([("task_index", pa.int64()), ("task", pa.string())], metadata={"pandas": json.dumps(about)})
    return pa.table({"task_index": list(range(len(tasks))), "task": list(tasks)}, schema=types)


def _arrow(name: str, feature: LeRobotFeature) -> Any:
    import pyarrow as pa

    if feature.dtype == "image":
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    if feature.dtype == "language":
        stamped = [("timestamp", pa.float32())] if name == "language_persistent" else []
        texts = [(text, pa.string()) for text in _LANGUAGE_TEXTS]
        rows = [*texts[:3], *stamped, *texts[3:], ("tool_calls", pa.list_(pa.string()))]
        return pa.list_(pa.struct(rows))
    kind = pa.string() if feature.dtype == "string" else pa.from_numpy_dtype(np.dtype(feature.dtype))
    if feature.shape == (1,):
        return kind
    if len(feature.shape) == 1:
        return pa.list_(kind, feature.shape[0])
    for _ in feature.shape:
        kind = pa.list_(kind)
    return kind


def _hugging_face(name: str, feature: LeRobotFeature) -> Any:
    """Return a feature as `datasets` writes it into parquet files."""
    if feature.dtype == "image":
        return {"_type": "Image"}
    if feature.dtype == "language":
        row: dict[str, Any] = {text: {"dtype": "string", "_type": "Value"} for text in _LANGUAGE_TEXTS}
        if name == "language_persistent":
            row["timestamp"] = {"dtype": "float32", "_type": "Value"}
        return [{**row, "tool_calls": [{"dtype": "string", "_type": "Value"}]}]
    value = {"dtype": feature.dtype, "_type": "Value"}
    if feature.shape == (1,):
        return value
    if len(feature.shape) == 1:
        return {"feature": value, "length": feature.shape[0], "_type": "Sequence"}
    return {"shape": list(feature.shape), "dtype": feature.dtype, "_type": f"Array{len(feature.shape)}D"}
