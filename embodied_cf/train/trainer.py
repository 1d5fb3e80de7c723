"""The training loop. A function of configuration and data: stopped and resumed, it ends with the same bits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float32

from embodied_cf.datasets.batch import Batch
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.files import write_json
from embodied_cf.datasets.normalise import fit_normalizer
from embodied_cf.datasets.randomness import generator, number
from embodied_cf.errors import CheckpointError
from embodied_cf.policies import checkpoint
from embodied_cf.policies.config import ModelCard
from embodied_cf.policies.nav_vla_tiny import NavVlaTiny, VlaPolicy, fit_on
from embodied_cf.policies.text import vocabulary_of
from embodied_cf.train.batches import understood
from embodied_cf.train.config import TrainConfig, ValidationConfig
from embodied_cf.train.losses import Losses, Objective
from embodied_cf.train.optimise import Optimiser, rate_at
from embodied_cf.train.run import Run
from embodied_cf.train.validate import Validation, validate

TENSORS, STATE = "train_state.safetensors", "train_state.json"


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

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]: ...

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

    def __init__(self, config: TrainConfig, data: Data, heldout: Data | None) -> None:
        self.config, self.data, self.heldout = config, data, heldout
        self.normalizer = fit_normalizer(config.data.normalisation, data.chunks())
        self.model = _new_model(config, data)
        fit_on(self.model, self.normalizer, _some_chunks(data, config.data.fit_samples))
        self._prepare()

    def _prepare(self) -> None:
        self.optimiser = Optimiser(self.model, self.config.optimiser, self.config.schedule)
        self.objective = Objective(self.model, self.normalizer, self.config.loss)
        self.patience = Patience()

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
            validation = self._look() if _due(self.step, self.config.validation.every, steps) else None
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
        rng = generator(self.config.seed, "step", str(self.step))
        self.model.train()
        rate, parts = rate_at(self.step, self.config.schedule), list[Losses]()

        def loss_of(batch: Batch) -> torch.Tensor:
            parts.append(self.objective(understood(self.model, batch), rng))
            return parts[-1].total(self.config.loss)

        norm = self.optimiser.step(lambda batch=batch: loss_of(batch) for batch in batches)
        means = {name: float(np.mean([part.values()[name] for part in parts])) for name in parts[0].values()}
        return {**means, "gradient_norm": norm, "rate": rate}

    def policy(self) -> VlaPolicy:
        """Return the policy of the averaged weights."""
        with torch.random.fork_rng(devices=[]):
            model = NavVlaTiny(self.model.card)
        model.load_state_dict(self.optimiser.averaged())
        return VlaPolicy(model.eval(), self.normalizer)

    def save(self, run: Run) -> None:
        """Write a checkpoint."""
        with run.checkpoint(self.step) as folder:
            checkpoint.save_policy(folder, self.model.card, self.optimiser.averaged(), self.normalizer)
            checkpoint.save_tensors(folder / TENSORS, self.optimiser.state())
            state = {"step": self.step, "best": self.patience.best, "waited": self.patience.waited}
            write_json(folder / STATE, {**state, "data": self.data.fingerprint})

    def resume(self, run: Run) -> None:
        """Go on from the run's last checkpoint. Raises CheckpointError if it is broken or the data is not the same."""
        folder = run.last
        if folder is None:
            return  # killed before the first checkpoint: begin again
        state = checkpoint.read_json(folder / STATE)
        card = checkpoint.read_card(folder)
        checkpoint.refuse_other_body(card, self.data.embodiment, folder)
        if state["data"] != self.data.fingerprint:
            raise CheckpointError(
                "the data is not what the run was begun with", where=folder, remedy="Begin another run, or restore it."
            )
        self.model = NavVlaTiny(card)
        self.normalizer = checkpoint.read_normalizer(folder)
        self._prepare()
        self._restore(folder, state)
        run.rewind_log(self.step)

    def _restore(self, folder: "checkpoint.Path", state: dict) -> None:
        tensors = checkpoint.load_tensors(folder / TENSORS)
        averaged = checkpoint.load_tensors(folder / checkpoint.MODEL)
        try:
            self.optimiser.restore(state["step"], tensors, averaged)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"another model's training state ({error})", where=folder) from None
        self.patience = Patience(state["best"], state["waited"])

    def _batches(self) -> Iterator[Batch]:
        """Yield the batches that follow those drawn so far, for ever."""
        epoch, start = divmod(self.step * self.config.data.accumulate, self.data.steps_per_epoch)
        while True:
            yield from self.data.batches(epoch, start)
            epoch, start = epoch + 1, 0

    def _look(self) -> Validation | None:
        if self.heldout is None:
            return None
        policy = self.policy()
        batches = (understood(self.model, batch) for batch in islice(self.heldout.batches(0), self._looks))
        found = validate(policy, batches, self.config.seed)
        if found is not None and self.step % self.config.validation.every == 0:
            self.patience = self.patience.after(found.sensitivity_m)
        return found

    @property
    def _looks(self) -> int:
        return self.config.validation.batches


def _due(step: int, every: int, steps: int) -> bool:
    """Whether something is done after a step: regularly, and after the last."""
    return step % every == 0 or step == steps


def _new_model(config: TrainConfig, data: Data) -> NavVlaTiny:
    words = vocabulary_of(data.instructions) if config.model.text == "words" else ()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number(config.seed, "weights") % 2**63)
        return NavVlaTiny(ModelCard(config.model, data.embodiment, words))


def _some_chunks(data: Data, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the chunks of the first batches, as many as make up about `count` samples."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in data.batches(0):
        found.append((batch.action, batch.mask))
        if sum(len(action) for action, _ in found) >= count:
            break
    return found
