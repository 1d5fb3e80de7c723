"""The options of a training run. Loads no torch."""

from dataclasses import dataclass
from pathlib import Path

from embodied_cf.datasets.kinds import LabelKind


@dataclass(frozen=True)
class TrainOptions:
    """Train a policy. `--resume` goes on with an earlier run, and needs no other option but --out."""

    out: Path
    """Directory of the run: configuration, log, checkpoints."""
    data: tuple[str, ...] = ()
    """Labelled datasets, DIR or DIR:WEIGHT; a weight is the share of samples, relative to the others'."""
    spec: str | None = None
    """Shipped spec or TOML file for all of them; default spec.toml beside each."""
    preset: str | None = None
    """tiny, bins, flow, sentence, synonyms, seeing, chain, atomic, arm, hf; with -debug: the same made so small
    that it takes a second."""
    set: tuple[str, ...] = ()
    """Changes to the preset, such as schedule.rate=1e-3 loss.contrastive=0.1; see docs/training.md."""
    steps: int | None = None
    """Stop after so many steps in all; default the whole schedule (schedule.steps). Resuming a stopped run ends with
    the same bits as not stopping."""
    split: str | None = None
    """Only this split of them; default all."""
    kinds: tuple[LabelKind, ...] | None = None
    """Kinds of labels to use; default all."""
    label_sets: tuple[str, ...] = ("labels",)
    """Label sets to use."""
    min_score: float = 0.0
    """Leave out labels with a lower score."""
    stop_at_end: bool = False
    """Robots stand where a hindsight label ends, though they drove on: for logs that never show a stop."""
    resume: bool = False
    """Go on from the last checkpoint."""
    overwrite: bool = False
    """Begin again where a run is already."""
