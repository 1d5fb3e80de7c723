"""The physical model of a table: things with contact and a gripper that is moved by position.

The hand hangs on three slides and three hinges whose origin is the point between the fingertips; there is no arm.
"""

import math
from typing import Any

from embodied_cf.envs.physics.library import load_mujoco
from embodied_cf.envs.scene import COLOUR_RGB
from embodied_cf.envs.tabletop.layout import (
    BALL_RADIUS,
    BOWL_HEIGHT,
    BOWL_RADIUS,
    BRICK_HALF,
    CAN_HALF,
    CAN_RADIUS,
    CUBE_HALF,
    HEIGHT_M,
    PLATE_HEIGHT,
    PLATE_RADIUS,
    Layout,
)

HAND_JOINTS = ("x", "y", "z", "yaw", "pitch", "roll")
FINGERS = ("left", "right")
OPENING_M = 0.04
"""How far each finger moves from the middle."""
PERIOD_S = 0.2
TIMESTEP_S = 0.004
LOW = (0.12, -0.42, 0.004, -0.6, -0.6, -3.0)
HIGH = (0.72, 0.42, 0.35, 0.6, 0.6, 3.0)
"""Limits of the effector: x, y, z m, roll, pitch, yaw rad."""
THING, CAMERA = "thing {}", "front"
_HAND_KG, _FINGER_KG, _THING_KG, _DISH_KG = 1.0, 0.05, 0.05, 0.3
_STIFF = 150.0
"""Natural frequency of the position control, rad/s; critically damped."""
_FINGER_HALF = (0.009, 0.005, 0.025)
_STAVES = 12
"""Boxes that make the wall of a bowl."""


def build_model(layout: Layout) -> Any:
    """Return the MjModel of a table."""
    library = load_mujoco()
    spec = library.MjSpec()
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = library.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = library.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    spec.visual.headlight.ambient = [0.35 * layout.light] * 3
    spec.visual.headlight.diffuse = [0.25 * layout.light] * 3
    spec.visual.headlight.specular = [0.0] * 3
    spec.stat.extent, spec.stat.center = 1.0, [0.4, 0.0, 0.0]
    spec.visual.map.znear, spec.visual.map.zfar = 0.02, 10.0
    _add_room(library, spec, layout)
    for index in range(len(layout.kind)):
        _add_thing(library, spec, layout, index)
    _add_hand(library, spec, layout)
    return spec.compile()


def _add_room(library: Any, spec: Any, layout: Layout) -> None:
    world, box = spec.worldbody, library.mjtGeom.mjGEOM_BOX
    table = [channel / 255 for channel in layout.table_rgb.tolist()]
    world.add_geom(name="table", type=box, pos=[0.4, 0, -0.02], size=[0.4, 0.5, 0.02], rgba=[*table, 1])
    world.add_geom(type=library.mjtGeom.mjGEOM_PLANE, pos=[0, 0, -0.7], size=[4, 4, 0.1], rgba=[0.45, 0.47, 0.5, 1])
    level = [0.5 * layout.light] * 3
    world.add_light(pos=[0.1, 0.5, 1.2], dir=[0.2, -0.4, -1.0], diffuse=level, castshadow=False,
                    type=library.mjtLightType.mjLIGHT_DIRECTIONAL)  # fmt: skip
    # over the base's back edge, looking 42 degrees down along x
    tilt = math.radians(42)
    upwards = [math.sin(tilt), 0, math.cos(tilt)]
    world.add_camera(name=CAMERA, pos=[-0.12, 0, 0.52], xyaxes=[0, -1, 0, *upwards], fovy=52)


def _add_thing(library: Any, spec: Any, layout: Layout, index: int) -> None:
    kind = layout.kinds[index]
    x, y = layout.position[index].tolist()
    half = layout.yaw[index] / 2
    body = spec.worldbody.add_body(
        name=THING.format(index), pos=[x, y, HEIGHT_M[kind] / 2], quat=[math.cos(half), 0, 0, math.sin(half)]
    )
    body.add_freejoint()
    rgba = [*(channel / 255 for channel in COLOUR_RGB[layout.colours[index]]), 1]
    look = {"rgba": rgba, "friction": [1.0, 0.01, 0.0005], "condim": 4}
    shapes = library.mjtGeom
    match kind:
        case "cube":
            body.add_geom(type=shapes.mjGEOM_BOX, size=[CUBE_HALF] * 3, mass=_THING_KG, **look)
        case "brick":
            body.add_geom(type=shapes.mjGEOM_BOX, size=list(BRICK_HALF), mass=_THING_KG, **look)
        case "can":
            body.add_geom(type=shapes.mjGEOM_CYLINDER, size=[CAN_RADIUS, CAN_HALF, 0], mass=_THING_KG, **look)
        case "ball":
            # rolling friction lets it come to rest
            look |= {"condim": 6, "friction": [1.0, 0.01, 0.004]}
            body.add_geom(type=shapes.mjGEOM_SPHERE, size=[BALL_RADIUS, 0, 0], mass=_THING_KG, **look)
        case "plate":
            size = [PLATE_RADIUS, PLATE_HEIGHT / 2, 0]
            body.add_geom(type=shapes.mjGEOM_CYLINDER, size=size, mass=_DISH_KG, **look)
        case "bowl":
            _add_bowl(shapes, body, look)


def _add_bowl(shapes: Any, body: Any, look: dict) -> None:
    thick = 0.004
    base = [BOWL_RADIUS - thick, thick / 2, 0]
    body.add_geom(
        type=shapes.mjGEOM_CYLINDER, size=base, pos=[0, 0, (thick - BOWL_HEIGHT) / 2], mass=_DISH_KG / 2, **look
    )
    ring = BOWL_RADIUS - thick / 2
    for stave in range(_STAVES):
        angle = 2 * math.pi * stave / _STAVES
        body.add_geom(
            type=shapes.mjGEOM_BOX,
            size=[thick / 2, ring * math.tan(math.pi / _STAVES), (BOWL_HEIGHT - thick) / 2],
            # only the base touches the table: fewer contacts
            pos=[ring * math.cos(angle), ring * math.sin(angle), thick / 2],
            quat=[math.cos(angle / 2), 0, 0, math.sin(angle / 2)],
            mass=_DISH_KG / 2 / _STAVES,
            **look,
        )


def _add_hand(library: Any, spec: Any, layout: Layout) -> None:
    hand = spec.worldbody.add_body(name="hand", gravcomp=1)
    grey, dark = [0.55, 0.57, 0.6, 1], [0.2, 0.2, 0.22, 1]
    box = library.mjtGeom.mjGEOM_BOX
    hand.add_geom(type=box, size=[0.02, 0.055, 0.015], pos=[0, 0, 0.07], mass=_HAND_KG, rgba=grey)
    hand.add_geom(type=library.mjtGeom.mjGEOM_CYLINDER, size=[0.018, 0.06, 0], pos=[0, 0, 0.145], mass=0.01, rgba=grey)
    axes = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1), "yaw": (0, 0, 1), "pitch": (0, 1, 0), "roll": (1, 0, 0)}
    for name in HAND_JOINTS:
        slide = name in ("x", "y", "z")
        kind = library.mjtJoint.mjJNT_SLIDE if slide else library.mjtJoint.mjJNT_HINGE
        hand.add_joint(name=name, type=kind, axis=axes[name], armature=0.0 if slide else 0.02)
        inertia = _HAND_KG + 2 * _FINGER_KG if slide else 0.03
        _add_servo(library, spec, name, inertia, 60.0 if slide else 10.0)
    for name, side in zip(FINGERS, (1, -1), strict=True):
        finger = hand.add_body(name=f"{name} finger", gravcomp=1)
        finger.add_joint(
            name=name, type=library.mjtJoint.mjJNT_SLIDE, axis=(0, side, 0), range=(-0.002, OPENING_M + 0.002)
        )
        half = list(_FINGER_HALF)
        finger.add_geom(type=box, size=half, pos=[0, side * half[1], half[2]], mass=_FINGER_KG, rgba=dark,
                        friction=[1.5, 0.02, 0.0005], condim=4)  # fmt: skip
        _add_servo(library, spec, name, 0.4, 8.0)
    # one drive moves both fingers: a thing between them cannot shift them sideways
    pair = spec.add_equality(name="fingers", type=library.mjtEq.mjEQ_JOINT, objtype=library.mjtObj.mjOBJ_JOINT)
    pair.name1, pair.name2 = FINGERS
    pair.data[:2] = [0.0, 1.0]
    pair.solref = [0.008, 1.0]


def _add_servo(library: Any, spec: Any, joint: str, inertia: float, limit: float) -> None:
    """Add position control of a joint (SI units), critically damped, of limited force."""
    servo = spec.add_actuator(name=joint, target=joint, trntype=library.mjtTrn.mjTRN_JOINT)
    servo.set_to_position(kp=inertia * _STIFF**2, kv=2 * inertia * _STIFF)
    servo.forcelimited, servo.forcerange = True, [-limit, limit]
