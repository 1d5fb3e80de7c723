"""Objects and people of many pictures: culled, taken apart into bodies, drawn over the background (from `render`)."""
# mypy: allow-untyped-defs, allow-untyped-calls

import math
from collections.abc import Callable

from embodied_cf.envs import compiled as compiling
from embodied_cf.envs.compiled import compiled, fingerprint, kept
from embodied_cf.envs.rendering import raycast_bodies, raycast_shading
from embodied_cf.envs.rendering.raycast import Image
from embodied_cf.envs.rendering.raycast_bodies import columns_of, darken_floor, draw_ball, draw_box, draw_round
from embodied_cf.envs.rendering.raycast_shading import keep

FIRST_OBJECT, FIRST_PERSON = 10, 40
_SHADOW, _SHADOW_REACH = 0.6, 1.35
"""Of the floor's light, how much is missing at a thing's foot; up to how many radii."""
_PERSON_SHADOW_M = 0.28


@compiled
def _draw_item(image, parts, first, last, reach, where, size, stride, palette, light, lens, closed, segment, outdoor):
    """Draw parts first to last - 1 of a thing that stands at `where` (forward, left, cos and sin of its heading,
    cos and sin of the camera's): `size` scales its width and height, `stride` its swing."""
    forward, left, cos, sin, heading_cos, heading_sin = where
    if _is_hidden(forward, left, reach * size[0] + 0.3 * abs(stride), closed, lens):
        return
    left_light = 1.0 if outdoor else keep(max(forward, 0.0), outdoor)
    for row in range(first, last):
        value, role = parts.value, parts.role[row]
        dx, dy = value[row, 5] * size[0] + value[row, 8] * stride, value[row, 6] * size[0]
        x, y = forward + dx * cos - dy * sin, left + dx * sin + dy * cos
        low, high = value[row, 0] * size[1], value[row, 1] * size[1]
        a, b, shade = value[row, 2] * size[0], value[row, 3] * size[0], value[row, 4] * left_light
        colour = palette[role, 0] * shade, palette[role, 1] * shade, palette[role, 2] * shade
        if parts.shape[row] == 0:
            draw_box(image, x, y, cos, sin, low, high, a, b, light, lens, closed, colour, segment)
        elif parts.shape[row] == 1:
            draw_round(image, x, y, low, high, a, b, light, lens, closed, colour, segment)
        else:
            heading = heading_cos, heading_sin
            draw_ball(image, x, y, low, high, a, value[row, 7], heading, light, lens, closed, colour, segment)


@compiled
def _is_hidden(forward, left, reach, closed, lens):
    """Return whether a circle is out of sight or behind walls that close the view."""
    first, last = columns_of(forward, left, reach, closed.shape[0], lens.focal)
    for column in range(first, last):  # noqa: SIM110, numba knows no generators
        if (forward - reach) * closed[column] < 1.0:
            return False
    return True


@compiled
def _copy_colours(palette, colours):
    for role in range(colours.shape[0]):
        for k in range(3):
            palette[role, k] = colours[role, k]


@compiled
def _draw_things(image, b, worlds, pose, person, phase, light, lens, closed, parts, wardrobe, colours, palette):
    """Draw shadows, objects and people of world b."""
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    objects, people, outdoor = worlds.num_objects[b], worlds.num_people[b], worlds.ceiling_style[b] == 0
    for item in range(2 * (objects + people)):
        shadow = item < objects + people
        item = item if shadow else item - objects - people
        if item < objects:
            x, y, yaw, kind = (
                worlds.position[b, item, 0],
                worlds.position[b, item, 1],
                worlds.yaw[b, item],
                worlds.kind[b, item],
            )
            radius, wide, tall, stride = worlds.radius[b, item], worlds.scale[b, item], worlds.scale[b, item], 0.0
            _copy_colours(palette, colours.fixed)
            for k in range(3):
                palette[0, k] = colours.named[worlds.colour[b, item], k]
            first, last, reach, segment = (
                parts.first[kind],
                parts.first[kind + 1],
                parts.reach[kind],
                FIRST_OBJECT + item,
            )
        else:
            row = item - objects
            x, y, vx, vy = person[row, 0], person[row, 1], person[row, 2], person[row, 3]
            speed, look = math.sqrt(vx * vx + vy * vy), worlds.person_look[b, row] % len(wardrobe.bag)
            yaw = math.atan2(vy, vx) if speed > 1e-3 else 2.4 * look
            radius, wide, tall = _PERSON_SHADOW_M, wardrobe.build[look, 1], wardrobe.build[look, 0]
            stride = math.sin(phase[row]) * min(1.0, speed / 0.6)
            _copy_colours(palette, wardrobe.rgb[look])
            kind = len(parts.reach) - 1
            first, last, reach, segment = (
                parts.first[kind],
                parts.first[kind + 1],
                parts.reach[kind],
                FIRST_PERSON + row,
            )
            last -= 1 - wardrobe.bag[look]
        x, y = x - pose[0], y - pose[1]
        forward, left = x * cos + y * sin, y * cos - x * sin
        if shadow:
            darken_floor(image, forward, left, _SHADOW_REACH * radius, _SHADOW, lens, closed)
        else:
            where = forward, left, math.cos(yaw - pose[2]), math.sin(yaw - pose[2]), cos, sin
            _draw_item(
                image,
                parts,
                first,
                last,
                reach,
                where,
                (wide, tall),
                stride,
                palette,
                light,
                lens,
                closed,
                segment,
                outdoor,
            )


def _make_kernel(stamp: int) -> Callable[..., None]:
    def draw_things(
        begin,
        end,
        worlds,
        pose,
        person,
        phase,
        rgb,
        depth,
        segment,
        closed,
        lights,
        palette,
        lens,
        parts,
        wardrobe,
        colours,
    ):
        """Draw the things of worlds begin to end - 1. `stamp` is here for numba's cache to see it."""
        for b in range(begin, end + 0 * stamp):
            image = Image(rgb[b], depth[b], segment[b])
            _draw_things(
                image, b, worlds, pose[b], person[b], phase[b], lights[b], lens, closed[b], parts, wardrobe, colours,
                palette,
            )  # fmt: skip

    return kept(draw_things)


draw_things = _make_kernel(fingerprint(__file__, compiling.__file__, raycast_shading.__file__, raycast_bodies.__file__))
