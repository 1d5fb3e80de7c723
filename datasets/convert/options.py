"""What `embodied-cf convert` is asked for."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from embodied_cf.errors import UsageError

SourceFormat = Literal["lerobot", "gnm", "rlds"]
TargetFormat = Literal["rlds", "lerobot", "gnm", "cast", "octo"]


@dataclass(frozen=True)
class ConvertOptions:
    """Options of a conversion."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SRC")]
    """Dataset: a LeRobot folder, a folder of GNM trajectories, or the version directory of a TFDS dataset."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DST")]
    """Directory of the new dataset; for RLDS name a version, such as my_robot/1.0.0."""
    to: TargetFormat
    """rlds; lerobot (v3.0) and gnm, labels included; cast and octo: RLDS with one episode per counterfactual."""
    from_: Annotated[SourceFormat | None, tyro.conf.arg(name="from")] = None
    """Format of SRC; default: by what lies there."""
    name: str | None = None
    """Name of the RLDS dataset; default: SRC's."""
    spec: str | None = None
    """Shipped spec or TOML file of an RLDS source; default: its spec.toml."""
    label_set: str = "labels"
    """Label set that becomes language columns or branches."""
    frames: Literal["jpeg", "png"] = "jpeg"
    """What video frames become in RLDS; png keeps every decoded pixel."""
    video: Literal["av1", "h264", "none"] = "av1"
    """Codec of LeRobot videos; none keeps the encoded images, byte by byte, in the parquet files."""
    control_period_s: float = 0.25
    """Seconds between steps of GNM trajectories, which do not say."""
    history: int = 4
    """Steps before a branch that cast and octo episodes keep."""

    def __post_init__(self) -> None:
        if not 0 < self.control_period_s < math.inf:
            raise UsageError(f"--control-period-s {self.control_period_s:g} is no time between two steps")
        if self.history < 0:
            raise UsageError(f"--history {self.history} is less than 0")
