"""How many counterfactual labels of an arm are true, by exact truth in MuJoCo (`benchmarks.tabletop.truth`)."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.label_audit import Recorder
from benchmarks.tabletop.touch import MOVED
from benchmarks.tabletop.truth import Measure, Place, Played, best, correct
from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.envs.tabletop.environment import TabletopEnv
from embodied_cf.evaluate.statistics import wilson
from embodied_cf.language import arm
from embodied_cf.language.verdict import PASS
from embodied_cf.relabel.build import build_pipeline, survey
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.stages import Candidates, Context, Judged, Proposals, Synthesis, Synthesizer

SYNTHESIZERS = ("primitive", "retrieval")
Row = dict[str, object]


@dataclass(frozen=True)
class Heard:
    """A synthesizer that remembers what it was asked and what it made."""

    synthesizer: Synthesizer
    made: list[tuple[Proposals, Synthesis]] = field(default_factory=list)

    @property
    def identity(self) -> dict[str, object]:
        return self.synthesizer.identity

    def synthesize(self, context: Context, proposals: Proposals) -> Synthesis:
        self.made.append((proposals, self.synthesizer.synthesize(context, proposals)))
        return self.made[-1][1]


@dataclass(frozen=True)
class Logs:
    """Episodes, carried out again, and what can be done from where chunks branch off."""

    directory: Path
    episodes: tuple[Episode, ...]
    played: tuple[Played, ...]
    _places: dict[tuple[int, int], Place] = field(default_factory=dict)
    _best: dict[tuple[int, int, int], np.ndarray | None] = field(default_factory=dict)

    @staticmethod
    def of(directory: Path, split: str) -> "Logs":
        dataset = open_dataset(directory)
        episodes = tuple(read_episodes(dataset, load_spec(None, dataset.path)))
        env = TabletopEnv(split=split, size=8)
        played = tuple(Played.of(env, episode) for episode in episodes)
        env.close()
        return Logs(directory, episodes, played)

    def place(self, episode: int, step: int) -> Place:
        """Return where a step branches off, the same object each time."""
        if (episode, step) not in self._places:
            self._places[episode, step] = self.played[episode].at(step)
        return self._places[episode, step]

    def best(self, measure: Measure, episode: int, step: int, command: int) -> np.ndarray | None:
        """Return how far a command could be carried out there, as `truth.best` does."""
        key = (episode, step, command)
        if key not in self._best:
            self._best[key] = best(measure, self.place(episode, step), command)
        return self._best[key]


def audit(logs: Logs, synthesizer: str, stride: int, seed: int) -> list[Row]:
    """Return a row for each command that was proposed at every stride-th step, made into a label or not."""
    options = RelabelOptions(
        logs.directory, logs.directory, synthesizer=synthesizer, stride=stride, seed=seed,  # type: ignore[arg-type]
        per_observation=len(arm.VOCABULARY.names),
    )  # fmt: skip
    dataset = open_dataset(logs.directory)
    setting = survey(dataset, load_spec(None, dataset.path), dataset.shards(None), options)
    pipeline = build_pipeline(setting, options)
    heard, judge = Heard(pipeline.synthesizer), Recorder(pipeline.verifier)
    watched = replace(pipeline, synthesizer=heard, verifier=judge)
    for episode in logs.episodes:
        asyncio.run(watched.relabel(episode))
    measure = Measure(setting.profile, pipeline.meaning, setting.body.chunk_length)
    found = zip(heard.made, judge.seen, strict=True)
    return [row for number, ((asked, made), (_, *seen)) in enumerate(found)
            for row in _rows(logs, measure, number, asked, made, *seen)]  # fmt: skip


def _rows(
    logs: Logs, measure: Measure, number: int, asked: Proposals, made: Synthesis, told: Candidates, judged: Judged
) -> Iterator[Row]:
    """Yield the commands of one episode that nothing was made of, then the candidates."""
    for at, reason in enumerate(made.reason):
        if reason:
            yield _row(logs, measure, number, int(asked.start[at]), int(asked.command[at])) | {"turned_down": reason}
    labels = told.labels
    for row, command in enumerate(told.proposals.command.tolist(), told.factual):
        start = int(labels.start[row])
        chunk = labels.action[row][: int(labels.action_mask[row].sum())].astype(np.float64)
        deed = logs.place(number, start).do(chunk, command == arm.OPEN)
        done = correct(measure, command, deed, logs.best(measure, number, start, command))
        yield _row(logs, measure, number, start, command) | {
            "verified": not judged.reason[row] and int(judged.verdict[row]) == PASS,
            "reason": judged.reason[row], "harm": deed.harm, "done": done, "true": done and not deed.harm,
        }  # fmt: skip


def _row(logs: Logs, measure: Measure, number: int, step: int, command: int) -> Row:
    possible = logs.best(measure, number, step, command) is not None
    return {"episode": number, "step": step, "command": measure.names[command], "possible": possible}


def summary(rows: Sequence[Row]) -> Row:
    """Return what rows of one synthesizer, or of one of its commands, show; shares with 95 % Wilson intervals."""
    made = [row for row in rows if "true" in row]
    true, kept, done = (np.array([row[name] for row in made], bool) for name in ("true", "verified", "done"))
    pushed = np.array([row["harm"] == MOVED for row in made], bool)
    possible = np.array([row["possible"] for row in rows], bool)
    labelled = np.array([row.get("verified", False) and row["true"] for row in rows], bool)
    return {
        "proposed": len(rows), "candidates": len(made), "verified": int(kept.sum()),
        "precision": _share(true & kept, kept),
        "precision_pushing": _share(done & (true | pushed) & kept, kept),
        "precision_done": _share(done & kept, kept),
        "recall": _share(true & kept, true), "false_removed": _share(~true & ~kept, ~true),
        "coverage": _share(labelled & possible, possible),
        "harm": dict(Counter(str(row["harm"]) for row in made if row["verified"] and row["harm"])),
    }  # fmt: skip


def _share(part: np.ndarray, whole: np.ndarray) -> dict[str, object]:
    count, total = int(part.sum()), int(whole.sum())
    return {"value": count / total if total else None, "ci95": list(wilson(count, total)), "n": total}
