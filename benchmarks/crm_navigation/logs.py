"""Logged episodes as an RLDS dataset: one step, the decision, with the frame that it was made from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float64, Int64

from benchmarks.crm_navigation.drives import Moment, Outcome
from embodied_cf.datasets.writer import DatasetCard, Example, write_dataset


@dataclass(frozen=True)
class Logged:
    """B episodes as they were logged."""

    moment: Moment
    context: Float64[np.ndarray, "b d"]
    action: Int64[np.ndarray, " b"]
    log_prob: Float64[np.ndarray, " b"]
    outcome: Outcome


def write_logs(directory: Path, logger: str, batches: list[Logged]) -> None:
    """Write what `embodied-cf crm` reads: `steps/{action,log_prob,reward}`, `steps/observation/context`, and ends."""
    from tensorflow_datasets.core import features as tf

    images = tf.Image(shape=batches[0].moment.frame.shape[1:], encoding_format="jpeg")
    wide = tf.Tensor(shape=batches[0].context.shape[1:], dtype=np.float32)
    step = {"observation": {"image": images, "context": wide}, "action": np.int64, "log_prob": np.float32,
            "reward": np.float32, "is_first": np.bool_, "is_last": np.bool_, "is_terminal": np.bool_}  # fmt: skip
    ends = {"logger": tf.Text(), "ending": tf.Text(), "cost": np.float32, "seed": np.int64}
    tree = tf.FeaturesDict({"steps": tf.Dataset(step), "episode_metadata": ends})
    examples = [_example(batch, row, logger) for batch in batches for row in range(len(batch.action))]
    write_dataset(directory, DatasetCard("crm_navigation"), tree, {"train": [lambda: examples]})


def _example(batch: Logged, row: int, logger: str) -> Example:
    one, cost = np.ones(1, bool), float(batch.outcome.cost[row])
    steps: dict[str, Any] = {
        "observation": {"image": [_jpeg(batch.moment.frame[row])], "context": batch.context[row : row + 1]},
        "action": batch.action[row : row + 1],
        "log_prob": batch.log_prob[row : row + 1],
        "reward": np.array([-cost]),
        "is_first": one, "is_last": one, "is_terminal": one,
    }  # fmt: skip
    ends = {"logger": logger, "ending": ending(batch.outcome, row), "cost": cost, "seed": batch.moment.seeds[row]}
    return {"steps": steps, "episode_metadata": ends}


def ending(outcome: Outcome, row: int) -> str:
    return "success" if outcome.arrived[row] else "failure" if outcome.collided[row] else "timeout"


def _jpeg(frame: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpeg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1])
