"""What kind of body the data comes from, and what a number of its action chunk means."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import ConfigDict

from embodied_cf.datasets.tables import STRICT, load_table
from embodied_cf.errors import SpecError
from embodied_cf.language.meaning import threshold_names


@dataclass(frozen=True)
class Dimension:
    """One number of a chunk row."""

    name: str
    unit: str
    frame: str
    form: str
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True)
class Embodiment:
    """A body: the layout of its action chunks and the thresholds of its atomic commands.

    Two kinds are understood: `nav` (chunk rows x, y) and `arm` (x, y, z, roll, pitch, yaw, gripper).
    """

    name: str
    kind: Literal["nav", "arm"]
    chunk_length: int
    """H, rows per chunk, one control period apart."""
    dimensions: tuple[Dimension, ...]
    thresholds: dict[str, float] = field(default_factory=dict)
    """Overrides of the kind's thresholds, in units of the robot's own typical step
    (`embodied_cf.language.nav.NavThresholds`, `embodied_cf.language.arm.ArmThresholds`)."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        needed = 2 if self.kind == "nav" else 7
        if len(self.dimensions) != needed:
            raise SpecError(f"{len(self.dimensions)} dimensions where kind {self.kind!r} has {needed}", where=self.name)
        if not 1 <= self.chunk_length <= 256:
            raise SpecError(f"chunk_length {self.chunk_length} is not in 1..256", where=self.name)
        known = threshold_names(self.kind)
        if unknown := sorted(set(self.thresholds) - set(known)):
            raise SpecError(
                f"unknown thresholds {', '.join(unknown)}", where=self.name, remedy=f"It has: {', '.join(known)}."
            )

    @property
    def chunk_dimensions(self) -> int:
        """A, numbers per chunk row."""
        return len(self.dimensions)

    @property
    def mirrors(self) -> bool:
        """Whether left and right can be exchanged in image, action and instruction together."""
        return self.kind == "nav"


def load_embodiment(name_or_path: str) -> Embodiment:
    """Return a shipped embodiment (`nav`, `arm`) or one from a TOML file."""
    return load_table(Embodiment, name_or_path, "embodiments")
