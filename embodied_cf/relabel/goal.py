"""Ways to things seen in the image: pixel box, camera model, ground plane, and the best of a fan of drives."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.spec import CameraModel, DatasetSpec
from embodied_cf.errors import SpecError
from embodied_cf.language import nav
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import TURN
from embodied_cf.relabel.drives import ROOM_M, Drives, chosen_drives
from embodied_cf.relabel.elsewhere import searches
from embodied_cf.relabel.fan import Fan
from embodied_cf.relabel.landmarks import BEYOND_M
from embodied_cf.relabel.profile import Profile
from embodied_cf.relabel.stages import Context, Proposals, Synthesis
from embodied_cf.relabel.standing import Standing
from embodied_cf.relabel.synthesize import RUNS_INTO, PrimitiveSynthesizer, first_reason
from embodied_cf.relabel.ways import DETOUR_M, STOP_SHORT_M

_SPARE_M = 0.15
"""Room that commands keep: they bend around nothing, and where walls and things stand is known to some centimetres."""


@dataclass(frozen=True)
class GoalSynthesizer:
    """Ways to, beside, between and around things in view; commands that name no thing go to the primitives.

    Needs a robot that drives, positions in metres and a camera model.
    """

    primitive: PrimitiveSynthesizer
    camera: CameraModel

    @staticmethod
    def of(spec: DatasetSpec, body: Embodiment, profile: Profile) -> "GoalSynthesizer":
        """Build from a spec. Raises SpecError that says which of its needs the spec does not meet."""
        return GoalSynthesizer(PrimitiveSynthesizer(profile, body), metric_camera(spec, body))

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {"synthesizer": "goal", "stop_short_m": STOP_SHORT_M, "room_m": ROOM_M, "detour_m": DETOUR_M,
                **vars(self.camera)}  # fmt: skip

    @cached_property
    def fan(self) -> Fan:
        """The drives to choose from."""
        return Fan.of(self.primitive.profile.scale, self.primitive.body.chunk_length)

    def synthesize(self, context: Context, proposals: Proposals) -> Synthesis:
        """Return the best of the fan's drives for goals, and primitives for the rest."""
        base = self.primitive.synthesize(context, proposals)
        action, reason = base.action.copy(), list(base.reason)
        spare = np.where(proposals.command >= 0, _SPARE_M, 0.0)
        rows = np.flatnonzero(proposals.is_goal)
        if len(rows):
            standing = Standing.of(context, proposals.take(rows))
            scale = self.primitive.profile.scale
            drive, command = chosen_drives(self.fan, scale, standing), begun_command(standing)
            action[rows] = np.where((command >= 0)[:, None, None], self.primitive.table[command], drive.chunk)
            out = rows[standing.elsewhere]
            action[out] = searches(scale, action.shape[1], context.obstacles, context.track[proposals.start[out]])
            action[rows[standing.tracker.success]] = 0.0
            spare[rows[command >= 0]] = _SPARE_M
            for row, problem in zip(rows.tolist(), _problems(standing, drive, command >= 0), strict=True):
                reason[row] = problem
        for row in np.flatnonzero(context.obstacles.touched(context.track[proposals.start], action, spare)).tolist():
            reason[row] = reason[row] or RUNS_INTO
        return replace(base, action=action, reason=tuple(reason))


def begun_command(standing: Standing) -> Int64[np.ndarray, " p"]:
    """Return the command by which a chain goes on that begins with one, -1 where the robot is to do something else."""
    rule, side = standing.aims.rule, standing.aims.side
    command = np.full(len(rule), -1)
    command[rule == Rule.FORWARD] = nav.FORWARD
    command[(rule == Rule.TURN) & (side > 0)] = nav.TURN_LEFT
    command[(rule == Rule.TURN) & (side < 0)] = nav.TURN_RIGHT
    command[(rule == Rule.TURN) & (side * standing.tracker.turned >= TURN[0])] = nav.FORWARD  # until it has settled
    return command


def _problems(standing: Standing, drive: Drives, by_command: Bool[np.ndarray, " p"]) -> tuple[str, ...]:
    circle, tracker = standing.aims.circle[:, 0], standing.tracker
    placed = np.isfinite(standing.circle[..., :2]).all(axis=3) | (standing.asked.landmark < 0)
    away = np.hypot(circle[:, 0], circle[:, 1]) - circle[:, 2]
    otherwise = by_command | standing.elsewhere | tracker.success
    return first_reason(
        len(circle),
        {
            "the box stands on no ground": ~placed.all(axis=(1, 2)),
            "too far to place on the ground": away > BEYOND_M,
            "behind the robot": (circle[:, 0] <= 0) & (standing.told == standing.start) & ~otherwise,
            "failed already": tracker.done & ~tracker.success,
            "no way there keeps clear and makes headway": ~drive.feasible & ~otherwise,
        },
    )


def metric_camera(spec: DatasetSpec, body: Embodiment) -> CameraModel:
    """Return the camera model of a spec that can place pixels on the ground, or raise SpecError saying why not."""
    if body.kind != "nav":
        raise SpecError(
            "goals lie on the ground that a robot drives on; an arm's need a calibrated camera",
            where=f"spec {spec.name}",
            remedy="Use --synthesizer primitive or retrieval.",
        )
    if spec.position_unit != "m":
        raise SpecError(
            f"position_unit is {spec.position_unit!r}, and metric goals need metres",
            where=f"spec {spec.name}",
            remedy='Set position_unit = "m" if it is so.',
        )
    if spec.camera_model is None:
        raise SpecError(
            "no [camera_model]",
            where=f"spec {spec.name}",
            remedy="Give horizontal_fov_deg, height_m and pitch_deg of the primary camera.",
        )
    return spec.camera_model
