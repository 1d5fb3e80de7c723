"""Where training is watched, besides the run's own log: TensorBoard, Weights & Biases."""

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from embodied_cf.errors import MissingLibraryError
from embodied_cf.train.config import LogConfig, TrainConfig
from embodied_cf.train.run import Run
from embodied_cf.train.trainer import Progress

Watch = Callable[[Progress], None]


def refuse_missing(config: LogConfig) -> None:
    """Raise MissingLibraryError if a package that is asked for is not installed."""
    for package in ("tensorboard", "wandb"):
        if getattr(config, package) and importlib.util.find_spec(package) is None:
            raise MissingLibraryError(
                f"{package} is not installed",
                where=f"log.{package}",
                remedy=f"pip install 'embodied-cf[{package}]', or use --set log.{package}=False.",
            )


@contextmanager
def watches(config: TrainConfig, run: Run, step: int) -> Iterator[tuple[Watch, ...]]:
    """Open what `config.log` asks for, for a run that goes on after `step`."""
    with ExitStack() as stack:
        opened = []
        if config.log.tensorboard:
            opened.append(stack.enter_context(_tensorboard(run, step)))
        if config.log.wandb:
            opened.append(stack.enter_context(_wandb(config, run)))
        yield tuple(opened)


def together(each: Sequence[Watch]) -> Watch:
    """Return what tells each of several."""

    def watch(progress: Progress) -> None:
        for one in each:
            one(progress)

    return watch


def scalars(progress: Progress) -> dict[str, float]:
    """Return what is plotted of a step, such as `train/imitation` and `validation/error_m/hindsight`."""
    values = {f"train/{name}": value for name, value in progress.losses.items()}
    if (found := progress.validation) is not None:
        for part in ("loss", "error_m"):
            values |= {f"validation/{part}/{kind}": value for kind, value in getattr(found, part).items()}
        values["validation/sensitivity_m"] = found.sensitivity_m
    return values


@contextmanager
def _tensorboard(run: Run, step: int) -> Iterator[Watch]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(run.path / "tensorboard", purge_step=step + 1) as writer:

        def watch(progress: Progress) -> None:
            for name, value in scalars(progress).items():
                writer.add_scalar(name, value, progress.step)

        yield watch


@contextmanager
def _wandb(config: TrainConfig, run: Run) -> Iterator[Watch]:
    """Each session of a run that is resumed is one run of wandb; all are of one group."""
    import wandb

    with wandb.init(
        project=config.log.project,
        group=run.path.name,
        dir=run.path,
        config=asdict(config),
        mode=os.environ.get("WANDB_MODE", "offline"),
    ) as session:
        yield lambda progress: session.log(scalars(progress), step=progress.step)
