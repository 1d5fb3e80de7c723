"""Rollouts of any environment with an image and an instruction, written as RLDS with their spec beside them.

An episode of T actions is T + 1 steps: the last holds the last observation and an action of zeros that means
nothing. Discrete actions are stored as one float. The features follow from the environment's spaces.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import gymnasium
import numpy as np
from gymnasium import spaces

from embodied_cf.datasets.randomness import generator, number
from embodied_cf.datasets.writer import DatasetCard, Example, write_dataset
from embodied_cf.errors import UsageError

if TYPE_CHECKING:
    from tensorflow_datasets.core.features import FeaturesDict

Observation = Mapping[str, Any]
Actor = Callable[[Observation], Any]
PolicyMaker = Callable[[gymnasium.Env, np.random.Generator], Actor]
"""Makes the policy of one episode, after the reset; what is random in it comes from the generator."""
INSTRUCTION = "instruction"


@dataclass(frozen=True)
class Plan:
    """How much to roll out, and how to write it down."""

    episodes: int
    seed: int = 0
    episodes_per_shard: int = 50
    split: str = "train"
    max_steps: int = 1000
    images: Literal["jpeg", "png"] = "jpeg"
    says: bool = True
    """Whether the instruction is written; else "", for a policy that did not follow it."""

    def __post_init__(self) -> None:
        if min(self.episodes, self.episodes_per_shard, self.max_steps) < 1:
            raise UsageError("episodes, episodes_per_shard and max_steps are at least 1", where=str(self))


@dataclass(frozen=True)
class Reading:
    """What the spec beside the data says of it; see `datasets.spec`."""

    embodiment: str
    control_period_s: float
    columns: Mapping[str, str]
    position_unit: str = "unknown"
    camera_model: Mapping[str, float] = field(default_factory=dict)


def write_rollouts(
    directory: Path,
    card: DatasetCard,
    make_env: Callable[[], gymnasium.Env],
    make_policy: PolicyMaker,
    plan: Plan,
    reading: Reading,
) -> None:
    """Roll out and write a dataset, or finish one that was interrupted; the same plan gives the same bytes.

    Raises UsageError if the observation is no Dict with an `image`, OutputError as `write_dataset` does.
    """
    env = make_env()
    tree = features_of(env, plan.images)
    env.close()
    indices = range(plan.episodes)
    starts = range(0, plan.episodes, plan.episodes_per_shard)
    parts = [indices[at : at + plan.episodes_per_shard] for at in starts]
    shards = [partial(rollouts, make_env, make_policy, plan, card.name, part) for part in parts]
    begun = replace(card, recipe=f"{card.recipe} {plan} {tree}")
    write_dataset(directory, begun, tree, {plan.split: shards}, {"spec.toml": spec_text(card.name, reading)})


def features_of(env: gymnasium.Env, images: str = "jpeg") -> "FeaturesDict":
    """Return the feature tree of an environment's episodes. Raises UsageError for a space that has no feature."""
    from tensorflow_datasets.core import features as tf

    space = env.observation_space
    if not isinstance(space, spaces.Dict) or "image" not in space.spaces:
        raise UsageError(f"the observation {space} has no `image`", remedy="Wrap the environment: envs/adapter.py.")
    step = {
        "observation": _features({key: part for key, part in space.items() if key != INSTRUCTION}, images),
        "action": _feature("action", env.action_space, images),
        "reward": np.float32,
        "discount": np.float32,
        "is_first": np.bool_,
        "is_last": np.bool_,
        "is_terminal": np.bool_,
        "language_instruction": tf.Text(),
    }
    metadata = {"episode_id": tf.Text(), "seed": np.int64, "success": np.bool_}
    return tf.FeaturesDict({"steps": tf.Dataset(step), "episode_metadata": metadata})


def spec_text(name: str, reading: Reading) -> str:
    """Return the spec.toml of rollouts."""
    lines = ["# Written with the data: how to read it.", f"name = {json.dumps(name)}"]
    lines += [f"embodiment = {json.dumps(reading.embodiment)}", f"control_period_s = {reading.control_period_s}"]
    lines += [f"position_unit = {json.dumps(reading.position_unit)}", "last_action_valid = false"]
    lines += ['language = ["language_instruction"]', 'language_padding = ""', "", "[cameras]"]
    lines += ['primary = "observation/image"', "", "[columns]"]
    lines += [f"{role} = {json.dumps(column)}" for role, column in reading.columns.items()]
    if reading.camera_model:
        lines += ["", "[camera_model]", *(f"{key} = {value}" for key, value in reading.camera_model.items())]
    return "\n".join(lines) + "\n"


def roll_out(env: gymnasium.Env, make_policy: PolicyMaker, plan: Plan, index: int, name: str) -> Example:
    """Return one episode as `write_dataset` takes it. It depends on the plan's seed and on `index` alone."""
    seed = number(plan.seed, "rollout", str(index)) % 2**31
    observation, info = env.reset(seed=seed)
    act = make_policy(env, generator(plan.seed, "rollout policy", str(index)))
    seen: list[Observation] = [observation]
    actions: list[Any] = []
    rewards: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated or len(actions) == plan.max_steps):
        actions.append(_as_logged(env.action_space, act(observation)))
        observation, reward, terminated, truncated, info = env.step(actions[-1])
        seen.append(observation)
        rewards.append(float(reward))
    metadata = {"episode_id": f"{name}-{index:06d}", "seed": seed, "success": bool(info.get("success", False))}
    return {"steps": _steps(env, plan, seen, actions, rewards, terminated), "episode_metadata": metadata}


def _as_logged(space: spaces.Space, action: Any) -> Any:
    """Round an action to what the log holds, so that the log replays the episode."""
    return np.asarray(action, np.float32) if isinstance(space, spaces.Box) else action


def rollouts(
    make_env: Callable[[], gymnasium.Env], make_policy: PolicyMaker, plan: Plan, name: str, indices: range
) -> Iterator[Example]:
    """Yield the episodes of those indices that `write_rollouts` writes under a name."""
    env = make_env()
    try:
        for index in indices:
            yield roll_out(env, make_policy, plan, index, name)
    finally:
        env.close()


def _steps(
    env: gymnasium.Env, plan: Plan, seen: list[Observation], actions: list, rewards: list[float], terminated: bool
) -> Example:
    count = len(seen)
    first, last = np.arange(count) == 0, np.arange(count) == count - 1
    space: Any = env.observation_space
    texts = [str(each[INSTRUCTION]) if plan.says and INSTRUCTION in each else "" for each in seen]
    parts = {key: part for key, part in space.items() if key != INSTRUCTION}
    flat = [np.asarray(action, np.float32).reshape(_shape(env.action_space)) for action in actions]
    return {
        "observation": {key: _column([each[key] for each in seen], part, plan.images) for key, part in parts.items()},
        "action": np.stack([*flat, np.zeros(_shape(env.action_space), np.float32)]),
        "reward": np.array([*rewards, 0.0], np.float32),
        "discount": np.where(last & terminated, 0, 1).astype(np.float32),
        "is_first": first,
        "is_last": last,
        "is_terminal": last & terminated,
        "language_instruction": texts,
    }


def _features(parts: Mapping[str, spaces.Space], images: str) -> dict[str, Any]:
    return {key: _feature(key, part, images) for key, part in parts.items()}


def _feature(key: str, space: spaces.Space, images: str) -> Any:
    from tensorflow_datasets.core import features as tf

    if isinstance(space, spaces.Dict):
        return _features(space.spaces, images)
    if isinstance(space, spaces.Text):
        return tf.Text()
    if _is_image(space):
        return tf.Image(shape=space.shape, encoding_format=images)
    return tf.Tensor(shape=_shape(space, key), dtype=np.float32)


def _shape(space: spaces.Space, key: str = "action") -> tuple[int, ...]:
    if isinstance(space, spaces.Box):
        return space.shape
    if isinstance(space, spaces.Discrete):
        return (1,)
    raise UsageError(f"{key} is {space}, which has no feature", remedy="Wrap it into Box, Discrete, Text or Dict.")


def _column(values: list, space: spaces.Space, images: str) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _column([value[key] for value in values], part, images) for key, part in space.items()}
    if isinstance(space, spaces.Text):
        return [str(value) for value in values]
    if _is_image(space):
        return [_encoded(value, images) for value in values]
    return np.stack([np.asarray(value, np.float32).reshape(_shape(space)) for value in values])


def _is_image(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and space.shape[2:] == (3,)


def _encoded(image: np.ndarray, images: str) -> bytes:
    return bytes(cv2.imencode(f".{images}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])
