"""What we write, read by the tools that people use: tfds under TensorFlow, rlds, a dlimp-style flatten.

One process of its own reads it all: TensorFlow is slow to load and loud, and must not meet warnings-as-errors.
"""

import json
import subprocess
import sys

READER = '''
import json, sys, types
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

source, out = sys.argv[1:]
skip = {"steps": tfds.decode.SkipDecoding()}


def episodes(directory, **options):
    return tfds.builder_from_directory(directory).as_dataset(split="train", shuffle_files=False, **options)


result = {"episodes": 0, "labels": 0}
for old, new in zip(episodes(source, decoders=skip), episodes(out, decoders=skip), strict=True):
    same = tf.nest.map_structure(lambda a, b: bool(np.array_equal(a.numpy(), b.numpy(), equal_nan=a.dtype.is_floating)),
                                 {k: old["steps"][k] for k in old["steps"]}, {k: new["steps"][k] for k in old["steps"]})
    assert all(tf.nest.flatten(same)), "original features differ (encoded image bytes included)"
    rest = [key for key in old if key != "steps"]
    same = tf.nest.map_structure(lambda a, b: bool(np.array_equal(a.numpy(), b.numpy())),
                                 {k: old[k] for k in rest}, {k: new[k] for k in rest})
    assert all(tf.nest.flatten(same)), "episode metadata differs"
    labels = new["labels"]
    n = int(labels["start"].shape[0])
    assert labels["action"].shape[0] == labels["action_mask"].shape[0] == n
    assert labels["action"].dtype == tf.float32 and labels["action_mask"].dtype == tf.bool
    assert set(labels["kind"].numpy()) <= {b"hindsight", b"atomic", b"counterfactual"}
    result["episodes"] += 1
    result["labels"] += n

decoded = next(iter(episodes(out)))
step = next(iter(decoded["steps"]))
result["decoded"] = str(tf.nest.flatten(step["observation"])[0].dtype)
result["hindsight"] = step["language_instruction_hindsight"].numpy().decode()

# rlds imports reverb, which it does not declare and which has no build for this Python; the one place for the
# placeholder is embodied_cf.datasets.tfdata
from embodied_cf.datasets.tfdata import import_rlds

rlds = import_rlds()
windows = rlds.transformations.batch(decoded["steps"], size=2, shift=1, drop_remainder=True)
result["windows"] = sum(1 for _ in windows)
result["rlds_steps"] = int(rlds.transformations.episode_length(decoded["steps"]))
mapped = rlds.transformations.map_nested_steps(episodes(out), lambda s: {**s, "reward": s["reward"] + 1.0})
result["rlds_map"] = float(next(iter(next(iter(mapped))["steps"]))["reward"])


def spread(episode):
    """As dlimp does: every top-level key but `steps` is repeated over the steps, then all is flattened."""
    steps = episode.pop("steps")
    count = tf.shape(tf.nest.flatten(steps)[0])[0]
    rest = tf.nest.map_structure(lambda value: tf.repeat(value[None], count, axis=0), episode)
    return {**steps, "traj_metadata": rest, "_len": tf.repeat(count, count), "_frame_index": tf.range(count)}


flat = episodes(out + "/views/steps", decoders=skip).map(spread).flat_map(tf.data.Dataset.from_tensor_slices)
frames = list(flat)
result["frames"] = len(frames)
first = frames[0]
result["frame_keys"] = sorted(first)
image = tf.nest.flatten({k: v for k, v in first["observation"].items() if "image" in k})[0]
result["image_shape"] = list(tf.io.decode_image(image).shape)
print("RESULT " + json.dumps(result))
'''


def _read(source, out):
    done = subprocess.run([sys.executable, "-c", READER, str(source), str(out)], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[0].removeprefix("RESULT "))


def test_tfds_rlds_and_a_dlimp_style_flatten_read_the_result(relabelled):
    directory, _, out, result = relabelled
    read = _read(directory, out)
    assert (read["episodes"], read["labels"]) == (result.episodes, result.labels)
    assert read["decoded"].endswith("uint8'>")
    assert read["hindsight"]
    assert read["windows"] == read["rlds_steps"] - 1
    assert read["rlds_map"] == 1.0
    assert read["frames"] == result.steps
    assert "labels" not in read["frame_keys"]
    assert "language_instruction_hindsight" in read["frame_keys"]
    assert read["image_shape"][2] == 3
