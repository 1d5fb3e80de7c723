"""The robot's own units: how far it typically moves in a step and turns in a chunk."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MotionScale:
    """Typical motion, measured on the data while the robot moves."""

    step: float
    """Distance of one control period, in the position unit of the data (metres, if known)."""
    turn: float
    """Angle over one whole action chunk while turning, rad."""

    def __post_init__(self) -> None:
        if not (self.step > 0 and self.turn > 0):
            raise ValueError(f"a motion scale must be positive, got {self}")
