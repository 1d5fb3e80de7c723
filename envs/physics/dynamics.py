"""How the physical twin moves: MuJoCo drives the robot, the people are those of `envs.motion.dynamics`.

State and chance are explicit, as there: the same state, action and noise give the same next state, bit for bit.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32

from embodied_cf.envs.motion import dynamics
from embodied_cf.envs.physics.library import load_mujoco
from embodied_cf.envs.physics.model import (
    JOINTS,
    PERSON,
    SOLID_OBJECT,
    SOLID_PERSON,
    SOLID_WALL,
    TIMESTEP_S,
    build_model,
)
from embodied_cf.envs.rendering.catalogue_people import BODY
from embodied_cf.envs.scene import Scene, stack
from embodied_cf.envs.state import (
    HIT_OBJECT,
    HIT_PERSON,
    HIT_WALL,
    MAX_SPEED,
    MAX_TURN,
    PERIOD_S,
    SLIP,
    Noise,
    State,
    initial_state,
)

_SUBSTEPS = round(PERIOD_S / TIMESTEP_S)
_BITS = {SOLID_WALL: HIT_WALL, SOLID_OBJECT: HIT_OBJECT, SOLID_PERSON: HIT_PERSON}


@dataclass(frozen=True)
class RoomState:
    """One world at one instant: MuJoCo's state, and the same instant in the terms of `envs.state` (one row)."""

    vector: Float64[np.ndarray, " s"]
    world: State


class Room:
    """The physics of one scene. Its methods are pure: the scratch data inside carries nothing over."""

    def __init__(self, scene: Scene, aspect: float = 1.0) -> None:
        self.scene = scene
        self.worlds = stack([scene])
        self.model: Any = build_model(scene, aspect)
        self._mujoco = load_mujoco()
        self._all = self._mujoco.mjtState.mjSTATE_INTEGRATION
        self._data: Any = self._mujoco.MjData(self.model)

    @cached_property
    def initial(self) -> RoomState:
        """Everybody where the scene puts them, at rest."""
        data, world = self._mujoco.MjData(self.model), initial_state([self.scene])
        data.qpos[self._joints] = self.scene.start
        self._place_people(data, world)
        return RoomState(self._read(data), world)

    def step(self, state: RoomState, action: np.ndarray, noise: Noise) -> RoomState:
        """Return the state one control period later.

        action (1, 2) as in `envs.dynamics.step`: v m/s and w rad/s, clipped, scaled by slip; here they are what the
        servos aim at. Noise of one step, one row. Raises UsageError for an action of another shape or not finite.
        """
        # people see the robot as it would drive without inertia
        after = dynamics.step(self.worlds, state.world, action, noise)
        data = self._restored(state)
        begin, hit = data.qpos[self._joints].copy(), 0
        self._command(data, np.asarray(action, np.float64)[0], noise.slip[0, 0])
        way = after.person[0] - state.world.person[0]
        for substep in range(1, _SUBSTEPS + 1):
            self._walk(data, state.world.person[0] + way * substep / _SUBSTEPS)
            self._mujoco.mj_step(self.model, data)
            hit |= self._touched(data)
        pose = data.qpos[self._joints].copy()
        world = replace(after, pose=pose[None], velocity=_velocity(begin, pose)[None], hit=np.array([hit], np.uint8))
        return RoomState(self._read(data), world)

    def branch(self, state: RoomState, actions: Float64[np.ndarray, "t 2"], noise: Noise) -> tuple[RoomState, ...]:
        """Return the T + 1 states of a run from `state` on, with the noise of these steps (one row)."""
        states = [state]
        for step, action in enumerate(actions):
            states.append(self.step(states[-1], action[None], noise.at(step)))
        return tuple(states)

    def scratch(self, state: RoomState) -> Any:
        """Return MuJoCo's data at a state, people in mid-stride, for drawing; valid until the next call."""
        data = self._restored(state)
        self._place_people(data, state.world)
        self._swing(state.world)
        self._mujoco.mj_forward(self.model, data)
        return data

    @cached_property
    def _joints(self) -> np.ndarray:
        return np.array([self.model.joint(name).qposadr[0] for name in JOINTS])

    @cached_property
    def _solid(self) -> Int32[np.ndarray, " g"]:
        """Bit of what each geom is to the robot, 0 for what is not solid."""
        names = [self.model.geom(index).name for index in range(self.model.ngeom)]
        bits = [next((bit for start, bit in _BITS.items() if name.startswith(start)), 0) for name in names]
        return np.array(bits, np.int32)

    @cached_property
    def _limbs(self) -> list[tuple[np.ndarray, np.ndarray, Float64[np.ndarray, " g"]]]:
        """For each person: geoms that swing, by how much at the height of a step, and where they hang at rest."""
        swing = {index: part.swing for index, part in enumerate(BODY) if part.swing}
        limbs = []
        for person in range(len(self.scene.person)):
            geoms = np.array([self.model.geom(f"{PERSON.format(person)} {index}").id for index in swing])
            limbs.append((geoms, np.array([*swing.values()]), self.model.geom_pos[geoms, 0].copy()))
        return limbs

    def _command(self, data: Any, action: Float64[np.ndarray, " 2"], slip: Float64[np.ndarray, " 2"]) -> None:
        v, w = (np.clip(action, [0.0, -MAX_TURN], [MAX_SPEED, MAX_TURN]) * np.maximum(0.0, 1 + SLIP * slip)).tolist()
        data.ctrl[:] = [v, 0.0, w]

    def _walk(self, data: Any, person: Float64[np.ndarray, "p 4"]) -> None:
        count = len(self.scene.person)
        data.mocap_pos[:, :2] = person[:count, :2]

    def _touched(self, data: Any) -> int:
        if not data.ncon:
            return 0
        geoms = data.contact.geom.ravel()
        return int(np.bitwise_or.reduce(self._solid[geoms], initial=0))

    def _place_people(self, data: Any, world: State) -> None:
        self._walk(data, world.person[0])
        for index, (_, _, vx, vy) in enumerate(world.person[0, : len(self.scene.person)].tolist()):
            standing = math.hypot(vx, vy) <= 1e-3
            yaw = 2.4 * int(self.scene.person_look[index]) if standing else math.atan2(vy, vx)
            data.mocap_quat[index] = [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]

    def _swing(self, world: State) -> None:
        for index, (geoms, reach, rest) in enumerate(self._limbs):
            speed = float(np.hypot(*world.person[0, index, 2:]))
            stride = math.sin(world.person_phase[0, index]) * min(1.0, speed / 0.6)
            self.model.geom_pos[geoms, 0] = rest + reach * stride

    def _restored(self, state: RoomState) -> Any:
        self._mujoco.mj_setState(self.model, self._data, state.vector, self._all)
        return self._data

    def _read(self, data: Any) -> Float64[np.ndarray, " s"]:
        vector = np.empty(self._mujoco.mj_stateSize(self.model, self._all))
        self._mujoco.mj_getState(self.model, data, vector, self._all)
        return vector


def _velocity(begin: Float64[np.ndarray, " 3"], end: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, " 2"]:
    """Return the mean speed forwards and turn rate between two poses of one period."""
    heading = (begin[2] + end[2]) / 2
    forward = (end - begin)[:2] @ [math.cos(heading), math.sin(heading)]
    return np.array([forward, end[2] - begin[2]]) / PERIOD_S
