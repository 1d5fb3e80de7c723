"""Where a navigation policy changed and what it does otherwise there, situation by situation."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64

from embodied_cf.envs.state import PERIOD_S
from embodied_cf.explain.navigation.policy import Chunks, NavPolicy
from embodied_cf.explain.navigation.situations import bearing_of, situations
from embodied_cf.explain.policy.distance import Visits
from embodied_cf.language.predicate_geometry import wrap

_FEWEST = 10
"""Decisions below which a situation is not told of."""
_SMALL_STOP, _SMALL_SPEED, _SMALL_TURN, _SMALL_AIM = 0.03, 0.03, 2.0, 2.0
"""Share of stops, m/s, degrees and degrees below which a difference is not worth a word."""


@dataclass(frozen=True)
class Habit:
    """What a policy does in a situation, on average, if nothing is drawn but stops."""

    stops: float
    """Probability of standing still."""
    speed: float
    """m/s over the part of the chunk that is carried out, where it drives."""
    turn: float
    """Degrees to the left of the heading in which that leads."""
    astray: float
    """Degrees, either way, by which that misses the target; nan where none is named."""


@dataclass(frozen=True)
class Place:
    """One situation. Decisions are those of both policies' episodes."""

    question: str
    answer: str
    decisions: int
    share: float
    """Of all decisions."""
    kl: float
    """Mean divergence of changed from original, nats."""
    of_change: float
    """Share of all divergence."""
    before: Habit
    after: Habit

    @property
    def density(self) -> float:
        """How many times the mean divergence."""
        return self.of_change / self.share

    def in_words(self) -> str:
        """Return what it does otherwise: "stops more (12 % to 40 %), drives slower (0.61 to 0.52 m/s)"."""
        a, b = self.before, self.after
        parts = []
        if abs(b.stops - a.stops) >= _SMALL_STOP:
            parts.append(f"stops {'more' if b.stops > a.stops else 'less'} ({a.stops:.0%} to {b.stops:.0%})")
        if abs(b.speed - a.speed) >= _SMALL_SPEED:
            word = "faster" if b.speed > a.speed else "slower"
            parts.append(f"drives {word} ({a.speed:.2f} to {b.speed:.2f} m/s)")
        if abs(b.turn - a.turn) >= _SMALL_TURN:
            parts.append(f"steers {abs(b.turn - a.turn):.0f}° further {'left' if b.turn > a.turn else 'right'}")
        if abs(b.astray - a.astray) >= _SMALL_AIM:  # nan is not
            word = "better" if b.astray < a.astray else "worse"
            parts.append(f"aims {word} at the target ({a.astray:.0f}° to {b.astray:.0f}° off)")
        return ", ".join(parts) or "does much the same on average"


def where_changed(
    visits: Visits, changed: NavPolicy, original: NavPolicy, chunks: Chunks, execute: int
) -> tuple[Place, ...]:
    """Return the situations that are met often enough."""
    given, kl = visits.context.double().numpy(), visits.kl.double().numpy()
    before, after = (_acts(policy, visits, chunks, execute) for policy in (original, changed))
    bearing, places = bearing_of(given), []
    for question, answers in situations(given).items():
        for answer, rows in answers.items():
            if rows.sum() < _FEWEST:
                continue
            habits = (_habit(acts, rows, bearing) for acts in (before, after))
            share = float(rows.mean())
            total = float(kl[rows].sum() / kl.sum()) if kl.sum() > 0 else share
            places.append(Place(question, answer, int(rows.sum()), share, float(kl[rows].mean()), total, *habits))
    return tuple(places)


@dataclass(frozen=True)
class _Acts:
    stop: Float64[np.ndarray, " n"]
    """Probability."""
    goal: Float32[np.ndarray, "n 2"]
    """Where the carried out part of the chunk leads if it does not stand still, m."""
    period_s: float


def _acts(policy: NavPolicy, visits: Visits, chunks: Chunks, execute: int) -> _Acts:
    with torch.no_grad():
        law = policy(visits.observation)
    event = law.mode.numpy().copy()
    event[:, 0] = 0.0
    chunk = chunks.metric(event)
    periods = min(execute, chunk.shape[1])
    return _Acts(law.stop.probs.double().numpy(), chunk[:, periods - 1], periods * PERIOD_S)


def _habit(acts: _Acts, rows: Bool[np.ndarray, " n"], bearing: Float64[np.ndarray, " n"]) -> Habit:
    goal = acts.goal[rows].astype(np.float64)
    way = np.arctan2(goal[:, 1], goal[:, 0])
    off = np.abs(wrap(way - bearing[rows]))
    known = off[np.isfinite(off)]
    return Habit(
        stops=float(acts.stop[rows].mean()),
        speed=float(np.hypot(*goal.T).mean() / acts.period_s),
        turn=float(np.degrees(np.arctan2(np.sin(way).mean(), np.cos(way).mean()))),
        astray=float(np.degrees(known.mean())) if len(known) else float("nan"),
    )


def sentence(places: tuple[Place, ...], question: str) -> str:
    """Return where the change is densest among the answers to a question, and what it does otherwise there."""
    among = [place for place in places if place.question == question]
    if not among:
        return ""
    most = max(among, key=lambda place: place.density)
    return (
        f"Most changed: {most.answer}. That is {most.share:.0%} of the decisions and {most.of_change:.0%} of the "
        f"change ({most.kl:.2g} nats each). There it {most.in_words()}."
    )
