"""A stream for those who train with tf.data (extra `tfds`). TensorFlow is imported when it is asked for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.streams.mixture import Stream
from embodied_cf.errors import UsageError

if TYPE_CHECKING:
    import tensorflow as tf  # type: ignore[import-untyped]

_FLAGS = ("is_first", "is_last", "is_terminal")


def as_tf_dataset(stream: Stream, epoch: int = 0, start_step: int = 0) -> "tf.data.Dataset":
    """Return an epoch's samples as RLDS steps, in the stream's order; `.batch(stream.batch_size)` gives its batches.

    Keys as in RLDS (observation, action, language_instruction, reward, discount, flags), with action (K, A) and
    action_mask (K,), kind, score and observation_index added, and observation/odometry (T + 1, 3) as in
    `datasets.batch`. Samples are no sequence, so all flags are false. Works with the step functions of
    `rlds.transformations`. Raises UsageError if TensorFlow is not installed.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise UsageError("TensorFlow is not installed", remedy="pip install 'embodied-cf[tfds]'") from error

    def steps() -> Iterator[dict[str, Any]]:
        return (_steps(batch) for batch in stream.batches(epoch, start_step))

    batches = tf.data.Dataset.from_generator(steps, output_signature=_signature(stream))
    count = (stream.steps_per_epoch - start_step) * stream.batch_size
    return batches.unbatch().apply(tf.data.experimental.assert_cardinality(count))


def _steps(batch: Batch) -> dict[str, Any]:
    size = len(batch)
    return {
        "observation": {"image": batch.image, "odometry": batch.odometry},
        "language_instruction": np.array(batch.instruction, object),
        "action": batch.action,
        "action_mask": batch.mask,
        "kind": np.array(batch.kinds, object),
        "score": batch.score,
        "observation_index": batch.observation,
        "reward": np.zeros(size, np.float32),
        "discount": np.ones(size, np.float32),
        **{flag: np.zeros(size, bool) for flag in _FLAGS},
    }


def _signature(stream: Stream) -> dict[str, Any]:
    import tensorflow as tf

    def spec(dtype: Any, *shape: int) -> Any:
        return tf.TensorSpec((stream.batch_size, *shape), dtype)

    frames, reader = stream.history + 1, stream.reader
    return {
        "observation": {
            "image": spec(tf.float16, frames, reader.width) if reader else spec(tf.uint8, frames, *stream.size, 3),
            "odometry": spec(tf.float32, frames + 1, 3),
        },
        "language_instruction": spec(tf.string),
        "action": spec(tf.float32, *stream.chunk_shape),
        "action_mask": spec(tf.bool, stream.chunk_shape[0]),
        "kind": spec(tf.string),
        "score": spec(tf.float32),
        "observation_index": spec(tf.int64),
        "reward": spec(tf.float32),
        "discount": spec(tf.float32),
        **{flag: spec(tf.bool) for flag in _FLAGS},
    }
