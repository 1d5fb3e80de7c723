"""Does a chunk drive to the thing that its words name?"""

import numpy as np
from jaxtyping import Bool, Int8

from embodied_cf.datasets.contract import Labels
from embodied_cf.datasets.spec import CameraModel
from embodied_cf.language.phrasing import GO_TO, going_to
from embodied_cf.language.predicate_rules import REACH_M
from embodied_cf.language.verdict import UNKNOWN, verdict
from embodied_cf.language.vocabulary import normalise
from embodied_cf.relabel.ground import between_frames, frame_size, standing_points
from embodied_cf.relabel.stages import Context, Proposals

LEAST_GAIN = 0.5
"""Share of its own length by which a path that leads to a thing comes nearer to it, at least."""
STILL_STEPS = 0.1
"""Typical steps within which a chunk stands still."""


def goal_verdicts(
    context: Context, proposals: Proposals, labels: Labels, camera: CameraModel
) -> Int8[np.ndarray, " p"]:
    """Judge P goals by where their boxes stand on the ground: PASS for a path that leads there, or a stop within
    REACH_M of it; FAIL for other motion; UNKNOWN where the words say more than to go there, or no ground is seen."""
    seen = standing_points(proposals.box, camera, frame_size(context.episode))
    place = between_frames(context.track[proposals.seen], context.track[proposals.start], seen)
    with_start = np.concatenate([np.zeros((len(place), 1, 2)), labels.action], axis=1)
    mask = labels.action_mask
    end = with_start[np.arange(len(place)), mask.sum(axis=1)]
    driven = (np.linalg.norm(np.diff(with_start, axis=1), axis=2) * mask).sum(axis=1)
    gain = np.linalg.norm(place, axis=1) - np.linalg.norm(place - end, axis=1)
    furthest = (np.linalg.norm(labels.action, axis=2) * mask).max(axis=1, initial=0.0)
    still = furthest <= STILL_STEPS * context.meaning.scale.step
    arrived = still & (np.linalg.norm(place, axis=1) <= REACH_M)
    known = np.isfinite(place).all(axis=1) & _only_goes(proposals)
    found = verdict(arrived | (~still & (gain >= LEAST_GAIN * driven)), np.zeros(len(place), bool))
    return np.where(known, found, UNKNOWN).astype(np.int8)


def _only_goes(proposals: Proposals) -> Bool[np.ndarray, " p"]:
    """Return which instructions say "go to the thing" in known words, and nothing else."""
    pairs = zip(proposals.instruction, proposals.thing, strict=True)
    forms = range(len(GO_TO.train))
    known = [normalise(text) in {normalise(going_to(thing, form)) for form in forms} for text, thing in pairs]
    return np.array(known, bool)
