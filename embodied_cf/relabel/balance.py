"""Language balance: how much of what could be said at an observation is said, before and after relabelling.

If looking at the scene already tells what the robot is asked to do, a policy has no reason to listen. So the
measure that matters is how open the command stays once the observation is known: H(command | observation) in
bits, with observations gathered into clusters that look alike. Worked example: two clusters of equal weight;
in one, two commands are equally frequent (1 bit), in the other only one occurs (0 bits): H = 0.5 bits.

*Before* counts the dataset's own instructions and the command that the robot carried out; *after* adds what
the labels say. Both are taken on the same seeded sample of observations. The estimate plugs in frequencies,
which for few observations per cluster reads a little low, *before* more so than *after*.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from embodied_cf.datasets.contract import Episode, Labels
from embodied_cf.datasets.label_store import is_step_text
from embodied_cf.errors import RecordError
from embodied_cf.language.segments import Segments

_SIDE = 16
"""Pixels: frames are compared at this size, square."""


@dataclass(frozen=True)
class Choices:
    """What can be said at one observation."""

    instructions: frozenset[str]
    commands: frozenset[str]


@dataclass(frozen=True)
class Observation:
    """One sampled step of an episode: how it looks, and what can be said there."""

    picture: Float32[np.ndarray, " p"] | None
    """Pixels in [0, 1], shrunk; None if the frame does not decode."""
    numbers: Float64[np.ndarray, " s"]
    """The robot's state, or its track where the dataset names no state."""
    before: Choices
    after: Choices


@dataclass(frozen=True)
class Balance:
    """How varied the language is."""

    distinct_instructions: int
    instructions_per_observation: float
    commands_per_observation: float
    command_entropy_bits: float
    """H(command | cluster of observations)."""


@dataclass(frozen=True)
class LanguageBalance:
    """Balance before and after on the same observations."""

    before: Balance
    after: Balance
    observations: int
    clusters: int
    clustered_by: str
    """`frames`, or `state` where a frame did not decode."""


def observe(
    episode: Episode,
    labels: Labels,
    segments: Segments,
    track: Float[np.ndarray, "t d"],
    steps: Sequence[int],
) -> list[Observation]:
    """Return the observations of some steps; the primary camera stands for how they look."""
    numbers = (episode.state if episode.state.shape[1] else track).astype(np.float64)
    done = segments.commands_at(np.asarray(steps, np.int64))
    found = []
    for step, command in zip(steps, done, strict=True):
        before = Choices(frozenset(own_texts(episode, step)), frozenset({command} - {""}))
        found.append(Observation(_picture(episode, step), numbers[step], before, _widened(before, labels, step)))
    return found


def own_texts(episode: Episode, step: int | None = None) -> list[str]:
    """Return what the dataset itself says at a step, or at any; texts that relabelling added are left out."""
    return [
        span.text
        for span in episode.language
        if span.text and not is_step_text(span.source) and (step is None or span.start <= step < span.end)
    ]


def language_balance(observations: Sequence[Observation], rng: np.random.Generator) -> LanguageBalance | None:
    """Return the balance on a sample of observations; None for an empty one."""
    if not observations:
        return None
    features, kind = _features(observations)
    count = max(1, round(math.sqrt(len(observations) / 2)))
    cluster = kmeans(features, count, rng)
    before = _balance([item.before for item in observations], cluster)
    after = _balance([item.after for item in observations], cluster)
    return LanguageBalance(before, after, len(observations), len(np.unique(cluster)), kind)


def conditional_entropy(
    cluster: Int64[np.ndarray, " n"], command: Int64[np.ndarray, " n"], weight: Float64[np.ndarray, " n"]
) -> float:
    """Return H(command | cluster) = sum_c p(c) H(command | c) in bits, of weighted (cluster, command) pairs."""
    if not len(cluster):
        return 0.0
    joint = np.zeros((int(cluster.max()) + 1, int(command.max()) + 1))
    np.add.at(joint, (cluster, command), weight / weight.sum())
    return _entropy(joint.ravel()) - _entropy(joint.sum(axis=1))


def kmeans(
    features: Float32[np.ndarray, "n d"], count: int, rng: np.random.Generator, rounds: int = 20
) -> Int64[np.ndarray, " n"]:
    """Return the cluster of each row, by Lloyd's rounds from `count` rows drawn without replacement."""
    centres = features[rng.choice(len(features), min(count, len(features)), replace=False)]
    for _ in range(rounds):
        # |f - c|^2 less the |f|^2 that all centres share: (n, k)
        cluster = ((centres**2).sum(axis=1) - 2 * features @ centres.T).argmin(axis=1)
        members = [features[cluster == index] for index in range(len(centres))]
        moved = np.stack([rows.mean(axis=0) if len(rows) else centres[i] for i, rows in enumerate(members)])
        if np.array_equal(moved, centres):
            break
        centres = moved
    return cluster.astype(np.int64)


def _entropy(share: Float64[np.ndarray, " k"]) -> float:
    seen = share[share > 0]
    return max(0.0, -float((seen * np.log2(seen)).sum()))


def _widened(before: Choices, labels: Labels, step: int) -> Choices:
    """Add the labels that hold at a step: factual ones over their range, counterfactual ones at their start."""
    factual = np.array([kind != "counterfactual" for kind in labels.kind], bool)
    holds = (labels.start == step) | (factual & (labels.start < step) & (step < labels.end))
    rows = np.flatnonzero(holds).tolist()
    return Choices(
        before.instructions | {labels.instruction[row] for row in rows},
        before.commands | ({labels.command[row] for row in rows} - {""}),
    )


def _picture(episode: Episode, step: int) -> Float32[np.ndarray, " p"] | None:
    import cv2

    camera = next(iter(episode.cameras.values()), None)
    if camera is None:
        return None
    try:
        frame = camera.decode(step)
    except RecordError:
        return None
    small = cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return (small.astype(np.float32) / 255).ravel()


def _features(observations: Sequence[Observation]) -> tuple[Float32[np.ndarray, "n d"], str]:
    pictures = [item.picture for item in observations if item.picture is not None]
    if len(pictures) == len(observations):
        return np.stack(pictures), "frames"
    numbers = np.stack([item.numbers for item in observations])
    spread = numbers.std(axis=0)
    scaled = (numbers - numbers.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled.astype(np.float32), "state"


def _balance(choices: Sequence[Choices], cluster: Int64[np.ndarray, " n"]) -> Balance:
    names = sorted({name for item in choices for name in item.commands})
    index = {name: position for position, name in enumerate(names)}
    # every observation counts the same, however many commands it offers
    pairs = [(at, index[name], 1 / len(item.commands)) for at, item in enumerate(choices) for name in item.commands]
    row, command, weight = zip(*pairs, strict=True) if pairs else ((), (), ())
    entropy = conditional_entropy(
        cluster[np.asarray(row, np.int64)], np.asarray(command, np.int64), np.asarray(weight, np.float64)
    )
    return Balance(
        len({text for item in choices for text in item.instructions}),
        sum(len(item.instructions) for item in choices) / len(choices),
        sum(len(item.commands) for item in choices) / len(choices),
        entropy,
    )
