"""The options of an evaluation. Loads nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class EvaluateOptions:
    """How to evaluate a policy in simulation. Run again to resume."""

    policy: tyro.conf.Positional[str]
    """A run directory, package.module:factory, or the address of `embodied-cf serve`."""
    out: Path
    """Directory for episodes.jsonl, summary.json and report.html."""
    suite: str = "rooms/all/dev"
    """WORLD/FAMILY/SPLIT; `all` stands for every world or family. Nothing may be tuned on the split `test`."""
    episodes: int = 100
    """For each world and family."""
    seed: int = 0
    """Same seed, same episodes."""
    controls: tuple[str, ...] = ("none", "shuffled", "chance")
    """What is changed: none, canonical, paraphrase, empty, shuffled, opposite, swapped-words, blank-image,
    shuffled-image, distractor, no-distractor; chance is no policy's: the expert, told what `shuffled` tells."""
    guidance: float = 1.0
    """Above 1, the instruction counts for more. Of runs only."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """What computes the policy; `auto`: CUDA if there is any. Of runs only: `embodied-cf serve` has its own."""
    execute: int = 4
    """Control periods of a chunk that are carried out before the policy is asked again."""
    ensemble: float | None = None
    """Temporal ensembling: average what past chunks say of the same moment (`--execute` 1 to 3). The i-th oldest
    weighs exp(-i * this); 0.01 is usual."""
    backend: Literal["raycast", "mujoco"] = "raycast"
    """Who draws and who moves: our own renderer and kinematic drive, or MuJoCo with physics (extra `mujoco`)."""
    compare: tuple[Path, ...] = ()
    """Directories of other evaluations of the same episodes, for the report."""
    ledger: Path | None = None
    """Append a line here; default docs/results/test_ledger.jsonl for the split `test`, if that file is there."""
    no_frames: bool = False
    """Keep camera frames out of the report."""
