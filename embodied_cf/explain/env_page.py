"""Why an episode of any environment failed, as one self-contained page: films first, then everything that was tried."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.film import spread_steps
from embodied_cf.explain.film import FRAMES, Film, Filmed, drawn, shown
from embodied_cf.explain.learned import LearnedExplanation
from embodied_cf.explain.reexecute import EnvExplanation, Reexecution
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
    kinds = np.where(told.averted, "mends", "fails").astype(object)
    kinds[np.arange(len(kinds)), told.log.actions] = "taken"
    runs = list(_runs(kinds, asked.names, _OUTCOME))
    _write(path, asked, told.decisive, told.log.actions, runs, told.necessity, _films(told, what, asked.names),
           text=text, measures=told.measures.rows(), mark=None, intervals=[])  # fmt: skip


def write_learned_page(told: LearnedExplanation, asked: Asked, text: str, path: Path) -> None:
    """Write the page of a model's opinion: marked as such, intervals beside it, no films of what never was."""
    steps, actions = told.averted.shape
    taken = told.lived.action
    kinds = np.array([[told.verdict(t, a) for a in range(actions)] for t in range(steps)], object)
    kinds[np.arange(steps), taken] = "taken"
    runs = list(_runs(kinds, asked.names, _OUTCOME))
    share = told.averted.sum(axis=1) / (actions - 1)
    at = told.decisive[0] if told.decisive else int(told.averted.max(axis=1).argmax())
    _write(path, asked, told.decisive, taken.tolist(), runs, share, [], text=text, measures=told.measures.rows(),
           mark=told.mark, intervals=_intervals(told, at, asked.names), at=at)  # fmt: skip


_OUTCOME = {
    "mends": "averts the failure",
    "fails": "fails all the same",
    "taken": "what was done",
    "yes": "averts the failure",
    "no": "fails all the same",
    "undecided": "undecided",
}


def _write(
    path: Path,
    asked: Asked,
    decisive: tuple[int, int] | None,
    taken: Sequence[int],
    runs: list[Run],
    share: Float64[np.ndarray, " t"],
    films: list[tuple[str, str, Film]],
    **more: object,
) -> None:
    side = _side(len(taken))
    bars = [(round(side * at, 2), round(_HEIGHT * (1 - value), 1), round(_HEIGHT * value, 1))
            for at, value in enumerate(share.tolist()) if value]  # fmt: skip
    page = template("env_episode.html.j2").render(
        asked=asked, decisive=decisive, taken=taken, runs=runs, side=side, high=_HIGH, wide=side * len(taken), bars=bars,
        height=_HEIGHT, ticks=_ticks(len(taken)), films=films, frames=max((len(it) for *_, it in films), default=0), **more,
    )  # fmt: skip
    write_text(path, page)


def _ticks(steps: int) -> range:
    return range(0, steps, next((it for it in _ROUND if steps / it <= _TICKS), steps))


def _side(steps: int) -> float:
    return min(_WIDEST, _WIDE / steps)


def _runs(kinds: np.ndarray, names: Sequence[str], outcome: dict[str, str]) -> Iterator[Run]:
    """Yield steps in a row as one: an episode of a thousand steps is still a page."""
    side = _side(len(kinds))
    for row, name in enumerate(names):
        for kind, group in groupby(range(len(kinds)), key=lambda at, row=row: kinds[at, row]):  # type: ignore[misc]
            steps = list(group)
            where = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
            title = f"{where}, {name}: {outcome[kind]}"
            yield Run(round(side * steps[0], 2), row * _HIGH, round(side * len(steps), 2), kind, title)


def _intervals(told: LearnedExplanation, step: int, names: Sequence[str]) -> list[Interval]:
    return [
        Interval(name, *(float(it[step, at]) for it in (told.low, told.averted, told.high)), told.verdict(step, at))
        for at, name in enumerate(names)
        if at != told.lived.action[step]
    ]


def _films(told: EnvExplanation, what: Reexecution, names: Sequence[str]) -> list[tuple[str, str, Film]]:
    """Return the episode and the corrected one, with what they do where they part, and frames of the same steps; none
    if it cannot be drawn.
    """
    if drawn(what.make_env) is None:
        return []
    if told.decisive is None:
        return [("what happened", "", _filmed(told, what, set(spread_steps(len(told.log.actions) + 1, FRAMES))))]
    step, action = told.decisive
    after = len(what.run(told.log, step, action).actions)
    steps = {step, *spread_steps(max(len(told.log.actions), after) + 1, FRAMES)}
    return [("what happened", names[told.log.actions[step]], _filmed(told, what, steps)),
            ("with the correction", names[action], _filmed(told, what, steps, step, action))]  # fmt: skip


def _filmed(told: EnvExplanation, what: Reexecution, steps: set[int], step: int = -1, action: int = -1) -> Film:
    films: list[Filmed] = []

    def make() -> Filmed:
        films.append(Filmed(partial(what.make_env, render_mode="rgb_array")(), steps))
        return films[-1]

    replace(what, make_env=make).run(told.log, step, action)
    return shown(films[-1].frames)
