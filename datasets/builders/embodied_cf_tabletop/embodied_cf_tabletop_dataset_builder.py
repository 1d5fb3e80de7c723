"""Makes the logs of the table with `tfds build datasets/builders/embodied_cf_tabletop`; needs the extra `mujoco`.

Like the builder of the driving logs it knows `envs/`, and nothing in the package imports it. The table is drawn in a
process of its own: TensorFlow, which writes the shards, and Mesa, which draws in software, crash in one process (each
brings its own LLVM).
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import tensorflow_datasets as tfds

from embodied_cf.datasets.tfdata import by_step
from embodied_cf.envs.rollouts import Plan, features_of
from embodied_cf.envs.tabletop.collect import tables
from embodied_cf.envs.tabletop.environment import TabletopEnv

BIASES = (0.8, 0.5, 0.2)
_AT_ONCE = 25
"""Episodes in memory."""


@dataclass(eq=False)
class TabletopConfig(tfds.core.BuilderConfig):  # type: ignore[misc]
    """What `embodied-cf collect` takes, and how many episodes each split has; a split of none is left out."""

    bias: float = 0.8
    seed: int = 0
    size: int = 96
    steps: int = 60
    train: int = 400
    dev: int = 40
    test: int = 40


class Builder(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """One configuration for each bias."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - tfds reads it so
    BUILDER_CONFIGS = [  # noqa: RUF012
        TabletopConfig(
            name=f"bias{round(100 * bias)}",
            description=f"The gripper takes what is nearest with probability {bias}.",
            bias=bias,
        )
        for bias in BIASES
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        env = TabletopEnv(size=self.builder_config.size)
        try:
            return self.dataset_info_from_configs(
                features=features_of(env), disable_shuffling=True, license="Apache-2.0"
            )
        finally:
            env.close()

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Any]]]:
        del dl_manager
        wanted = [split for split in ("train", "dev", "test") if getattr(self.builder_config, split)]
        return {split: self._generate_examples(split) for split in wanted}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, Any]]:
        config = self.builder_config
        plan = Plan(getattr(config, split), config.seed, max_steps=config.steps, says=False)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as elsewhere:
            for first in range(0, plan.episodes, _AT_ONCE):
                indices = range(first, min(first + _AT_ONCE, plan.episodes))
                made = elsewhere.submit(tables, plan, split, config.size, config.bias, indices)
                yield from zip(indices, map(by_step, made.result()), strict=True)
