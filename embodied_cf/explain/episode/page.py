"""An episode's explanation as one self-contained page: pictures first, then the table of everything that was tried."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.film import data_uri, spread_steps
from embodied_cf.explain.episode.alternatives import in_words
from embodied_cf.explain.episode.decisive import OPTIONS
from embodied_cf.explain.episode.explanation import EpisodeExplanation
from embodied_cf.explain.episode.picture import SIZE, map_picture, second_best_picture, view
from embodied_cf.explain.episode.text import seconds, sentences
from embodied_cf.explain.template import template

_FILM, _OTHERS = 7, 3
"""Frames in a strip, and second-best rollouts that are shown."""
_SIDE, _HEIGHT = 22, 90
"""Width of a decision and height of a curve, in SVG units."""


@dataclass(frozen=True)
class Square:
    """One thing that was tried at one decision."""

    x: int
    y: int
    kind: str
    title: str


@dataclass(frozen=True)
class Curve:
    """A share by decision, in SVG units."""

    name: str
    points: str


def write_episode_page(told: EpisodeExplanation, policy: str, path: Path) -> None:
    """Write the page."""
    found, recording = told.attribution.decisive, told.recording
    page = template("episode.html.j2").render(
        told=told, policy=policy, found=found, text=sentences(told), options=OPTIONS, squares=_squares(told),
        curves=_curves(told), side=_SIDE, height=_HEIGHT, wide=_SIDE * recording.decisions,
        map=data_uri(map_picture(told), SIZE), films=_films(told), others=_second(told),
        measures=told.measures.rows(), decisions=recording.decisions,
        disturbance=None if not told.disturbance.size else _points(_scaled(told), _HEIGHT),
        pushed=float(np.sqrt(told.disturbance.max(initial=0.0))),
        done=[f"{in_words(recording.done_at(at))} ({seconds(told, at):.1f} s)" for at in range(recording.decisions)],
    )  # fmt: skip
    write_text(path, page)


def _films(told: EpisodeExplanation) -> list[tuple[str, list[tuple[str, str]]]]:
    recording = told.recording
    steps = spread_steps(recording.decisions + 1, _FILM)
    strips = [("what happened", [(f"{seconds(told, at):.1f} s", _uri(told, at)) for at in steps])]
    if told.corrected is not None:
        after = data_uri(view(told, told.corrected.final.state, 220), 220)
        strips.append(("how it ends with the correction", [("end", after)]))
    return strips


def _uri(told: EpisodeExplanation, decision: int) -> str:
    return data_uri(view(told, told.recording.moments.state.take([decision]), 220), 220)


def _squares(told: EpisodeExplanation) -> list[Square]:
    squares = []
    for row, name in enumerate(OPTIONS):
        for at in range(told.recording.decisions):
            averts, corrects = told.attribution.averted[row, at], told.attribution.corrects[row, at]
            kind = ("mends" if corrects else "luck") if averts else "fails"
            title = f"decision {at} ({seconds(told, at):.1f} s), {name}: {_OUTCOME[kind]}"
            squares.append(Square(at * _SIDE, row * _SIDE, kind, title))
    return squares


_OUTCOME = {
    "mends": "averts the failure, and is nearer to the expert than what was done",
    "luck": "averts the failure, though it is no correction",
    "fails": "fails all the same",
}


def _curves(told: EpisodeExplanation) -> list[Curve]:
    found = told.attribution
    shares = {"takeover": found.takeover[:-1], "necessity": found.necessity, "unchanged": found.unchanged}
    return [Curve(name, _points(share, _HEIGHT)) for name, share in shares.items()]


def _points(share: Float[np.ndarray, " d"], height: int) -> str:
    return " ".join(f"{(at + 0.5) * _SIDE:g},{height * (1 - value):.1f}" for at, value in enumerate(share.tolist()))


def _scaled(told: EpisodeExplanation) -> Float[np.ndarray, " d"]:
    pushed = np.sqrt(told.disturbance.max(axis=1))
    return pushed / max(float(pushed.max()), 1e-9)


def _second(told: EpisodeExplanation) -> list[tuple[str, str]]:
    """Return a text and a map for the second-best actions that would have led furthest away."""
    if told.second_branches is None:
        return []
    end = told.second_branches.final.state.pose[:, :2] - told.recording.trail.pose[-1, :2]
    far = np.argsort(-(np.hypot(*end.T) + 100.0 * told.averted_by_second))[:_OTHERS]
    return [(_second_text(told, int(row)), data_uri(second_best_picture(told, int(row), 320), 320)) for row in far]


def _second_text(told: EpisodeExplanation, row: int) -> str:
    at, outcome = int(told.second.decision[row]), "succeeds" if told.averted_by_second[row] else "fails as well"
    share, did = told.second.share[row], in_words(told.second.actions[row])
    return f"decision {at} ({seconds(told, at):.1f} s): had it {did} ({share:.0%} of its draws), it {outcome}"
