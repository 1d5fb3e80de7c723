"""Which features of an RLDS dataset hold what: cameras, poses, states, actions, language."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from embodied_cf.datasets.embodiment import Embodiment, load_embodiment
from embodied_cf.datasets.features import STEPS, Features
from embodied_cf.datasets.tables import STRICT, load_table
from embodied_cf.errors import SpecError

_COLUMN = re.compile(r"^(?P<key>[^\[\]]+)(\[(?P<start>\d+):(?P<stop>\d+)\])?$")
ROLES = (
    "state",
    "action",
    "pose",
    "effector_position",
    "effector_rotation",
    "gripper_command",
    "gripper_state",
    "timestamp",
)
KNOWN_UNITS = ("m", "unknown")


@dataclass(frozen=True)
class CameraModel:
    """A pinhole camera on the robot, looking forward. Pitch is positive downwards."""

    horizontal_fov_deg: float
    height_m: float
    pitch_deg: float = 0.0
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True)
class Column:
    """A per-step feature, or some of its last dimension: `observation/state[0:3]`."""

    key: str
    start: int | None = None
    stop: int | None = None

    @staticmethod
    def parse(text: str) -> "Column":
        """Read `key` or `key[start:stop]`; keys are relative to `steps`."""
        match = _COLUMN.match(text)
        if not match:
            raise SpecError(f"{text!r} is not of the form key or key[start:stop]")
        start, stop = match["start"], match["stop"]
        return Column(f"{STEPS}/{match['key']}", *(None if at is None else int(at) for at in (start, stop)))


@dataclass(frozen=True)
class DatasetSpec:
    """How to read one dataset or family of datasets. Keys are relative to `steps`; see datasets/specs."""

    name: str
    embodiment: str
    """A shipped embodiment's name or a TOML file."""
    control_period_s: float
    """Seconds between steps, used where there is no timestamp column."""
    cameras: Mapping[str, str]
    """Camera name to image feature; the first is the primary one, the camera the captioners see."""
    columns: Mapping[str, str]
    """Role (state, action, pose, effector_position, ...) to column."""
    language: tuple[str, ...] = ()
    """Text features, fnmatch patterns allowed."""
    language_padding: str | None = None
    """A text that fills unused slots and says nothing; None if every text counts, "" included."""
    position_unit: str = "unknown"
    """`m`, or `unknown`: then whatever needs metres refuses to run."""
    last_action_valid: bool = False
    """Whether the action of the last step is a real one (RLDS says not, many datasets say yes)."""
    camera_model: CameraModel | None = None
    guessed: tuple[str, ...] = field(default=())
    """Keys that `inspect --suggest-spec` guessed; empty once a person has looked."""
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __post_init__(self) -> None:
        problems = [
            f"unknown column role {role!r} (known: {', '.join(ROLES)})" for role in self.columns if role not in ROLES
        ]
        if self.position_unit not in KNOWN_UNITS:
            problems.append(f"position_unit {self.position_unit!r} is not one of {KNOWN_UNITS}")
        if not self.control_period_s > 0:
            problems.append(f"control_period_s {self.control_period_s} is not positive")
        if problems:
            raise SpecError("; ".join(problems), where=f"spec {self.name}")

    def column(self, role: str) -> Column | None:
        """Return the column of a role, or None if the dataset has none."""
        text = self.columns.get(role)
        return None if text is None else Column.parse(text)

    def body(self) -> Embodiment:
        """Return the embodiment, having checked that the columns its motion needs are named."""
        body = load_embodiment(self.embodiment)
        needed = ("pose",) if body.kind == "nav" else ("effector_position", "effector_rotation")
        missing = [role for role in (*needed, "action") if role not in self.columns]
        if body.kind == "arm" and not {"gripper_command", "gripper_state"} & set(self.columns):
            missing.append("gripper_command or gripper_state")
        if missing:
            raise SpecError(
                f"columns for {', '.join(missing)} are not named",
                where=f"spec {self.name}",
                remedy=f"Embodiment {body.name!r} needs them; add them under [columns].",
            )
        return body

    def check(self, features: Features) -> None:
        """Raise SpecError that names every key of the spec which the dataset lacks."""
        wanted = {f"cameras.{name}": f"{STEPS}/{key}" for name, key in self.cameras.items()}
        wanted |= {f"columns.{role}": Column.parse(text).key for role, text in self.columns.items()}
        absent = [f"{role} = {key!r}" for role, key in wanted.items() if key not in features]
        if absent:
            raise SpecError(
                f"the dataset has no {'; no '.join(absent)}",
                where=f"spec {self.name}",
                remedy=f"Its features are: {', '.join(sorted(features))}.",
            )
        images = [key for name, key in self.cameras.items() if features[f"{STEPS}/{key}"].role != "image"]
        if images:
            raise SpecError(f"cameras {', '.join(images)} are no image features", where=f"spec {self.name}")


def load_spec(name_or_path: str | None, directory: Path | None = None) -> DatasetSpec:
    """Return a shipped spec (`bridge`, `gnm`, `simulator`) or one from a TOML file.

    With None, the `spec.toml` that a dataset directory brings along.
    """
    if name_or_path is None:
        beside = Path(directory or ".") / "spec.toml"
        if not beside.is_file():
            raise SpecError(
                "no spec.toml beside the data",
                where=directory,
                remedy="Name one with --spec; `embodied-cf inspect --suggest-spec` drafts one.",
            )
        name_or_path = str(beside)
    return load_table(DatasetSpec, name_or_path, "specs")
