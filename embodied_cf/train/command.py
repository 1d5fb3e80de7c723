"""What `embodied-cf train` does and shows: a plan from options, a progress bar, a closing line."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from embodied_cf.datasets.contract import KINDS
from embodied_cf.datasets.files import check_writable, refuse_inside, write_json
from embodied_cf.datasets.streams import Augmentation, ColourJitter, HorizontalShift, Mirror, RandomCrop, Source, Stream
from embodied_cf.errors import UsageError
from embodied_cf.policies.config import NavVlaTinyConfig
from embodied_cf.policies.frame_reader import reader_of
from embodied_cf.policies.kept import trained_parameters
from embodied_cf.train.config import TrainConfig, change, load_preset
from embodied_cf.train.logs import Watch, refuse_missing, together, watches
from embodied_cf.train.options import TrainOptions
from embodied_cf.train.run import Bystander, Plan, Run, refuse_other_plan
from embodied_cf.train.team import ALONE, Team, joined
from embodied_cf.train.trainer import Progress, Trainer

_OF_SOURCES = ("spec", "split", "kinds", "label_sets", "min_score", "stop_at_end")
"""Options that say what is read of every source."""


def run_train(options: TrainOptions, json_path: Path | None) -> int:
    """Train with a progress bar and a closing line; return the exit code. Joins the processes of a launcher, if any."""
    with joined() as team:
        _train(options, team, json_path if team.leads else None)
    return 0


def _train(options: TrainOptions, team: Team, json_path: Path | None) -> None:
    check_writable(json_path)
    _check(options)
    console = Console(stderr=True, quiet=not team.leads)
    run = Run(options.out) if team.leads else Bystander(options.out)
    with run.held():
        plan = plan_of(options, run)
        refuse_missing(plan.config.log)
        trainer = make_trainer(plan, run, options.resume, console, team)
        if not options.resume:
            run.begin(plan, options.overwrite)
        steps = plan.config.schedule.steps if options.steps is None else options.steps
        first = trainer.step
        others = watches(plan.config, run, first) if team.leads else nullcontext(())
        with _progress(console, trainer, steps) as bar, others as more:
            started = time.monotonic()
            trainer.fit(steps, run, together((bar, *more)))
    seconds = time.monotonic() - started
    _tell(run, trainer, steps, seconds, console)
    if json_path is not None:
        made = {"steps": trainer.step, "steps_now": trainer.step - first, "seconds": round(seconds, 3)}
        write_json(json_path, {"run": str(run.path), **made, "parameters": trained_parameters(trainer.model)})


def _check(options: TrainOptions) -> None:
    """Refuse what can be told before anything is read or locked."""
    if options.steps is not None and options.steps < 1:
        raise UsageError(f"--steps {options.steps} is less than 1")
    for source in map(Source.parse, options.data):
        refuse_inside(source.directory, options.out)


def plan_of(options: TrainOptions, run: Run) -> Plan:
    """Return what a run does: what options say, or what the run that they resume says. Writes nothing."""
    if options.resume and options.overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    if options.resume:
        plan = run.plan()
        refuse_other_plan(plan, _asked(options, plan))
        return plan
    if not options.data:
        raise UsageError("no data to train on", remedy="Name labelled datasets: --data DIR[:WEIGHT] ...")
    run.refuse(options.overwrite)
    return Plan(change(load_preset(options.preset or "tiny"), options.set), _sources(options))


def _asked(options: TrainOptions, plan: Plan) -> Plan:
    """Return the plan that options ask for, where they ask for anything."""
    config = plan.config
    if options.preset is not None or options.set:
        config = change(load_preset(options.preset) if options.preset else config, options.set)
    return Plan(config, _sources(options) if options.data else tuple(_as_asked(options, one) for one in plan.sources))


def _sources(options: TrainOptions) -> tuple[Source, ...]:
    return tuple(
        replace(
            source,
            directory=source.directory.resolve(),
            **{name: getattr(options, name) for name in _OF_SOURCES},
        )
        for source in map(Source.parse, options.data)
    )


def _as_asked(options: TrainOptions, source: Source) -> Source:
    """Return a source of an earlier run, changed by the options that are not left out."""
    usual = {part.name: part.default for part in fields(TrainOptions)}
    asked = {name: getattr(options, name) for name in _OF_SOURCES}
    return replace(source, **{name: value for name, value in asked.items() if value != usual[name]})


def make_trainer(plan: Plan, run: Run, resume: bool, console: Console, team: Team = ALONE) -> Trainer:
    """Return the trainer of a plan, ready for its next step. Builds caches of frames that are not there yet."""
    torch.set_num_threads(plan.config.threads)
    stream = make_stream(plan.config, plan.sources)
    if stream.left_out:
        console.print(f"Left out: {len(stream.left_out):,} records that cannot be read, such as {stream.left_out[0]}")
    heldout = stream.heldout() if plan.config.data.holdout else None
    if resume:
        return Trainer.resumed(plan.config, stream, heldout, run, team)
    return Trainer.new(plan.config, stream, heldout, team)


def make_stream(config: TrainConfig, sources: tuple[Source, ...]) -> Stream:
    """Return the stream that a configuration trains on: read beforehand if a frozen eye looks at unchanged pixels."""
    side, weights = config.model.size, zip(KINDS, config.data.kind_weights or (), strict=False)
    stream = Stream(
        sources,
        (side, side),
        config.data.batch,
        config.seed,
        kinds={kind: weight for kind, weight in weights if weight} or None,
        history=config.model.history - 1,
        stride=config.model.stride,
        per_observation=config.data.per_observation,
        holdout=config.data.holdout,
        reader=None if config.data.augment == "all" else reader_of(config.model),
    )
    _check_view(config, stream)
    return replace(stream, augment=augmentations(stream, config.data.augment))


def _check_view(config: TrainConfig, stream: Stream) -> None:
    """Raise UsageError if an eye that places what it sees has another field of view than the data's camera."""
    model, camera = config.model, stream.view.camera
    if not isinstance(model, NavVlaTinyConfig) or model.eye != "pretrained" or camera is None:
        return
    if abs(camera.horizontal_fov_deg - model.field_of_view_deg) > 1:
        raise UsageError(
            f"the data's camera sees {camera.horizontal_fov_deg:g} degrees across, the policy's eye "
            f"{model.field_of_view_deg:g}",
            remedy=f"Use --set model.field_of_view_deg={camera.horizontal_fov_deg:g}.",
        )


def augmentations(stream: Stream, which: Literal["all", "mirror", "none"]) -> tuple[Augmentation, ...]:
    """Return those of the changes asked for that have an exact meaning for the stream's robot and camera."""
    body, camera = stream.view.body, stream.view.camera
    mirrored = (Mirror(),) if body.mirrors and which != "none" else ()
    if which != "all":
        return mirrored
    return (
        *mirrored,
        HorizontalShift() if body.kind == "nav" and camera is not None else RandomCrop(2),
        ColourJitter(),
    )


@contextmanager
def _progress(console: Console, trainer: Trainer, steps: int) -> Iterator[Watch]:
    columns = (
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    samples = trainer.config.data.batch * trainer.config.data.accumulate
    with Bar(*columns, console=console, transient=not console.is_terminal) as bar:
        task = bar.add_task("train", total=steps, completed=trainer.step, told="")
        first = trainer.step

        def watch(progress: Progress) -> None:
            elapsed = bar.tasks[task].elapsed or 1e-9
            rate = samples * (progress.step - first) / elapsed
            told = f"loss {progress.losses['imitation']:.3f}, {rate:,.0f} samples/s"
            bar.update(task, completed=progress.step, told=told)
            if progress.validation is not None:
                bar.console.print(_told(progress))

        yield watch


def _told(progress: Progress) -> str:
    found = progress.validation
    assert found is not None
    errors = ", ".join(f"{kind} {error:.2f} m" for kind, error in found.error_m.items())
    return f"step {progress.step}: held-out error {errors}; instruction sensitivity {found.sensitivity_m:.2f} m"


def _tell(run: Run, trainer: Trainer, steps: int, seconds: float, console: Console) -> None:
    early = ", stopped early (no higher instruction sensitivity)" if trainer.step < steps else ""
    console.print(f"[bold]{run.path}[/bold]: {trainer.step:,} steps in all, {seconds:.1f} s now{early}")
    whole = trainer.config.schedule.steps
    if trainer.step < whole:
        console.print(
            f"The schedule of the learning rate ends at step {whole:,}: --resume goes on; for a shorter run, begin "
            "with --set schedule.steps=N."
        )
