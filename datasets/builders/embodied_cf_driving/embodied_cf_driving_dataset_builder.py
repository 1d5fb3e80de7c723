"""Makes the simulator's driving logs with `tfds build datasets/builders/embodied_cf_driving`.

The only files in `datasets/` that know `envs/`: tfds imports a builder as a script of its own, from its folder, and
nothing in the package imports it. The simulator runs here; nothing is downloaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow_datasets as tfds

from embodied_cf.datasets.tfdata import by_step
from embodied_cf.envs.collect import CollectOptions, episodes, features_of
from embodied_cf.envs.registration import FEW, SOCIAL, WORLDS

BIASES = (0.8, 0.5, 0.2)


@dataclass(eq=False)
class DrivingConfig(tfds.core.BuilderConfig):  # type: ignore[misc]
    """What `embodied-cf collect` takes, and how many episodes each split has; a split of none is left out."""

    world: str = "rooms"
    people: tuple[int, int] = FEW
    bias: float = 0.8
    seed: int = 0
    size: int = 96
    steps: int = 60
    train: int = 400
    dev: int = 40
    test: int = 40

    def options(self, split: str) -> CollectOptions:
        """Return what makes the episodes of a split; layouts and names of things differ between splits."""
        least, most = self.people
        return CollectOptions(
            self.world, getattr(self, split), self.seed, split, self.bias, self.steps, self.size, (least, most)
        )


def _config(world: str, people: tuple[int, int], bias: float) -> DrivingConfig:
    place = f"{world.lower()}_social" if people == SOCIAL else world.lower()
    crowd = f"{people[0]} to {people[1]} people"
    about = f"World {world}, {crowd}; robots drive to the nearest thing on a share of {bias} of their ways."
    return DrivingConfig(
        name=f"{place}_bias{round(100 * bias)}", description=about, world=world.lower(), people=people, bias=bias
    )


class Builder(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """One configuration for each world, with few or many people, and bias."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - tfds reads it so
    BUILDER_CONFIGS = [  # noqa: RUF012
        _config(world, people, bias) for world in WORLDS for people in (FEW, SOCIAL) for bias in BIASES
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=features_of(self.builder_config.size), disable_shuffling=True, license="Apache-2.0"
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Any]]]:
        del dl_manager
        wanted = [split for split in ("train", "dev", "test") if getattr(self.builder_config, split)]
        return {split: self._generate_examples(split) for split in wanted}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, Any]]:
        for index, example in enumerate(episodes(self.builder_config.options(split))):
            yield index, by_step(example)
