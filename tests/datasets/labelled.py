"""Small datasets whose labels are written by hand, for streams."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tiny import STEPS, tiny_episode, tiny_features, write_records

from embodied_cf.datasets.contract import Labels
from embodied_cf.datasets.features import flatten
from embodied_cf.datasets.label_store import encode_labels, label_features, step_text_key
from embodied_cf.datasets.writer import encode_example

SPEC = """\
name = "tiny"
embodiment = "nav"
control_period_s = 0.25
position_unit = "m"
last_action_valid = true

[cameras]
primary = "observation/image"

[columns]
action = "action"
pose = "observation/pose"

[camera_model]
horizontal_fov_deg = 90.0
height_m = 0.6
"""
Row = tuple[str, int, int, str]
"""kind, start, end, instruction."""
ROWS: tuple[Row, ...] = (
    ("hindsight", 0, 5, "drive straight on"),
    ("atomic", 1, 3, "go forward"),
    ("counterfactual", 0, 2, "turn left"),
    ("counterfactual", 0, 3, "turn right"),
    ("counterfactual", 2, 4, "turn left"),
)


def rows_of(rows: Sequence[Row], score: float = 1.0) -> Labels:
    """Label rows whose stored chunks say (row + 1, column) so that they are told apart from any real future.

    Where there is a step before, counterfactuals were told then.
    """
    start = np.array([row[1] for row in rows], np.int32)
    earlier = np.array([row[0] == "counterfactual" for row in rows], bool) & (start > 0)
    lengths = np.array([end - start for _, start, end, _ in rows], int)
    action = np.zeros((len(rows), 8, 2), np.float32)
    action[:] = np.arange(1, len(rows) + 1)[:, None, None]
    return Labels(
        kind=tuple(row[0] for row in rows),
        start=start,
        end=np.array([row[2] for row in rows], np.int32),
        instruction=tuple(row[3] for row in rows),
        command=("",) * len(rows),
        action=action,
        action_mask=np.arange(8) < lengths[:, None],
        score=np.full(len(rows), score, np.float32),
        source=("0" * 16,) * len(rows),
        told=(start - earlier).astype(np.int32),
    )


def labelled(
    directory: Path,
    sets: dict[str, Sequence[Sequence[Row]]] | None = None,
    episodes: int = 4,
    spec: str = SPEC,
    score: float = 1.0,
    change=None,
) -> Path:
    """Write `episodes` tiny episodes; `sets` gives each label set's rows per episode (default ROWS in each)."""
    from tensorflow_datasets.core import features as tf

    sets = {"labels": [ROWS] * episodes} if sets is None else sets
    plain = tiny_features()
    records = []
    for index in range(episodes):
        episode = tiny_episode(index)
        if change:
            change(index, episode)
        record = encode_example(flatten(plain), episode)
        for name, rows in sets.items():
            record += encode_labels(name, rows_of(rows[index], score), [""] * STEPS)
        records.append(record)
    texts = {step_text_key(name).removeprefix("steps/"): tf.Text() for name in sets}
    tree = {**tiny_features(**texts), **{k: v for name in sets for k, v in label_features(name, 8, 2).items()}}
    write_records(directory, records, tf.FeaturesDict(tree))
    (directory / "spec.toml").write_text(spec)
    return directory
