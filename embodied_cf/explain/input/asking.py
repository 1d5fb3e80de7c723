"""Asking a policy what it would do if it were shown or told something else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from embodied_cf.datasets.images import resized
from embodied_cf.datasets.motion import odometry
from embodied_cf.datasets.randomness import generator
from embodied_cf.envs import geometry
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.scene import Scene, stack
from embodied_cf.envs.state import ROBOT_RADIUS_M, State
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.rollout import PIXELS
from embodied_cf.explain.input.edits import Edit
from embodied_cf.policies.contract import Observation, Policy

_BATCH = 128
_JITTER_M, _JITTER_RAD = 0.12, 0.08
"""Standard deviations of views from nearby."""


@dataclass(frozen=True)
class View:
    """What a policy is shown and told at one instant."""

    scene: Scene
    """With the robot's present pose as its start, so that left and right are as seen from there."""
    states: tuple[State, ...]
    """Of this one world: the present one last, earlier ones before it, one control period apart; and first of all the
    one in which the robot was told."""
    told: str

    @classmethod
    def of(cls, scene: Scene, states: Sequence[State], told: str) -> "View":
        """Look at a scene from where the robot is; a single state is that in which it was told, too."""
        if not states:
            raise UsageError(
                "a view of no state", remedy="Give the state that the robot is in, such as the initial one."
            )
        return cls(replace(scene, start=states[-1].pose[0]), (*states[:1], *(states[1:] or states)), told)

    @property
    def odometry(self) -> Float32[np.ndarray, "t1 3"]:
        """What the robot knows of its way, see `policies.contract.Observation`."""
        return odometry(np.stack([state.pose for state in self.states], axis=1))[0]

    def edited(self, edits: Sequence[Edit]) -> "View":
        """Return the view with edits made one after the other."""
        scene, told = self.scene, self.told
        for edit in edits:
            scene, told = edit.change_scene(scene), edit.change_told(told)
        return replace(self, scene=scene, told=told)

    def nearby(self, rng: np.random.Generator) -> "View":
        """Return a view from a place that is free and near, the past moved with it."""
        for _ in range(16):
            shift = rng.normal(size=3) * (_JITTER_M, _JITTER_M, _JITTER_RAD)
            if _is_free(self.scene, self.states[-1].pose[0, :2] + shift[:2]):
                return View.of(
                    self.scene, [replace(state, pose=state.pose + shift) for state in self.states], self.told
                )
        return self

    def turned_round(self) -> "View":
        """Return what is behind the robot: a distractor."""
        turn = np.array([0.0, 0.0, np.pi])
        return replace(self, states=tuple(replace(state, pose=state.pose + turn) for state in self.states))


def observed(views: Sequence[View], size: tuple[int, int]) -> Observation:
    """Return what the policy sees in each view, and knows of its way there; all have equally many states."""
    return Observation(frames(views, size), np.stack([view.odometry for view in views]))


def frames(views: Sequence[View], size: tuple[int, int]) -> UInt8[np.ndarray, "n t h w 3"]:
    """Return what the policy sees in each view, all with equally many states."""
    columns = []
    worlds = stack([view.scene for view in views])
    for at in range(1, len(views[0].states)):
        parts = [view.states[at] for view in views]
        state = State(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))
        seen = render(worlds, state, Camera(PIXELS, PIXELS)).rgb
        columns.append(np.stack([resized(frame, size) for frame in seen]))
    return np.stack(columns, axis=1)


@dataclass
class Asker:
    """A policy that answers; counts its answers."""

    policy: Policy
    samples: int
    seed: int
    asked: int = 0

    def chunks(self, seen: Observation, told: Sequence[str]) -> Float64[np.ndarray, "n k 2"]:
        """Return the mean of `samples` chunks for each question; beyond a chunk's mask its last place holds."""
        rng, parts = generator(self.seed, "explain", "ask", str(self.asked)), []
        for rows in np.split(np.arange(len(seen)), range(_BATCH, len(seen), _BATCH)):
            said = tuple(told[row] for row in rows.tolist())
            answers = [self._answer(seen.take(rows), said, rng) for _ in range(self.samples)]
            parts.append(np.mean(answers, axis=0))
        self.asked += len(seen) * self.samples
        return np.concatenate(parts)

    def again(self, view: View, times: int) -> Float64[np.ndarray, "n k 2"]:
        """Return single answers to one question."""
        one = Asker(self.policy, 1, self.seed, self.asked)
        seen = observed([view], self.policy.camera).take(np.zeros(times, np.int64))
        answers = one.chunks(seen, (view.told,) * times)
        self.asked = one.asked
        return answers

    def _answer(
        self, seen: Observation, told: tuple[str, ...], rng: np.random.Generator
    ) -> Float64[np.ndarray, "n k 2"]:
        answer = self.policy.act(seen, told, rng)
        last = np.maximum(answer.mask.sum(axis=1) - 1, 0)
        held = np.minimum(np.arange(answer.chunk.shape[1]), last[:, None])
        return np.take_along_axis(answer.chunk, held[..., None], axis=1).astype(np.float64)


def apart(one: Float[np.ndarray, "*n k 2"], other: Float[np.ndarray, "*#n k 2"]) -> Float64[np.ndarray, "*n"]:
    """Return the mean distance between the points of chunks, m."""
    return np.asarray(np.linalg.norm(one - other, axis=-1).mean(axis=-1))


def _is_free(scene: Scene, place: Float64[np.ndarray, " 2"]) -> bool:
    wall = geometry.segment_distance(place[None], scene.walls).min()
    thing = (np.hypot(*(scene.position - place).T) - scene.radius).min(initial=np.inf)
    return bool(min(wall, thing) > ROBOT_RADIUS_M)
