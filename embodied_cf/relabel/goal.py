"""Drives towards things seen in the image: pixel box, camera model, ground plane, feasible arc."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.spec import CameraModel, DatasetSpec
from embodied_cf.errors import SpecError
from embodied_cf.relabel.ground import between_frames, frame_size, standing_points
from embodied_cf.relabel.profile import Profile
from embodied_cf.relabel.stages import Context, Proposals, Synthesis
from embodied_cf.relabel.synthesize import PrimitiveSynthesizer, arcs, first_reason

STOP_SHORT_M = 0.6
"""Distance that the robot keeps from the thing it goes to, m."""
FURTHEST_M = 15.0
"""Beyond it a pixel row spans metres, and the ground point means nothing."""
_SHARPEST = 2.0
"""Typical turns per chunk that a path to a goal may bend."""


@dataclass(frozen=True)
class GoalSynthesizer:
    """Arcs towards things in view; commands that name no thing go to the primitives.

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
        return {"synthesizer": "goal", "stop_short_m": STOP_SHORT_M, **vars(self.camera)}

    def synthesize(self, context: Context, proposals: Proposals) -> Synthesis:
        """Return arcs towards goals, and primitives for the rest."""
        base = self.primitive.synthesize(context, proposals)
        rows = np.flatnonzero(proposals.is_goal)
        if not len(rows):
            return base
        goal = self._goals(context, proposals.take(rows))
        length, bend = self._arc(goal)
        action, reason = base.action.copy(), list(base.reason)
        action[rows] = np.nan_to_num(arcs(length, bend, action.shape[1]))
        for row, problem in zip(rows.tolist(), self._problems(goal, bend), strict=True):
            reason[row] = problem
        return replace(base, action=action, reason=tuple(reason))

    def _goals(self, context: Context, proposals: Proposals) -> Float[np.ndarray, "p 2"]:
        """Return each goal in the robot frame at its branch step; nan if the box stands on no ground."""
        seen = standing_points(proposals.box, self.camera, frame_size(context.episode))
        return between_frames(context.track[proposals.seen], context.track[proposals.start], seen)

    def _arc(self, goal: Float[np.ndarray, "p 2"]) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
        """Return length (m) and heading change (rad) of the first chunk of the arc that stops short of the goal."""
        heading = 2 * np.arctan2(goal[:, 1], goal[:, 0])
        whole = np.hypot(*goal.T) / np.maximum(np.abs(np.sinc(heading / 2 / np.pi)), 1e-6)
        reachable = self.primitive.profile.scale.step * self.primitive.body.chunk_length
        length = np.clip(whole - STOP_SHORT_M, 0.0, reachable)
        return length, heading * length / np.maximum(whole, 1e-9)

    def _problems(self, goal: Float[np.ndarray, "p 2"], bend: Float[np.ndarray, " p"]) -> tuple[str, ...]:
        return first_reason(
            len(goal),
            {
                "the box stands on no ground": ~np.isfinite(goal).all(axis=1),
                "too far to place on the ground": np.hypot(*goal.T) > FURTHEST_M,
                "behind the robot": goal[:, 0] <= 0,
                "needs a sharper turn than the data shows": np.abs(bend)
                > _SHARPEST * self.primitive.profile.scale.turn,
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
