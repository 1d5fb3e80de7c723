"""Why an episode of any environment failed, as one self-contained page: films first, then everything that was tried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.film import spread_steps
from embodied_cf.explain.film import FRAMES, Film, Filmed, drawn, shown
from embodied_cf.explain.outside.explanation import EnvExplanation
from embodied_cf.explain.outside.learned import LearnedExplanation, Verdict
from embodied_cf.explain.outside.reexecute import Correction, Reexecution
from embodied_cf.explain.template import template

_HIGH, _WIDE, _WIDEST = 18, 960.0, 18.0
"""Of a square, of all of them side by side, and of one at most, in SVG units."""
_HEIGHT = 60
"""Of the bars."""
_TICKS, _ROUND = 12, (1, 2, 5, 10, 20, 50, 100)
"""Most numbers under the bars, and how far apart they may be."""


@dataclass(frozen=True)
class Asked:
    """What an explanation is of."""

    policy: str
    env: str
    seed: int
    names: Sequence[str]
    """Of the actions."""

    def to_json(self) -> dict[str, Any]:
        """Return it as explanations begin."""
        return {"policy": self.policy, "env": self.env, "seed": self.seed}


@dataclass(frozen=True)
class Run:
    """Steps in a row at which an action has one outcome, in SVG units."""

    x: float
    y: int
    width: float
    kind: str
    title: str


@dataclass(frozen=True)
class Interval:
    """In how many draws an action averts the failure, and how many of all failures it averts whatever the mechanism."""

    name: str
    low: float
    share: float
    high: float
    verdict: str


def write_env_page(told: EnvExplanation, what: Reexecution, asked: Asked, text: str, path: Path) -> None:
    """Write the page of an exact explanation; films are left out where the environment cannot be drawn."""
    kinds = np.select([told.done, told.averted], ["taken", "mends"], "fails").tolist()
    steps = len(told.log.actions)
    _write(path, asked, told.decisive, steps, kinds, told.necessity, _films(told, what), hold=told.hold, text=text,
           measures=told.measures.rows(), mark=None, intervals=[])  # fmt: skip


def write_learned_page(told: LearnedExplanation, asked: Asked, text: str, path: Path) -> None:
    """Write the page of a model's opinion: marked as such, intervals beside it, no films of what never was."""
    steps, actions = told.averted.shape
    kinds = [["taken" if a == told.lived.action[t] else _KIND[told.verdict(t, a)] for a in range(actions)]
             for t in range(steps)]  # fmt: skip
    share = told.averted.sum(axis=1) / (actions - 1)
    at = told.decisive[0] if told.decisive else int(told.averted.max(axis=1).argmax())
    _write(path, asked, told.decisive, steps, kinds, share, [], text=text, mark=told.mark,
           measures=told.measures.rows(), intervals=_intervals(told, at, asked.names), at=at)  # fmt: skip


_KIND: Mapping[Verdict, str] = {"yes": "mends", "no": "fails", "undecided": "undecided"}
_OUTCOME = {
    "mends": "averts the failure",
    "fails": "fails all the same",
    "undecided": "undecided",
    "taken": "what was done",
}


def _write(
    path: Path,
    asked: Asked,
    decisive: tuple[int, int] | None,
    steps: int,
    kinds: Sequence[Sequence[str]],
    share: Float64[np.ndarray, " t"],
    films: list[tuple[str, str, Film]],
    hold: int = 1,
    **more: object,
) -> None:
    side, decisions = _side(len(kinds)), len(kinds)
    bars = [(round(side * at, 2), round(_HEIGHT * (1 - value), 1), round(_HEIGHT * value, 1))
            for at, value in enumerate(share.tolist()) if value]  # fmt: skip
    page = template("env_episode.html.j2").render(
        asked=asked, decisive=decisive, runs=_runs(kinds, asked.names, steps, hold), films=films, hold=hold,
        side=side, high=_HIGH, height=_HEIGHT, wide=side * decisions, bars=bars, ticks=_ticks(decisions),
        frames=max((len(it) for *_, it in films), default=0), **more,
    )  # fmt: skip
    write_text(path, page)


def _ticks(steps: int) -> range:
    return range(0, steps, next((it for it in _ROUND if steps / it <= _TICKS), steps))


def _side(steps: int) -> float:
    return min(_WIDEST, _WIDE / steps)


def _runs(kinds: Sequence[Sequence[str]], names: Sequence[str], steps: int, hold: int) -> list[Run]:
    """Return decisions in a row as one, so that long episodes are still a page. kinds: by decision and choice."""
    side, runs = _side(len(kinds)), []
    for row, name in enumerate(names):
        column = [kind[row] for kind in kinds]
        for kind, group in groupby(enumerate(column), key=itemgetter(1)):
            held = [at for at, _ in group]
            first, last = held[0] * hold, min((held[-1] + 1) * hold, steps) - 1
            title = f"{f'step {first}' if first == last else f'steps {first} to {last}'}, {name}: {_OUTCOME[kind]}"
            runs.append(Run(round(side * held[0], 2), row * _HIGH, round(side * len(held), 2), kind, title))
    return runs


def _intervals(told: LearnedExplanation, step: int, names: Sequence[str]) -> list[Interval]:
    low, share, high = (it[step].tolist() for it in (told.low, told.averted, told.high))
    return [Interval(name, low[at], share[at], high[at], told.verdict(step, at))
            for at, name in enumerate(names) if at != told.lived.action[step]]  # fmt: skip


def _films(told: EnvExplanation, what: Reexecution) -> list[tuple[str, str, Film]]:
    """Return the episode and the corrected one, with what they do where they part, and frames of the same steps; none
    if it cannot be drawn.
    """
    probe = drawn(what.make_env)
    if probe is None:
        return []
    probe.close()
    correction = told.correction
    if told.decisive is None or correction is None:
        return [("what happened", "", _filmed(told, what, set(spread_steps(len(told.log.actions) + 1, FRAMES))))]
    decision, choice = told.decisive
    after = len(what.run(told.log, correction).actions)
    steps = {correction.step, *spread_steps(max(len(told.log.actions), after) + 1, FRAMES)}
    return [("what happened", told.did(decision), _filmed(told, what, steps)),
            ("with the correction", told.choices.names[choice], _filmed(told, what, steps, correction))]  # fmt: skip


def _filmed(told: EnvExplanation, what: Reexecution, steps: set[int], correction: Correction | None = None) -> Film:
    films: list[Filmed] = []

    def make() -> Filmed:
        films.append(Filmed(partial(what.make_env, render_mode="rgb_array")(), steps))
        return films[-1]

    replace(what, make_env=make).run(told.log, correction)
    return shown(films[-1].frames)
