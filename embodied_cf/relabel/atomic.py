"""The synthesizer of CAST (arXiv 2508.13446): a learned policy that drives as an atomic command says, given the frame.

Unlike an arc it sees where it drives. Trained on the dataset's own segments: `embodied-cf train --preset atomic
--kinds hindsight atomic`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.images import resized
from embodied_cf.datasets.motion import odometry, track_of
from embodied_cf.datasets.randomness import generator
from embodied_cf.errors import UsageError
from embodied_cf.policies.checkpoint import MODEL, find_checkpoint, load_policy
from embodied_cf.policies.contract import Observation, Policy
from embodied_cf.relabel.profile import Profile
from embodied_cf.relabel.stages import Context, Proposals, Synthesis
from embodied_cf.relabel.synthesize import NO_GOAL, arm_limits, first_reason

_BATCH = 256


@dataclass(frozen=True)
class AtomicSynthesizer:
    """What a trained policy does when it is told the name of a command."""

    policy: Policy
    digest: str
    """First 16 hex digits of the sha256 of its weights."""
    profile: Profile
    body: Embodiment
    seed: int = 0
    """For policies that draw."""

    @staticmethod
    def of(run: Path, profile: Profile, body: Embodiment, seed: int) -> "AtomicSynthesizer":
        """Load the policy. Raises CheckpointError if it is absent, corrupted, or made for another body."""
        torch.set_num_threads(1)
        policy, weights = load_policy(run, body), find_checkpoint(run) / MODEL
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
        return AtomicSynthesizer(policy, digest, profile, body, seed)

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records: the weights, wherever they lie."""
        return {"synthesizer": "atomic", "policy": self.digest}

    def synthesize(self, context: Context, proposals: Proposals) -> Synthesis:
        """Return the policy's chunk for each proposed command; goals are not feasible here."""
        count, shape = len(proposals), (self.body.chunk_length, self.body.chunk_dimensions)
        action, mask = np.zeros((count, *shape), np.float32), np.zeros((count, shape[0]), bool)
        rng = generator(self.seed, context.episode.episode_id, "atomic synthesizer")
        rows = np.flatnonzero(proposals.command >= 0)
        for part in np.array_split(rows, max(1, -(-len(rows) // _BATCH))) if len(rows) else ():
            names = [context.meaning.vocabulary.names[command] for command in proposals.command[part].tolist()]
            action[part], mask[part] = self._told(context.episode, proposals.start[part], names, rng)
        reasons = {NO_GOAL: proposals.command < 0}
        if self.body.kind == "arm":
            reasons |= arm_limits(self.profile, context, proposals, action)
        return Synthesis(action, mask, first_reason(count, reasons), np.ones(count))

    def _told(
        self, episode: Episode, step: Int64[np.ndarray, " b"], commands: Sequence[str], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        distinct, place = np.unique(step, return_inverse=True)
        seen = [self._seen(episode, at) for at in distinct.tolist()]
        image, past = (np.stack([getattr(one, name)[0] for one in seen])[place] for name in ("image", "odometry"))
        asked = self.policy.act(Observation(image, past), tuple(commands), rng)
        return asked.chunk, asked.mask

    def _seen(self, episode: Episode, step: int) -> Observation:
        """Return what the policy sees at a step, as if it had been told when the first of its frames was taken: it has
        learned from what it saw on its way, and moving robots are told what to do next."""
        frames = next(iter(episode.cameras.values()), None)
        if frames is None:
            raise UsageError(
                "the dataset has no camera, and the atomic policy must see", remedy="Use --synthesizer primitive."
            )
        ages = getattr(self.policy, "stride", 1) * np.arange(self.policy.history - 1, -1, -1)
        steps = np.maximum(step - ages, 0)
        image = np.stack([resized(frames.decode(at), self.policy.camera) for at in steps.tolist()])[None]
        if self.body.kind == "arm":
            return Observation(image, np.zeros((1, len(steps) + 1, 3), np.float32))
        return Observation(image, odometry(track_of(episode, self.body)[[steps[0], *steps]][None]))
