"""The stream as tf.data and in jax. TensorFlow gets a process of its own: it is loud, and slow to load."""

import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from labelled import labelled

from embodied_cf.datasets.streams import Source, Stream
from embodied_cf.datasets.streams.hand_over import as_tf_dataset
from embodied_cf.errors import UsageError

READER = """
import json, sys
import numpy as np
from embodied_cf.datasets.streams import Source, Stream
from embodied_cf.datasets.streams.hand_over import as_tf_dataset
from embodied_cf.datasets.tfdata import import_rlds

stream = Stream((Source(sys.argv[1]),), (8, 8), 4, seed=3, history=1, holdout=0.0)
ours = list(stream.batches(1, 2))
data = as_tf_dataset(stream, 1, 2)
for batch, steps in zip(ours, data.batch(4), strict=True):
    assert np.array_equal(batch.image, steps["observation"]["image"].numpy())
    assert np.array_equal(batch.action, steps["action"].numpy())
    assert np.array_equal(batch.mask, steps["action_mask"].numpy())
    assert [text.decode() for text in steps["language_instruction"].numpy()] == list(batch.instruction)
    assert [kind.decode() for kind in steps["kind"].numpy()] == list(batch.kinds)
rlds = import_rlds()
total = rlds.transformations.sum_dataset(data, lambda step: {"score": step["score"]})
windows = rlds.transformations.batch(data, size=2, shift=2, drop_remainder=True)
mapped = rlds.transformations.map_steps(data, lambda step: {**step, "reward": step["reward"] + 1.0})
print("RESULT " + json.dumps({
    "samples": int(data.cardinality()), "score": float(total["score"]), "windows": sum(1 for _ in windows),
    "reward": float(next(iter(mapped))["reward"]),
}))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("tiny") / "1.0.0")


def test_tf_data_gets_the_same_samples_and_rlds_takes_them(data):
    done = subprocess.run([sys.executable, "-c", READER.replace("sys.argv[1]", repr(str(data)))],
                          capture_output=True, text=True)  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stderr[-3000:]
    result = json.loads(lines[0].removeprefix("RESULT "))
    assert result == {"samples": 12, "score": 12.0, "windows": 6, "reward": 1.0}


def test_without_tensorflow_the_remedy_is_named(data, monkeypatch):
    stream = Stream((Source(data),), (8, 8), 4)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UsageError, match=r"TensorFlow is not installed\. pip install 'embodied-cf\[tfds\]'"):
        as_tf_dataset(stream)


def test_torch_and_jax_take_the_arrays(data):
    batch = next(iter(Stream((Source(data),), (8, 8), 4).batches(0)))
    assert torch.from_numpy(batch.image).data_ptr() == batch.image.ctypes.data  # without a copy
    assert batch.image.flags.writeable
    np.testing.assert_array_equal(jnp.asarray(batch.action), batch.action)


def test_streams_load_neither_tensorflow_nor_torch_nor_jax():
    code = (
        "import sys, embodied_cf.datasets.streams as s; print({'tensorflow', 'torch', 'jax', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
