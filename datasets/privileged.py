"""The one privileged feature: what a simulator knows and no robot does.

Logs of simulated navigation carry it as the text `episode_metadata/privileged`. Only who stands in for a
vision-language model (`vlm.scene`), the label audit and the `oracle` may read it, and they do so through this
module; an import contract holds everything else away from it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embodied_cf.datasets.contract import Episode
from embodied_cf.errors import RecordError

FEATURE = "privileged"
KEY = f"episode_metadata/{FEATURE}"
VERSION = 1


@dataclass(frozen=True)
class VisibleThing:
    """An object that some pixels of a frame show."""

    row: int
    """Index among the scene's objects."""
    name: str
    """Colour and kind, such as "red chair"."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in pixels of the primary camera, x right, y down, around the visible part; x1, y1 exclusive."""
    pixels: int
    """How many pixels show it."""


Visible = tuple[tuple[VisibleThing, ...], ...]
"""For each step, what its frame shows."""


def encode(scene: Mapping[str, Any], noise_seed: int, visible: Visible) -> str:
    """Return the feature's text: the scene as JSON, the seed of its chance, and what each frame shows."""
    rows = [[[thing.row, thing.name, *thing.box, thing.pixels] for thing in frame] for frame in visible]
    return json.dumps({"version": VERSION, "scene": scene, "noise_seed": noise_seed, "visible": rows})


def _content(episode: Episode) -> dict[str, Any]:
    text = episode.metadata.get(KEY)
    if not text:
        raise RecordError(
            f"no feature {KEY}",
            where=episode.episode_id,
            remedy="Only what `embodied-cf collect` wrote of rooms, corridors and courtyards says what a scene holds; "
            "use another captioner.",
        )
    content = json.loads(str(text))
    if content["version"] != VERSION:
        raise RecordError(f"{KEY} of version {content['version']}, not {VERSION}", where=episode.episode_id)
    return content


def read_visible(episode: Episode) -> Visible:
    """Return what each frame shows. Raises RecordError for a dataset that does not say."""
    return tuple(tuple(map(_thing, frame)) for frame in _content(episode)["visible"])


def read_scene(episode: Episode) -> tuple[dict[str, Any], int]:
    """Return the scene as JSON (`envs.scene_json`) and the seed of the chance that was at work in it."""
    content = _content(episode)
    return content["scene"], content["noise_seed"]


def _thing(row: Sequence[Any]) -> VisibleThing:
    index, name, x0, y0, x1, y1, pixels = row
    return VisibleThing(index, name, (x0, y0, x1, y1), pixels)
