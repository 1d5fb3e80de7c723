"""A scene as a MuJoCo model: the twin of what the renderer draws and the kinematic world moves.

The robot is a round chassis on the floor's plane, driven by two velocity servos of limited force, forwards and about
the vertical; a third, just as limited, stands for wheels that do not slide sideways. What it meets is solid: walls,
the circle around each object, people (mocap bodies). Solid shapes are not drawn, and what is drawn is not solid.
"""

import math
from typing import Any

import numpy as np

from embodied_cf.envs.physics.library import load_mujoco
from embodied_cf.envs.physics.looks import Looks, about_z
from embodied_cf.envs.scene import COLOUR_RGB, Scene
from embodied_cf.envs.state import PERSON_RADIUS_M, ROBOT_RADIUS_M
from embodied_cf.language.instruction import COLOURS, KINDS

TIMESTEP_S = 0.005
JOINTS, SERVOS = ("x", "y", "yaw"), ("forwards", "sideways", "turn")
CAMERA, CAMERA_HEIGHT_M, HORIZONTAL_FOV_DEG = "eye", 0.6, 90.0
PERSON = "person {}"
SOLID_WALL, SOLID_OBJECT, SOLID_PERSON = "wall ", "object ", "walker "
"""How the names of solid geoms begin."""
_HIDDEN = 4
_MASS_KG = 20.0
_SETTLE_S = 0.04
"""Time constant of the drive."""
_TRACTION_N, _SIDE_N, _TORQUE_NM = 120.0, 40.0, 12.0
"""Beyond these the wheels slip: forwards, sideways (1 m/s at 1.5 rad/s takes 30 N), about the vertical."""
_SIDE_GRIP = 10.0
"""Wheels resist sideways so much more stiffly than the motors drive."""
_WALL_HALF_M = 0.01
_REACH_M = 60.0
_EXPOSURE = 1.2


def build_model(scene: Scene, aspect: float = 1.0) -> Any:
    """Return the MjModel of a scene for pictures `aspect` times as wide as high."""
    library = load_mujoco()
    spec = library.MjSpec()
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = library.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.gravity = [0.0, 0.0, 0.0]  # everything that moves stays on its plane
    spec.stat.extent, spec.stat.center = 10.0, [0.0, 0.0, 1.0]
    spec.visual.map.znear, spec.visual.map.zfar = 0.005, 12.0
    looks = Looks(library, spec)
    _add_light(library, spec, scene)
    _add_walls(library, spec, scene, looks)
    _add_planes(library, spec, scene, looks)
    _add_objects(library, spec, scene, looks)
    _add_people(library, spec, scene, looks)
    _add_robot(library, spec, aspect)
    return spec.compile()


def _add_light(library: Any, spec: Any, scene: Scene) -> None:
    ambient, strength, azimuth, elevation = scene.light.tolist()
    # the renderer lights a face by ambient + strength (1 + cosine) / 2; here no cosine goes below 0
    spec.visual.headlight.ambient = [min(1.0, _EXPOSURE * (ambient + 0.4 * strength))] * 3
    spec.visual.headlight.diffuse = spec.visual.headlight.specular = [0.0] * 3
    level = math.cos(elevation)
    to_light = [level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation)]
    spec.worldbody.add_light(
        type=library.mjtLightType.mjLIGHT_DIRECTIONAL, pos=[10 * part for part in to_light],
        dir=[-part for part in to_light], diffuse=[0.6 * _EXPOSURE * strength] * 3, castshadow=False,
    )  # fmt: skip


def _add_walls(library: Any, spec: Any, scene: Scene, looks: Looks) -> None:
    for index, (x0, y0, x1, y1) in enumerate(scene.walls.tolist()):
        length, height = math.hypot(x1 - x0, y1 - y0), float(scene.wall_height[index])
        if length == 0:
            continue
        yaw = math.atan2(y1 - y0, x1 - x0)
        # a door stands a little out of the wall that it is in
        half = _WALL_HALF_M * (1.5 if scene.door_colour[index] >= 0 else 1.0)
        spec.worldbody.add_geom(
            name=f"{SOLID_WALL}{index}",
            type=library.mjtGeom.mjGEOM_BOX,
            # upright: textures lie on the x-y plane of a geom
            size=[length / 2, height / 2, half],
            pos=[(x0 + x1) / 2, (y0 + y1) / 2, height / 2],
            quat=_upright(yaw),
            material=looks.material("wall", int(scene.wall_style[index]), scene.wall_rgb[index], (length, height)),
            contype=0,
            conaffinity=1,
        )


def _upright(yaw: float) -> list[float]:
    """Return the quaternion that turns x along a wall at `yaw`, y up."""
    c, s = math.cos(yaw / 2) * math.sqrt(0.5), math.sin(yaw / 2) * math.sqrt(0.5)
    return [c, c, s, s]


def _add_planes(library: Any, spec: Any, scene: Scene, looks: Looks) -> None:
    size, faces = (2 * _REACH_M, 2 * _REACH_M), {"contype": 0, "conaffinity": 0}
    floor = looks.material("floor", scene.floor_style, scene.floor_rgb, size)
    plane = library.mjtGeom.mjGEOM_PLANE
    spec.worldbody.add_geom(name="floor", type=plane, size=[_REACH_M, _REACH_M, 1], material=floor, **faces)
    if scene.ceiling_style:
        ceiling = looks.material("ceiling", scene.ceiling_style, scene.ceiling_rgb, size)
        spec.worldbody.add_geom(name="ceiling", type=plane, size=[_REACH_M, _REACH_M, 1], material=ceiling,
                                pos=[0, 0, scene.ceiling_height], quat=[0, 1, 0, 0], **faces)  # fmt: skip
        return
    zenith = scene.ceiling_rgb / 255.0
    haze = np.minimum((150.0 + 0.36 * scene.ceiling_rgb) / 255.0, 1.0)
    sky = spec.add_texture(name="sky", type=library.mjtTexture.mjTEXTURE_SKYBOX, width=64, height=384)
    sky.builtin = library.mjtBuiltin.mjBUILTIN_GRADIENT
    sky.rgb1, sky.rgb2 = zenith.tolist(), haze.tolist()


def _add_objects(library: Any, spec: Any, scene: Scene, looks: Looks) -> None:
    for index, (x, y) in enumerate(scene.position.tolist()):
        body = spec.worldbody.add_body(pos=[x, y, 0], quat=about_z(float(scene.yaw[index])))
        rgb, kind = COLOUR_RGB[COLOURS[scene.colour[index]]], KINDS[scene.kind[index]]
        looks.thing(body, kind, rgb, float(scene.scale[index]))
        _add_solid(library, body, f"{SOLID_OBJECT}{index}", float(scene.radius[index]))


def _add_people(library: Any, spec: Any, scene: Scene, looks: Looks) -> None:
    for index, (x, y) in enumerate(scene.person.tolist()):
        name = PERSON.format(index)
        body = spec.worldbody.add_body(name=name, pos=[x, y, 0], mocap=True)
        looks.person(body, name, int(scene.person_look[index]))
        _add_solid(library, body, f"{SOLID_PERSON}{index}", PERSON_RADIUS_M)


def _add_solid(library: Any, body: Any, name: str, radius: float) -> None:
    body.add_geom(name=name, type=library.mjtGeom.mjGEOM_CYLINDER, size=[radius, 0.5, 0], pos=[0, 0, 0.5],
                  contype=0, conaffinity=1, group=_HIDDEN)  # fmt: skip


def _add_robot(library: Any, spec: Any, aspect: float) -> None:
    robot = spec.worldbody.add_body(name="robot")
    for name, axis in zip(JOINTS, np.eye(3)[[0, 1, 2]], strict=True):
        kind = library.mjtJoint.mjJNT_HINGE if name == "yaw" else library.mjtJoint.mjJNT_SLIDE
        robot.add_joint(name=name, type=kind, axis=axis.tolist())
    robot.add_geom(name="chassis", type=library.mjtGeom.mjGEOM_CYLINDER, size=[ROBOT_RADIUS_M, 0.25, 0],
                   pos=[0, 0, 0.3], mass=_MASS_KG, contype=1, conaffinity=0, friction=[0.1, 0.0, 0.0],
                   condim=3, priority=1, group=_HIDDEN)  # fmt: skip
    tangent = math.tan(math.radians(HORIZONTAL_FOV_DEG) / 2)
    fovy = math.degrees(2 * math.atan(tangent / aspect))
    robot.add_camera(name=CAMERA, pos=[0, 0, CAMERA_HEIGHT_M], xyaxes=[0, -1, 0, 0, 0, 1], fovy=fovy)
    robot.add_site(name="drive")
    inertia = _MASS_KG * ROBOT_RADIUS_M**2 / 2
    gears = ([1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1])
    limits = (_TRACTION_N, _SIDE_N, _TORQUE_NM)
    for name, gear, moved, limit in zip(SERVOS, gears, (_MASS_KG, _SIDE_GRIP * _MASS_KG, inertia), limits, strict=True):
        servo = spec.add_actuator(name=name, target="drive", trntype=library.mjtTrn.mjTRN_SITE, gear=gear)
        servo.set_to_velocity(kv=moved / _SETTLE_S)
        servo.forcelimited, servo.forcerange = True, [-limit, limit]
