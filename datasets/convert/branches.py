"""Relabelled episodes as readers without label sets want them: the real episode, and one episode per counterfactual.

A branch keeps a few real steps before it, with what was really asked and no weight in the loss; then the branch
step itself, which alone carries the counterfactual instruction as a target; then steps that nobody saw: they
repeat the branch frame, stand at the poses of the label's chunk, are marked synthetic and have no weight either.
So no observation is taught an action that another instruction explains, as happens where the frames before a
branch are put under its text (the release of arXiv 2508.13446).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from embodied_cf.datasets.contract import Episode, Labels
from embodied_cf.language.arm import wrap


@dataclass(frozen=True)
class Branch:
    """An episode in the making: real steps by index, synthetic ones at the end."""

    kind: str
    """factual or counterfactual."""
    steps: Int64[np.ndarray, " t"]
    """Step of the source whose frames each step shows."""
    track: Float[np.ndarray, "t d"]
    """Pose (x, y, yaw), or effector and gripper, of each step."""
    texts: Sequence[Sequence[str]]
    """Instructions of each step, the most telling first."""
    is_synthetic: Bool[np.ndarray, " t"]
    loss_mask: Float32[np.ndarray, " t"]
    about: Mapping[str, Any]
    """step, score, command and source of the label."""


def branches(episode: Episode, track: Float[np.ndarray, "t d"], labels: Labels, history: int) -> Iterator[Branch]:
    """Yield the factual episode, then a branch per counterfactual label."""
    texts = factual_texts(episode, labels)
    told = np.array([bool(said) for said in texts], np.float32)
    told[-1] = 0  # no action follows the last observation
    real = np.zeros(len(episode), bool)
    about = {"step": -1, "score": 1.0, "command": "", "source": ""}
    yield Branch("factual", np.arange(len(episode)), track, texts, real, told, about)
    for row in counterfactuals(labels, len(episode)):
        yield _branch(track, labels, row, texts, history)


def counterfactuals(labels: Labels, steps: int) -> list[int]:
    """Return the rows that become branches."""
    return [row for row, kind in enumerate(labels.kind) if kind == "counterfactual" and labels.start[row] < steps]


def _branch(
    track: Float[np.ndarray, "t d"], labels: Labels, row: int, texts: Sequence[Sequence[str]], history: int
) -> Branch:
    at = int(labels.start[row])
    first = max(0, at - history)
    ahead = futures(track[at], labels.action[row][labels.action_mask[row]])
    count = len(ahead)
    steps = np.concatenate([np.arange(first, at + 1), np.full(count, at)])
    synthetic = np.arange(len(steps)) > at - first
    loss = (np.arange(len(steps)) == at - first).astype(np.float32)
    instruction = (labels.instruction[row],)
    said = [*texts[first:at], *[instruction] * (count + 1)]
    about = {
        "step": at,
        "score": float(labels.score[row]),
        "command": labels.command[row],
        "source": labels.source[row],
    }
    whole = np.concatenate([track[first : at + 1], ahead])
    return Branch("counterfactual", steps, whole, said, synthetic, loss, about)


def factual_texts(episode: Episode, labels: Labels) -> list[tuple[str, ...]]:
    """Return for each step what was really done or asked: labels from the shortest range on, then the dataset's own."""
    rows = [row for row, kind in enumerate(labels.kind) if kind != "counterfactual"]
    rows.sort(key=lambda row: int(labels.end[row] - labels.start[row]))
    spans = [(int(labels.start[row]), int(labels.end[row]), labels.instruction[row]) for row in rows]
    spans += [(span.start, span.end, span.text) for span in episode.language if span.text]
    texts: list[dict[str, None]] = [{} for _ in range(len(episode))]
    for start, end, text in spans:
        for step in texts[start:end]:
            step[text] = None
    if len(texts) > 1:
        texts[-1] = texts[-2]  # the last step has no future of its own
    return [tuple(step) for step in texts]


def futures(here: Float[np.ndarray, " d"], chunk: Float[np.ndarray, "n a"]) -> Float[np.ndarray, "n d"]:
    """Return where a chunk leads from a pose: the inverse of `datasets.motion.future_chunks`.

    Driving chunks say no heading; a robot looks where it goes, and on as before where it stands.
    """
    if chunk.shape[1] != 2:
        turned = wrap(here[3:6] + chunk[:, 3:6])
        return np.concatenate([here[:3] + chunk[:, :3], turned, chunk[:, 6:]], axis=1)
    cos, sin = np.cos(here[2]), np.sin(here[2])
    place = here[:2] + np.stack([cos * chunk[:, 0] - sin * chunk[:, 1], sin * chunk[:, 0] + cos * chunk[:, 1]], axis=1)
    return np.concatenate([place, _headings(here, place)[:, None]], axis=1)


def _headings(here: Float[np.ndarray, " 3"], place: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    delta = np.diff(place, axis=0, prepend=here[None, :2])
    length = np.linalg.norm(delta, axis=1)
    moving = length > 0.1 * length.max(initial=0.0)
    headings, yaw = np.zeros(len(place)), float(here[2])
    for at in range(len(place)):
        yaw = float(np.arctan2(delta[at, 1], delta[at, 0])) if moving[at] else yaw
        headings[at] = yaw
    return headings


def step_actions(track: Float[np.ndarray, "t d"]) -> Float32[np.ndarray, "t a"]:
    """Return the way from each step to the next: (x, y) in the robot's frame, or the effector's displacement along
    the base's axes and the gripper of the next step. Nothing follows the last step."""
    delta = np.diff(track, axis=0, append=track[-1:])
    if track.shape[1] == 3:
        cos, sin = np.cos(track[:, 2]), np.sin(track[:, 2])
        ahead = np.stack([cos * delta[:, 0] + sin * delta[:, 1], cos * delta[:, 1] - sin * delta[:, 0]], axis=1)
        return ahead.astype(np.float32)
    following = np.concatenate([track[1:, 6:], track[-1:, 6:]])
    return np.concatenate([delta[:, :3], wrap(delta[:, 3:6]), following], axis=1).astype(np.float32)
