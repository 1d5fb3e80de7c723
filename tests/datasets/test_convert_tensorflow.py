"""What the converters write, read under TensorFlow as CAST, dlimp and octo read it, and trained on.

One process of its own does it all: TensorFlow is slow to load and loud, and must not meet warnings-as-errors.
"""

import json
import subprocess
import sys

import guide_blocks
import lerobot_maker
import makers
import numpy as np

from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.convert.run import convert
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel

READER = '''
import json, sys
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

cast, octo, lerobot, recipes = sys.argv[1:]
sys.path.insert(0, recipes)
from my_arm_octo import drop_silent, silence
from my_arm_openvla import my_arm_dataset_transform

HORIZON = 8
skip = {"steps": tfds.decode.SkipDecoding()}


def episodes(directory):
    return tfds.builder_from_directory(directory).as_dataset(split="train", shuffle_files=False, decoders=skip)


def spread(episode):
    """As dlimp does: every top-level key but `steps` is repeated over the steps."""
    steps = episode.pop("steps")
    count = tf.shape(steps["loss_mask"])[0]
    return {**steps, "traj_metadata": tf.nest.map_structure(lambda v: tf.repeat(v[None], count, axis=0), episode)}


def cast_targets(step):
    """As CAST's trainer does: ways from state to state in the current frame, over the normalisation factor."""
    place, yaw = step["observation"]["position"], step["observation"]["yaw"][:, 0]
    count = tf.shape(place)[0]
    ahead = tf.minimum(tf.range(count)[:, None] + tf.range(HORIZON + 1)[None], count - 1)
    delta = tf.gather(place, ahead[:, 1:]) - tf.gather(place, ahead[:, :-1])
    cos, sin = tf.cos(yaw)[:, None], tf.sin(yaw)[:, None]
    local = tf.stack([cos * delta[..., 0] + sin * delta[..., 1], cos * delta[..., 1] - sin * delta[..., 0]], -1)
    factor = step["traj_metadata"]["episode_metadata"]["normalization_factor"]
    return {"target": local / factor[:, None, None], "mask": step["loss_mask"], "text": step["language_instruction"],
            "image": step["observation"]["image"], "synthetic": step["is_synthetic"],
            "kind": step["traj_metadata"]["episode_metadata"]["kind"], "factor": factor}


result = {"chunks": []}
flat = episodes(cast).map(spread).map(cast_targets).flat_map(tf.data.Dataset.from_tensor_slices)
for step in flat.filter(lambda s: s["mask"] > 0):
    if step["kind"].numpy() == b"counterfactual":
        chunk = (tf.cumsum(step["target"]) * step["factor"]).numpy().tolist()
        result["chunks"].append([step["text"].numpy()[0].decode(), chunk])
result["slots"] = int(step["text"].shape[0])
result["shape"] = list(tf.io.decode_image(step["image"]).shape)


def octo_sample(step):
    """As octo's restructure and chunking do: the next HORIZON actions, the last one repeated."""
    count = tf.shape(step["action"])[0]
    ahead = tf.minimum(tf.range(count)[:, None] + tf.range(HORIZON)[None], count - 1)
    observation = {"image_primary": step["observation"]["image_primary"], "proprio": step["observation"]["state"]}
    return {"observation": observation, "task": {"language_instruction": step["language_instruction"]},
            "action": tf.gather(step["action"], ahead), "mask": step["loss_mask"]}


words = tf.keras.layers.Hashing(64)


def seen_and_told(image, text):
    image = tf.image.resize(tf.io.decode_image(image, 3, expand_animations=False), (4, 4))
    bag = tf.reduce_sum(tf.one_hot(words(tf.strings.split(text)), 64), axis=0)
    return tf.concat([tf.reshape(image, [48]) / 255 - 0.5, bag], 0)


def cast_features(step):
    inputs = seen_and_told(step["image"], step["text"][0])
    return inputs, tf.reshape(step["target"], [2 * HORIZON]), step["mask"], step["synthetic"]


def fitted(inputs, targets, mask):
    """A linear policy after some steps of gradient descent on the masked loss of whole batches, and its losses."""
    weights, bias, losses = tf.Variable(tf.zeros([112, 2 * HORIZON])), tf.Variable(tf.zeros([2 * HORIZON])), []
    for step in range(40):
        with tf.GradientTape() as tape:
            error = tf.reduce_mean((inputs @ weights + bias - targets) ** 2, axis=1)
            loss = tf.reduce_sum(mask * error) / tf.reduce_sum(mask)
        for variable, gradient in zip((weights, bias), tape.gradient(loss, (weights, bias))):
            variable.assign_sub(0.3 * gradient)
        losses.append(float(loss))
    return weights.numpy(), losses


whole = [tf.concat(part, 0) for part in zip(*flat.map(cast_features).batch(500))]
inputs, targets, mask, synthetic = whole[0], tf.cast(whole[1], tf.float32), whole[2], whole[3]
noise = tf.where(mask[:, None] > 0, 0.0, 100.0)
masked, losses = fitted(inputs, targets, mask)
result["cast"] = {
    "losses": losses, "steps": len(mask), "told": float(tf.reduce_sum(mask)),
    "synthetic_told": float(tf.reduce_sum(mask * tf.cast(synthetic, tf.float32))),
    "prefix_has_no_weight": bool((fitted(inputs, targets + noise, mask)[0] == masked).all()),
    "it_would_have": bool((fitted(inputs, targets + noise, tf.ones_like(mask))[0] != masked).any()),
}


def features(sample):
    inputs = seen_and_told(sample["observation"]["image_primary"], sample["task"]["language_instruction"])
    return inputs, tf.reshape(sample["action"], [2 * HORIZON])


def restructured(trajectory):
    """As octo does after standardising: what it does not know is gone."""
    return {"observation": trajectory["observation"], "action": trajectory["action"],
            "task": {"language_instruction": trajectory["language_instruction"]}}


def counted(trajectories):
    texts = [text for trajectory in trajectories for text in trajectory.numpy().tolist()]
    return [len(texts), texts.count(b"")]


for_openvla = episodes(octo).map(spread).map(my_arm_dataset_transform).map(lambda t: t["language_instruction"])
for_octo = episodes(octo).map(spread).map(silence).map(restructured).map(drop_silent)
result["recipes"] = [counted(for_openvla), counted(for_octo.map(lambda t: t["task"]["language_instruction"]))]
result["octo_told"] = int(sum(m.numpy().sum() for m in episodes(octo).map(lambda e: e["steps"]["loss_mask"])))

samples = episodes(octo).map(spread).map(octo_sample).flat_map(tf.data.Dataset.from_tensor_slices)
samples = samples.filter(lambda s: s["mask"] > 0).map(features).cache().shuffle(1000, seed=0).batch(64)
tf.random.set_seed(0)
weights = [tf.Variable(tf.zeros([112, 2 * HORIZON])), tf.Variable(tf.zeros([2 * HORIZON]))]
losses = []
for epoch in range(12):
    total, seen = 0.0, 0
    for inputs, actions in samples:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((inputs @ weights[0] + weights[1] - actions) ** 2)
        for variable, gradient in zip(weights, tape.gradient(loss, weights)):
            variable.assign_sub(1.0 * gradient)
        total, seen = total + float(loss) * len(inputs), seen + len(inputs)
    losses.append(total / seen)
result["losses"], result["samples"] = losses, seen
exact = next(iter(tfds.builder_from_directory(lerobot).as_dataset(split="train", shuffle_files=False)))
result["effort"] = next(iter(exact["steps"]))["observation"]["effort"].numpy().tolist()
print("RESULT " + json.dumps(result))
'''


def test_cast_and_octo_pipelines_train_on_it(tmp_path):
    source = makers.driving(tmp_path / "driving", shards=1, episodes=6, steps=24)
    relabel(RelabelOptions(source, tmp_path / "labelled"))
    for layout in ("cast", "octo"):
        convert(ConvertOptions(tmp_path / "labelled", tmp_path / layout, layout))
    convert(ConvertOptions(lerobot_maker.v30(tmp_path / "lerobot"), tmp_path / "rlds", "rlds"))
    _recipes(tmp_path / "recipes")
    command = [sys.executable, "-c", READER, *(str(tmp_path / name) for name in ("cast", "octo", "rlds", "recipes"))]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stderr[-3000:]
    read = json.loads(lines[0].removeprefix("RESULT "))
    assert (read["slots"], read["shape"]) == (10, [32, 32, 3])
    _same_chunks(read["chunks"], tmp_path / "labelled")
    assert read["samples"] > len(read["chunks"]) > 100
    assert read["losses"][-1] < 0.7 * read["losses"][0]
    _weighs_what_is_told(read["cast"])
    assert read["recipes"] == [[read["octo_told"], 0]] * 2
    assert read["effort"] == lerobot_maker.columns(0)["observation.effort"][0]


def _recipes(folder):
    """The functions that docs/recipes.md gives to users of openvla and octo, as files."""
    folder.mkdir()
    for block in guide_blocks.blocks("docs/recipes.md"):
        if block.file:
            (folder / block.file).write_text(block.text)


def _weighs_what_is_told(cast):
    """Training on the masked loss learns, and whatever stands at the other steps changes no bit of what is learnt."""
    assert cast["losses"][-1] < 0.8 * cast["losses"][0]
    assert 100 < cast["told"] < cast["steps"] / 4, "branches are mostly prefix and synthetic steps"
    assert cast["synthetic_told"] == 0
    assert cast["prefix_has_no_weight"]
    assert cast["it_would_have"], "without the mask it does change"


def _same_chunks(found, labelled):
    """What CAST's arithmetic makes of a branch is the label's own chunk, its last point held."""
    from embodied_cf.datasets.episodes import read_episodes
    from embodied_cf.datasets.rlds import open_dataset
    from embodied_cf.datasets.spec import load_spec

    at = 0
    for episode in read_episodes(open_dataset(labelled), load_spec(None, labelled)):
        labels = episode.labels["labels"]
        for row in np.flatnonzero(np.array(labels.kind) == "counterfactual"):
            text, chunk = found[at]
            length = int(labels.action_mask[row].sum())
            assert text == labels.instruction[row]
            np.testing.assert_allclose(chunk[:length], labels.action[row][:length], atol=1e-4)
            np.testing.assert_allclose(chunk[length - 1 :], [chunk[length - 1]] * (9 - length), atol=1e-4)
            at += 1
    assert at == len(found)
