"""Label sets inside records: how a Labels table becomes appended keys, and how it is read back.

A label set NAME lives under the top-level key `labels` (or `labels_NAME`), a TFDS Sequence of a FeaturesDict,
and has a per-step text `steps/language_instruction_hindsight` (`..._NAME`), which octo's `language_key`
pattern `language_instruction*` can sample.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from embodied_cf.datasets import wire
from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import DEFAULT_LABEL_SET, SCHEMA_VERSION, Labels
from embodied_cf.datasets.features import STEPS, Features
from embodied_cf.errors import UsageError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
_SET_KEY = re.compile(r"^(labels(?:_[A-Za-z0-9_-]+)?)/action$")
_HINDSIGHT = f"{STEPS}/language_instruction_hindsight"


def set_key(name: str) -> str:
    """Return the top-level key of a label set: `labels`, or `labels_NAME`."""
    if name == DEFAULT_LABEL_SET:
        return DEFAULT_LABEL_SET
    if not _NAME.match(name):
        raise UsageError(f"label set name {name!r} is not letters, digits, - and _", remedy="Choose another name.")
    return f"{DEFAULT_LABEL_SET}_{name}"


def step_text_key(name: str) -> str:
    """Return the key of a label set's per-step hindsight text."""
    return _HINDSIGHT + set_key(name).removeprefix(DEFAULT_LABEL_SET)


def is_step_text(key: str) -> bool:
    """Whether a key is the per-step text of some label set: no word of the dataset's own, whatever pattern finds it."""
    return key.startswith(_HINDSIGHT)


def set_names(features: Features) -> tuple[str, ...]:
    """Return the names of the label sets that a dataset holds."""
    keys = [match[1] for key in features if (match := _SET_KEY.match(key))]
    return tuple(sorted(key.removeprefix(f"{DEFAULT_LABEL_SET}_") for key in keys))


def belongs_to(name: str, key: str) -> bool:
    """Whether an Example's key is part of the label set."""
    return key.startswith(f"{set_key(name)}/") or key == step_text_key(name)


def encode_labels(name: str, labels: Labels, step_texts: Sequence[str]) -> bytes:
    """Return the serialized Example that, appended to a record of len(step_texts) steps, adds the label set."""
    prefix = set_key(name)
    return wire.encode_example(
        {
            f"{prefix}/kind": wire.text_feature(labels.kind),
            f"{prefix}/start": wire.int64_feature(labels.start),
            f"{prefix}/end": wire.int64_feature(labels.end),
            f"{prefix}/instruction": wire.text_feature(labels.instruction),
            f"{prefix}/command": wire.text_feature(labels.command),
            f"{prefix}/action": wire.float_feature(labels.action),
            f"{prefix}/action_mask": wire.int64_feature(labels.action_mask.astype(np.int64)),
            f"{prefix}/score": wire.float_feature(labels.score),
            f"{prefix}/source": wire.text_feature(labels.source),
            f"{prefix}/told": wire.int64_feature(labels.told),
            step_text_key(name): wire.text_feature(step_texts),
        }
    )


def hindsight_texts(labels: Labels, steps: int) -> tuple[str, ...]:
    """Return for each step the factual instruction of the shortest range that holds there, "" where none does.

    The last step has no future of its own and takes the text of the step before.
    """
    factual = [row for row, kind in enumerate(labels.kind) if kind != "counterfactual"]
    length = (labels.end - labels.start)[factual]
    texts = [""] * steps
    start, end = labels.start.tolist(), labels.end.tolist()
    for row in [factual[i] for i in np.argsort(-length, kind="stable").tolist()]:
        texts[start[row] : end[row]] = [labels.instruction[row]] * (end[row] - start[row])
    return (*texts[:-1], texts[-2]) if steps > 1 else tuple(texts)


def decode_labels(columns: Columns, name: str) -> Labels:
    """Return the label set of a record; raises RecordError if it is damaged."""
    prefix = set_key(name)

    def text(column: str) -> tuple[str, ...]:
        return tuple(columns.texts(f"{prefix}/{column}"))

    def array(column: str) -> np.ndarray:
        return np.asarray(columns.array(f"{prefix}/{column}"))

    return Labels(
        kind=text("kind"),
        start=array("start"),
        end=array("end"),
        instruction=text("instruction"),
        command=text("command"),
        action=array("action"),
        action_mask=array("action_mask"),
        score=array("score"),
        source=text("source"),
        told=array("told" if columns.has(f"{prefix}/told") else "start"),
    )


def label_features(name: str, horizon: int, dimensions: int) -> Mapping[str, "FeaturesDict"]:
    """Return the TFDS features of a label set, by top-level key, with their documentation."""
    from tensorflow_datasets.core import features as tf

    def text(what: str) -> "tf.Text":
        return tf.Text(doc=what)

    def number(dtype: type, what: str, shape: tuple[int, ...] = ()) -> "tf.Tensor":
        return tf.Tensor(shape=shape, dtype=dtype, doc=what)

    table = {
        "kind": text("hindsight, atomic or counterfactual."),
        "start": number(np.int32, "First step that the label holds for."),
        "end": number(np.int32, "Step after the last one that the label holds for."),
        "instruction": text("What the robot is told."),
        "command": text("Atomic command, or empty where none fits."),
        "action": number(
            np.float32,
            "Chunk row i: target at step start + 1 + i in the robot frame at start, cumulative.",
            (horizon, dimensions),
        ),
        "action_mask": number(np.bool_, "Rows of `action` that count.", (horizon,)),
        "score": number(np.float32, "Verifier's confidence in [0, 1]."),
        "source": text("First 16 hex digits of the sha256 of the row in labels/provenance.jsonl."),
        "told": number(np.int32, "Step at which the robot is told, at or before start."),
    }
    doc = f"embodied-cf label set, schema version {SCHEMA_VERSION}."
    return {set_key(name): tf.Sequence(table, doc=doc)}
