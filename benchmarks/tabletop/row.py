"""Two policies from the same logs, told what to do on the same new tables: hindsight against counterfactual labels."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.tabletop.situations import PIXELS, Trial, acted, chance, judged, place_of, trials
from benchmarks.tabletop.truth import Measure, Place
from embodied_cf.datasets.randomness import generator
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.envs.physics.library import Camera
from embodied_cf.envs.splits import Split
from embodied_cf.evaluate.demo import OURS, THEIRS
from embodied_cf.language import arm
from embodied_cf.policies.checkpoint import load_policy
from embodied_cf.policies.contract import Policy
from embodied_cf.relabel.build import survey
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel
from embodied_cf.train.command import make_trainer, plan_of
from embodied_cf.train.options import TrainOptions
from embodied_cf.train.run import Run

ARMS: Mapping[str, tuple[float, float, float]] = {THEIRS: (1, 1, 0), OURS: (0, 0, 1)}
"""Shares of hindsight, atomic and counterfactual samples that each policy is trained on."""
TOLD, SHUFFLED = "told", "shuffled"
SETTINGS = ("data.per_observation=4", "data.batch=32")
"""Of training, for both; half of the preset's batch, for want of processor time."""
PER_OBSERVATION = 8
"""Counterfactual labels of one frame at most, of the ten commands that were not carried out."""
Line = dict[str, Any]
Watch = Callable[[str], None]


@dataclass(frozen=True)
class RowPlan:
    """How large the comparison is."""

    steps: int
    """Of training, for each policy, but for `longer`."""
    tables: int
    """Each with every command that can be carried out on it."""
    split: Split
    bias: float
    """Of the collector that plays before something is told, as in the logs."""
    seed: int
    longer: int = 1
    """Times as many steps for hindsight: does it only lack steps?"""

    @property
    def name(self) -> str:
        """Return what files of its trials are called."""
        return f"{self.split}-{self.bias:g}-{self.steps_of(THEIRS)}-{self.steps}-{self.seed}"

    def steps_of(self, arm: str) -> int:
        """Return for how many steps an arm is trained."""
        return self.steps * (self.longer if arm == THEIRS else 1)


def labelled(logs: Path, seed: int) -> tuple[Path, Measure]:
    """Return the logs with labels, made if they are not there, and what commands mean in them."""
    out = logs.parent.with_name(f"{logs.parent.name}-labelled") / logs.name
    options = RelabelOptions(logs, out, synthesizer="primitive", seed=seed, per_observation=PER_OBSERVATION)
    relabel(options)
    dataset = open_dataset(logs)
    setting = survey(dataset, load_spec(None, dataset.path), dataset.shards(None), options)
    return out, Measure(setting.profile, setting.profile.meaning(setting.body), setting.body.chunk_length)


def trained(name: str, data: Path, work: Path, plan: RowPlan, watch: Watch) -> Policy:
    """Return the policy of an arm, trained or gone on with where it is not there."""
    steps, weights = plan.steps_of(name), ",".join(str(weight) for weight in ARMS[name])
    run = Run(work / f"{name}-{steps}-{plan.seed}")
    if run.has(steps):
        return load_policy(run.path)
    settings = (*SETTINGS, f"schedule.steps={steps}", f"data.kind_weights={weights}", f"seed={plan.seed}")
    options = TrainOptions(run.path, (str(data),), preset="arm", set=settings, resume=run.exists)
    with run.held():
        training = plan_of(options, run)
        trainer = make_trainer(training, run, options.resume, Console(quiet=True))
        if not options.resume:
            run.begin(training, overwrite=False)
        trainer.fit(steps, run, lambda progress: watch(f"train {name} {progress.step}/{steps}"))
    return load_policy(run.path)


def outcomes(measure: Measure, policies: Mapping[str, Policy], plan: RowPlan, known: Path) -> Iterator[Line]:
    """Yield a line for each trial; tables that stand in the file `known` are not tried again."""
    torch.set_num_threads(1)
    lines = [json.loads(line) for line in known.read_text("utf-8").splitlines()] if known.exists() else []
    yield from lines
    done, camera = {line["table"] for line in lines}, Camera(PIXELS, PIXELS)
    for table in range(plan.tables):
        if table not in done:
            place = place_of(plan.split, table, plan.seed, plan.bias)
            tried = [{"table": table, **line} for line in _tried(measure, policies, place, camera, plan.seed, table)]
            with known.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in tried)
            yield from tried
    camera.close()


def _tried(
    measure: Measure, policies: Mapping[str, Policy], place: Place, camera: Camera, seed: int, table: int
) -> list[Line]:
    """Return what policies do on one table, for each command that can be carried out there."""
    rng = generator(seed, "told", str(table))
    asked = list(trials(measure, place, rng))
    lines: list[Line] = [_about(measure, place, trial) for trial in asked]
    told = [trial.words for trial in asked] + [trial.other_words for trial in asked]
    for name, policy in policies.items():
        runs = acted(policy, place, told, camera, rng) if told else []
        for at, (trial, line) in enumerate(zip(asked, lines, strict=True)):
            deeds = (place.judged(run, trial.command == arm.OPEN) for run in (runs[at], runs[at + len(asked)]))
            marks = (judged(measure, trial, deed) for deed in deeds)
            line[name] = dict(zip((TOLD, SHUFFLED), marks, strict=True))
    return lines


def _about(measure: Measure, place: Place, trial: Trial) -> Line:
    names = measure.names
    return {"command": names[trial.command], "words": trial.words, "other": names[trial.other],
            "other_words": trial.other_words, "chance": chance(measure, place, trial)}  # fmt: skip
