"""Closed loop: a policy sees, says where it would go, drives the first part of that, and sees again.

Many episodes run side by side; what happens in one depends on its own seed and instruction only (for a policy that
draws, on its batch too).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from embodied_cf.datasets.images import resized
from embodied_cf.envs.episodes import LONGEST, Episodes, start_episodes
from embodied_cf.envs.motion.tracking import follow, seen_from
from embodied_cf.envs.rendering.render import Camera
from embodied_cf.envs.state import draw_noise
from embodied_cf.envs.tasks import Task
from embodied_cf.evaluate.backend import RAYCAST, Backend
from embodied_cf.evaluate.past import Past
from embodied_cf.evaluate.told import Telling, next_plans
from embodied_cf.policies.contract import Observation, Policy
from embodied_cf.policies.ensemble import TemporalEnsemble

Images = UInt8[np.ndarray, "b t h w 3"]
Sight = Callable[[Images], Images]
"""Changes what a policy sees."""
EXECUTE = 4
"""Control periods of a chunk that are carried out before the policy is asked again."""
PIXELS = 144
"""Width and height of the robot's camera, as `collect` has it; policies see its frames at their own size."""


@dataclass(frozen=True)
class Drives:
    """What became of B episodes."""

    final: Episodes
    pose: Float64[np.ndarray, "b t 3"]
    """Robot x, y m, yaw rad, from the start on, one control period apart; an episode that is over stands still."""

    def path(self, row: int) -> Float64[np.ndarray, "t 3"]:
        """Return the poses of one episode up to its end."""
        return self.pose[row, : int(self.final.clock[row]) + 1]


def run_episodes(
    policy: Policy,
    tasks: Sequence[Task],
    told: Sequence[str],
    rng: np.random.Generator,
    sight: Sight = lambda image: image,
    execute: int = EXECUTE,
    backend: Backend = RAYCAST,
    ensemble: TemporalEnsemble | None = None,
) -> Drives:
    """Let a policy drive tasks under the instructions that it is told; each is judged by its task's own.

    With an ensemble, what past chunks say of the same moments counts, too. A policy that is told chains part by part
    (`by_parts`) is told the next part where it has stood.
    """
    now, telling = start_episodes(tasks), Telling.of(policy, told)
    noise = draw_noise([task.seed for task in tasks], LONGEST)
    poses, past = [now.state.pose], Past.of(policy, execute)
    past.begin(_look(policy, backend, now, np.arange(len(now))))
    while not now.over.all():
        plan, origin, rows = np.zeros((len(now), *_shape(policy))), now.state.pose, np.flatnonzero(~now.over)
        part = telling.at.copy()
        plan[rows] = next_plans(
            policy, partial(_seen, past, poses, sight), telling, past, past.rested(poses), rows, rng
        )
        if ensemble is not None:
            ensemble = ensemble.asked(plan, origin).told_anew(np.flatnonzero(telling.at != part))
            plan, ensemble = ensemble.chunk(origin), ensemble.after(execute)
        for step in range(execute):
            chunk = seen_from(plan[:, step:], origin, now.state.pose)
            now = backend.move(now, follow(chunk, np.ones(chunk.shape[:2], bool)), noise)
            poses.append(now.state.pose)
            past.add(execute - 1 - step, np.flatnonzero(~now.over), partial(_look, policy, backend, now))
    return Drives(now, np.stack(poses, axis=1))


def _look(
    policy: Policy, backend: Backend, now: Episodes, rows: Int64[np.ndarray, " r"]
) -> UInt8[np.ndarray, "r h w 3"]:
    """Return what some of the robots see, at the policy's size."""
    frames = backend.see(now, rows, Camera(PIXELS, PIXELS))
    return np.stack([resized(frame, policy.camera) for frame in frames])


def _seen(past: Past, poses: Sequence[Float64[np.ndarray, "b 3"]], sight: Sight) -> Observation:
    return Observation(sight(past.frames), past.odometry(poses))


def _shape(policy: Policy) -> tuple[int, int]:
    return policy.embodiment.chunk_length, policy.embodiment.chunk_dimensions
