"""Why did this episode fail? Exact replay with somebody else at the wheel for a decision."""

import time
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from embodied_cf.envs.episodes import LONGEST, Episodes
from embodied_cf.envs.motion.branch import people_perturbation
from embodied_cf.envs.state import HIT_PERSON, Noise
from embodied_cf.envs.tasks import Task
from embodied_cf.explain.episode.alternatives import SecondBest, command_of, second_best
from embodied_cf.explain.episode.decisive import OPTIONS, Attribution, Search, attribute
from embodied_cf.explain.episode.measures import episode_measures
from embodied_cf.explain.episode.replay import Branches, Chance, Recording, record
from embodied_cf.explain.episode.wheel import Driver, ExpertDriver
from embodied_cf.explain.errors import ReplayError
from embodied_cf.explain.measure_table import Measures
from embodied_cf.explain.options import EpisodeOptions

_AHEAD = 8
"""Control periods over which it is measured how the robot disturbs people."""


@dataclass(frozen=True)
class EpisodeExplanation:
    """A failed episode, what would have averted the failure, and what its decisions had to do with it."""

    recording: Recording
    attribution: Attribution
    corrected: Branches | None
    """One branch: the correction under the episode's own chance."""
    second: SecondBest
    second_branches: Branches | None
    """What the second-best actions would have led to, under the episode's own chance."""
    disturbance: Float64[np.ndarray, "d p"]
    """m²: how far each decision pushed each person off their way, see `people_perturbation`."""
    draws: int
    seconds: float
    measures: Measures

    @cached_property
    def averted_by_second(self) -> Bool[np.ndarray, " n"]:
        """Whether each second-best action would have averted the failure."""
        return np.zeros(0, bool) if self.second_branches is None else self.second_branches.success

    def to_json(self) -> dict[str, Any]:
        """Return everything but the paths."""
        told, recording = self.attribution, self.recording
        by_option = {name: row.tolist() for name, row in zip(OPTIONS, told.averted, strict=True)}
        return {
            "task": {"seed": recording.task.seed, "instruction": recording.task.text},
            "failure": failure(recording),
            "decisions": recording.decisions,
            "decisive": None if told.decisive is None else asdict(told.decisive),
            "averted": by_option,
            "necessity": told.necessity.tolist(),
            "sufficiency": told.sufficiency.tolist(),
            "unchanged": told.unchanged.tolist(),
            "takeover": told.takeover.tolist(),
            "no_return": told.no_return,
            "second_best": [
                {"decision": int(at), "does": command_of(actions), "share": float(share), "averts": bool(averts)}
                for at, actions, share, averts in zip(
                    self.second.decision, self.second.actions, self.second.share, self.averted_by_second, strict=True
                )
            ],
            "disturbance": self.disturbance.tolist(),
            "measures": asdict(self.measures),
        }


def explain_episode(task: Task, driver: Driver, options: EpisodeOptions | None = None) -> EpisodeExplanation:
    """Let a driver do a task and explain its failure. Raises ReplayError if it succeeds: there is nothing to avert."""
    options, started = options or EpisodeOptions(), time.perf_counter()
    recording = record(task, driver, options.execute)
    if recording.success:
        raise ReplayError("the episode succeeds: there is no failure to explain", where=task.text,
                          remedy="Choose another --seed, or let --search look for one that fails.")  # fmt: skip
    search = Search(recording, ExpertDriver(), Chance.of(recording, options.draws))
    told = attribute(search)
    found, own = told.decisive, np.zeros(1, np.int64)
    corrected = None if found is None else search.instead([(found.decision, found.option)], found.length, own)
    second = second_best(recording, options.samples)
    others = None
    if len(second.decision):
        each = np.zeros(len(second.decision), np.int64)
        others = search.run(second.decision, second.actions, options.execute, driver, each)
    seconds = time.perf_counter() - started
    measures = episode_measures(search, told, corrected, second)
    disturbance = _disturbance(recording)
    return EpisodeExplanation(recording, told, corrected, second, others, disturbance, options.draws, seconds, measures)


def failure(recording: Recording) -> str:
    """Return how an episode ended, after "it": "hit an object", "ran out of time", and so on."""
    return ending(recording.moments, recording.decisions)


def ending(end: Episodes, row: int) -> str:
    """Return how one of many episodes ended, after "it"."""
    if end.success[row]:
        return "succeeded"
    if end.crashed[row]:
        return "hit a person" if end.state.hit[row] & HIT_PERSON else "hit an object"
    if end.truncated[row]:
        return "ran out of time"
    return "stood still where it was not asked to" if end.tracker.standing[row] else "did what was not asked"


def _disturbance(recording: Recording) -> Float64[np.ndarray, "d p"]:
    """Return the people's counterfactual perturbation of every decision."""
    clock = recording.moments.clock[:-1]
    rows = clock[:, None] + np.arange(_AHEAD)
    actions = np.concatenate([recording.actions, np.zeros((_AHEAD, 2))])[rows]
    when = np.minimum(rows, LONGEST - 1)
    noise = Noise(recording.noise.slip[0][when], recording.noise.person[0][when])
    each = np.arange(len(clock))
    people = people_perturbation(
        recording.moments.worlds.take(each), recording.moments.state.take(each), actions, noise
    )
    return people[:, : len(recording.task.scene.person)]
