"""The training loop. A function of configuration and data: stopped and resumed, it ends with the same bits."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float32

from embodied_cf.datasets import normalise
from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.files import write_json
from embodied_cf.datasets.normalise import Normalizer
from embodied_cf.datasets.randomness import generator, number
from embodied_cf.errors import CheckpointError, UsageError
from embodied_cf.policies import checkpoint
from embodied_cf.policies.build import build_model, new_card
from embodied_cf.policies.devices import device_of
from embodied_cf.policies.kept import with_weights
from embodied_cf.policies.vla import Vla, VlaPolicy, fit_on
from embodied_cf.train.batches import understood
from embodied_cf.train.config import TrainConfig, ValidationConfig
from embodied_cf.train.losses import Objective
from embodied_cf.train.optimise import Optimiser, rate_at
from embodied_cf.train.run import Run
from embodied_cf.train.team import ALONE, Team
from embodied_cf.train.validate import Validation, validate

TENSORS, STATE = "train_state.safetensors", "train_state.json"


@runtime_checkable
class Data(Protocol):
    """What is trained on: a `datasets.streams.Stream`, or anything that gives the same."""

    @property
    def embodiment(self) -> Embodiment: ...

    @property
    def instructions(self) -> tuple[str, ...]: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def batches(self, epoch: int, start_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]: ...

    def chunks(self) -> Iterator[tuple[Float32[np.ndarray, "b k a"], Bool[np.ndarray, "b k"]]]: ...


@dataclass(frozen=True)
class Progress:
    """Where training stands, for whoever watches."""

    step: int
    losses: dict[str, float]
    validation: Validation | None


@dataclass(frozen=True)
class Patience:
    """Early stopping on instruction sensitivity: stops after `ValidationConfig.patience` looks without a new best."""

    best: float = -1.0
    waited: int = 0

    def after(self, sensitivity: float) -> "Patience":
        """Return the state after one more validation."""
        return Patience(sensitivity) if sensitivity > self.best else Patience(self.best, self.waited + 1)

    def is_over(self, config: ValidationConfig) -> bool:
        """Whether to stop. Never with a patience of 0."""
        return 0 < config.patience <= self.waited


class Trainer:
    """A model in training, with everything that it carries from step to step."""

    def __init__(
        self,
        config: TrainConfig,
        data: Data,
        heldout: Data | None,
        model: Vla,
        normalizer: Normalizer,
        team: Team = ALONE,
    ) -> None:
        self.config, self.data, self.heldout, self.team = config, data, heldout, team
        self.model, self.normalizer = model.to(device_of(config.device)), normalizer
        self.optimiser = Optimiser(model, config.optimiser, config.schedule, team)
        self.objective = Objective(model, normalizer, config.loss)
        self.patience = Patience()

    @staticmethod
    def new(config: TrainConfig, data: Data, heldout: Data | None, team: Team = ALONE) -> "Trainer":
        """Return a trainer before its first step, its statistics and bins learnt from the data."""
        chunks, body = data.chunks(), data.embodiment
        normalizer = normalise.fit(chunks, config.data.normalisation, body, data.fingerprint)
        model = _new_model(config, data)
        fit_on(model, normalizer, _some_chunks(data, config.data.fit_samples))
        return Trainer(config, data, heldout, model, normalizer, team)

    @staticmethod
    def resumed(config: TrainConfig, data: Data, heldout: Data | None, run: Run, team: Team = ALONE) -> "Trainer":
        """Return a trainer that goes on from a run's last checkpoint.

        Raises CheckpointError if it is broken or of another embodiment, DatasetError if the data is not the same.
        """
        folder = run.last
        if folder is None:  # killed before the first checkpoint
            run.rewind_log(0)
            return Trainer.new(config, data, heldout, team)
        card = checkpoint.read_card(folder)
        checkpoint.refuse_other_body(card, data.embodiment, folder)
        normalizer = Normalizer.load(folder)
        normalizer.check(data.embodiment, data.fingerprint)
        trainer = Trainer(config, data, heldout, build_model(card), normalizer, team)
        trainer._restore(folder)
        run.rewind_log(trainer.step)
        return trainer

    @property
    def step(self) -> int:
        """Steps made."""
        return self.optimiser.step_number

    def fit(self, steps: int, run: Run, watch: Callable[[Progress], None] = lambda progress: None) -> VlaPolicy:
        """Train until `steps` are made in all, logging, validating and saving on the way; return the policy."""
        batches = self._batches()
        while self.step < steps and not self.patience.is_over(self.config.validation):
            losses = self.make_step(list(islice(batches, self.config.data.accumulate)))
            run.log({"step": self.step, **losses})
            validation = self._validation() if _due(self.step, self.config.validation.every, steps) else None
            if validation is not None:
                run.log({"step": self.step, "validation": validation.to_json()})
            if _due(self.step, self.config.save_every, steps):
                self.save(run)
            watch(Progress(self.step, losses, validation))
        if self.patience.is_over(self.config.validation):
            self.save(run)
        return self.policy()

    def make_step(self, batches: list[Batch]) -> dict[str, float]:
        """Make one step on the mean of the batches' losses; return what is logged of it."""
        rng = generator(self.config.seed, "step", str(self.step), *([] if self.team.leads else [str(self.team.rank)]))
        self.model.train()
        rate, values = rate_at(self.step, self.config.schedule), list[dict[str, float]]()

        def losses() -> Iterator[torch.Tensor]:
            for batch in batches:
                with self._autocast():
                    parts = self.objective(understood(self.model, batch), rng)
                values.append(parts.values())
                yield parts.total(self.config.loss)

        norm = self.optimiser.step(losses(), len(batches))
        made = {name: float(np.mean([value[name] for value in values])) for name in values[0]}
        made = self.team.average(made) | {"gradient_norm": norm, "rate": rate}
        if not np.isfinite(list(made.values())).all():
            raise UsageError(f"step {self.step}: the loss is not finite", remedy="Lower schedule.rate.")
        return made

    def policy(self) -> VlaPolicy:
        """Return the policy of the averaged weights."""
        return VlaPolicy(with_weights(self.model, self.optimiser.averaged()).eval(), self.normalizer)

    def save(self, run: Run) -> None:
        """Write a checkpoint, unless this step has one."""
        if run.has(self.step):
            return
        with run.checkpoint(self.step) as folder:
            checkpoint.save_policy(folder, self.model.card, self.optimiser.averaged(), self.normalizer)
            checkpoint.save_tensors(folder / TENSORS, self.optimiser.state())
            write_json(folder / STATE, {"step": self.step, **asdict(self.patience)})

    def _restore(self, folder: Path) -> None:
        state = checkpoint.read_json(folder / STATE)
        tensors = checkpoint.load_tensors(folder / TENSORS)
        averaged = checkpoint.load_tensors(folder / checkpoint.MODEL)
        try:
            self.optimiser.restore(state["step"], tensors, averaged)
            self.patience = Patience(state["best"], state["waited"])
        except (KeyError, RuntimeError) as error:
            remedy = "Restore the folder, or begin again with --overwrite."
            raise CheckpointError(f"not this model's training state ({error})", where=folder, remedy=remedy) from None

    def _batches(self) -> Iterator[Batch]:
        """Yield the batches that follow those drawn so far, for ever."""
        epoch, start = divmod(self.step * self.config.data.accumulate, self.data.steps_per_epoch)
        while True:
            yield from self.data.batches(epoch, start, self.team.rank, self.team.world)
            epoch, start = epoch + 1, 0

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.config.optimiser.precision == "bf16")

    def _look(self) -> Validation | None:
        if self.heldout is None:
            return None
        policy, looks = self.policy(), self.config.validation.batches
        batches = (understood(self.model, batch) for batch in islice(self.heldout.batches(0), looks))
        return validate(policy, batches, self.config.seed)

    def _validation(self) -> Validation | None:
        found = self.team.told(self._look)
        if found is not None and self.step % self.config.validation.every == 0:
            self.patience = self.patience.after(found.sensitivity_m)
        return found


def _due(step: int, every: int, steps: int) -> bool:
    """Whether something is done after a step: regularly, and after the last."""
    return step % every == 0 or step == steps


def _new_model(config: TrainConfig, data: Data) -> Vla:
    card = new_card(config.model, data.embodiment, data.instructions)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number(config.seed, "weights") % 2**63)
        return build_model(card)


def _some_chunks(data: Data, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the chunks of the first batches, as many as make up about `count` samples."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in data.batches(0):
        found.append((batch.action, batch.mask))
        if sum(len(action) for action, _ in found) >= count:
            break
    return found
