"""An input's explanation as one self-contained page: before and after, the map of regions, then every what-if."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.film import data_uri
from embodied_cf.envs.rendering.render import Camera, render
from embodied_cf.envs.scene import stack
from embodied_cf.explain.input.asking import Asker, View, apart, observed
from embodied_cf.explain.input.concepts import ConceptEffect
from embodied_cf.explain.input.explanation import InputExplanation
from embodied_cf.explain.input.text import change, sentences
from embodied_cf.explain.template import template
from embodied_cf.policies.contract import Policy

_SIZE, _SHOWN = 288, 6
"""Pixels of a picture, and pairs that are shown."""
_PLOT, _REACH_M = 150, 1.9
"""Side of a plot of chunks in SVG units, and half of what it spans."""
_HOT = (230, 60, 30)
_FAINT = 0.1
"""nats: no smaller divergence is drawn as large."""


@dataclass(frozen=True)
class Pair:
    """A what-if in pictures: what it would see, and what it would do (blue: does, orange: would do)."""

    caption: str
    moved: float
    uri: str
    does: str
    would: str


@dataclass(frozen=True)
class Row:
    """A what-if as a line with a bar."""

    factor: str
    text: str
    moved: float
    width: float
    changed: bool


def write_input_page(
    told: InputExplanation, concepts: Sequence[ConceptEffect], driving: Policy, policy: str, path: Path
) -> None:
    """Write the page; the policy is asked again for the actions that are drawn."""
    largest = max((it.moved for it in told.effects), default=0.0) or 1.0
    page = template("input.html.j2").render(
        told=told, policy=policy, text=sentences(told), image=data_uri(picture(told.view), _SIZE),
        regions=data_uri(region_picture(told, told.regions.moved, told.threshold, told.regions.smallest), _SIZE),
        swapped=data_uri(region_picture(told, told.regions.swapped, told.threshold), _SIZE),
        traced=_traced(told),
        pairs=_pairs(told, driving), plot=_PLOT, does=_points(told.chunk), measures=told.measures.rows(),
        rows=[Row(it.edit.factor, it.edit.text, it.moved, 100 * it.moved / largest, it.changed) for it in told.effects],
        concepts=concepts if max(it.views for it in concepts) > 1 else (),
    )  # fmt: skip
    write_text(path, page)


def picture(view: View) -> UInt8[np.ndarray, "h w 3"]:
    """Return what the robot sees, larger than the policy does."""
    return render(stack([view.scene]), view.states[-1], Camera(_SIZE, _SIZE)).rgb[0]


def region_picture(
    told: InputExplanation, effect: Float64[np.ndarray, "g g"], most: float, framed: Sequence[tuple[int, int]] = ()
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the frame in grey, its regions the redder the larger their effect, fully from `most` or the largest on."""
    image = picture(told.view).astype(np.float64)
    share = np.maximum(effect, 0.0) / max(float(effect.max()), most)
    large = cv2.resize(share, (_SIZE, _SIZE), interpolation=cv2.INTER_NEAREST)[..., None]
    grey = image.mean(axis=-1, keepdims=True) * 0.6 + 80
    mixed = (grey * (1 - 0.75 * large) + np.array(_HOT) * 0.75 * large).clip(0, 255).astype(np.uint8)
    side = _SIZE / len(effect)
    for row, column in framed:
        first, last = ((round(side * (column + far)), round(side * (row + far))) for far in (0, 1))
        cv2.rectangle(mixed, first, last, (255, 255, 255), 2)
    return mixed


def _traced(told: InputExplanation) -> str:
    """Return the picture of divergences; "" where the policy tells no log-probabilities."""
    traced = told.regions.traced
    return "" if traced is None else data_uri(region_picture(told, traced, _FAINT), _SIZE)


def _pairs(told: InputExplanation, driving: Policy) -> list[Pair]:
    groups = told.smallest[:_SHOWN]
    if not groups:
        return []
    views = [told.view.edited([it.edit for it in group]) for group in groups]
    chunks = Asker(driving, told.samples, 0).chunks(observed(views, driving.camera), [view.told for view in views])
    return [
        Pair(change(group), float(apart(chunk, told.chunk)), data_uri(picture(view), 220),
             _points(told.chunk), _points(chunk))
        for group, view, chunk in zip(groups, views, chunks, strict=True)
    ]  # fmt: skip


def _points(chunk: Float64[np.ndarray, "k 2"]) -> str:
    """Return a chunk in the plot, forward up, as SVG points."""
    path = np.concatenate([np.zeros((1, 2)), chunk])
    scale = _PLOT / (2 * _REACH_M)
    return " ".join(f"{_PLOT / 2 - scale * y:.1f},{0.9 * _PLOT - scale * x:.1f}" for x, y in path.tolist())
