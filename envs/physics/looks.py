"""The looks of a scene for MuJoCo: the renderer's textures and catalogue, turned into materials and geoms."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from embodied_cf.envs.rendering import catalogue, catalogue_people
from embodied_cf.envs.rendering.catalogue import BALL, BOX, Part
from embodied_cf.envs.rendering.textures import STRETCHED, TILE, TILE_M, second_colours, textures
from embodied_cf.envs.scene import CEILING_STYLES, FLOOR_STYLES, WALL_STYLES

_SIDES = 20
"""Corners of a round that is wider at one end."""
_STYLES = {"wall": WALL_STYLES, "floor": FLOOR_STYLES, "ceiling": CEILING_STYLES}


class Looks:
    """Adds textures, materials and bodies' parts to one MjSpec; equal ones are added once."""

    def __init__(self, library: Any, spec: Any) -> None:
        self._library, self._spec = library, spec
        self._textures: dict[tuple, str] = {}
        self._materials: dict[tuple, str] = {}
        self._meshes: dict[tuple, str] = {}

    def material(self, group: str, style: int, rgb: UInt8[np.ndarray, " 3"], size: tuple[float, float]) -> str:
        """Return the name of the material of a face of `size` m; group is wall, floor or ceiling."""
        name = _STYLES[group][style]
        repeat = [length / TILE_M for length in size]
        if group == "wall" and name in STRETCHED:
            repeat[1] = 1.0
            repeat[0] = 1.0 if name == "door" else repeat[0]
        key = (group, style, *rgb.tolist(), *repeat)
        if key not in self._materials:
            self._materials[key] = f"material {len(self._materials)}"
            material = self._spec.add_material(name=self._materials[key], texrepeat=repeat, specular=0.0)
            material.textures[self._library.mjtTextureRole.mjTEXROLE_RGB] = self._texture(group, style, rgb)
        return self._materials[key]

    def thing(self, body: Any, kind: str, rgb: tuple[int, int, int], scale: float) -> None:
        """Add the parts of an object of the catalogue to its body."""
        palette = np.array([rgb, *catalogue.FIXED_RGB[1:]], np.float64)
        for part in catalogue.PARTS[kind]:
            self._part(body, part, palette[part.role], scale, scale, "")

    def person(self, body: Any, name: str, look: int) -> None:
        """Add the parts of a person to the body; each geom is called `name` and its number."""
        wardrobe = catalogue_people.wardrobe()
        row = look % catalogue_people.LOOKS
        height, width = wardrobe.build[row].tolist()
        for index, part in enumerate(catalogue_people.BODY):
            if part.role != catalogue_people.BAG or wardrobe.bag[row]:
                self._part(body, part, wardrobe.rgb[row, part.role], width, height, f"{name} {index}")

    def _part(self, body: Any, part: Part, rgb: Float64[np.ndarray, " 3"], wide: float, tall: float, name: str) -> None:
        shapes = self._library.mjtGeom
        low, high, a, b = part.low * tall, part.high * tall, part.a * wide, part.b * wide
        half, colour = (high - low) / 2, np.minimum(rgb * part.shade, 255) / 255
        look = {"name": name, "pos": [part.x * wide, part.y * wide, low + half], "rgba": [*colour.tolist(), 1.0],
                "contype": 0, "conaffinity": 0}  # fmt: skip
        if part.shape == BOX:
            body.add_geom(type=shapes.mjGEOM_BOX, size=[a, b, half], **look)
        elif part.shape == BALL:
            body.add_geom(type=shapes.mjGEOM_ELLIPSOID, size=[a, a, half], **look)
        elif part.a == part.b:
            body.add_geom(type=shapes.mjGEOM_CYLINDER, size=[a, half, 0], **look)
        else:
            body.add_geom(type=shapes.mjGEOM_MESH, meshname=self._frustum(a, b, half), **look)

    def _frustum(self, below: float, above: float, half: float) -> str:
        """Return the mesh of a round with another radius above than below."""
        key = tuple(round(value, 6) for value in (below, above, half))
        if key not in self._meshes:
            self._meshes[key] = f"round {len(self._meshes)}"
            angle = np.arange(_SIDES) * 2 * math.pi / _SIDES
            ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(_SIDES)], axis=1)
            ends = [ring * [radius, radius, 0] + [0, 0, z] for radius, z in ((below, -half), (above, half))]
            self._spec.add_mesh(name=self._meshes[key], uservert=np.concatenate(ends).ravel().tolist())
        return self._meshes[key]

    def _texture(self, group: str, style: int, rgb: UInt8[np.ndarray, " 3"]) -> str:
        key = (group, style, *rgb.tolist())
        if key not in self._textures:
            self._textures[key] = f"texture {len(self._textures)}"
            texture = self._spec.add_texture(name=self._textures[key], type=self._library.mjtTexture.mjTEXTURE_2D)
            image = self._image(list(_STYLES).index(group), style, rgb)
            texture.height, texture.width, texture.nchannel = *image.shape[:2], 3
            texture.data = image.tobytes()
        return self._textures[key]

    def _image(self, group: int, style: int, rgb: UInt8[np.ndarray, " 3"]) -> UInt8[np.ndarray, "t t 3"]:
        row = sum(len(styles) for styles in list(_STYLES.values())[:group]) + style
        texel = textures()[row, : TILE * TILE].reshape(TILE, TILE, 1)  # the first level
        colour = (texel % 256 * rgb.astype(np.float64) + texel // 256 * second_colours()[row]) / 255
        return np.minimum(colour, 255).astype(np.uint8)


def about_z(yaw: float) -> list[float]:
    """Return the quaternion w, x, y, z of a turn about the vertical."""
    return [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]
