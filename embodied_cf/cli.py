"""Counterfactual relabeling of robot data: RLDS in, counterfactual RLDS out."""

# Each verb loads what it needs when it runs: --help must not wait for numerical libraries.
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from embodied_cf.crm.command import Crm
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.datasets.label_verbs import LabelSets
from embodied_cf.errors import EmbodiedError
from embodied_cf.evaluate.options import EvaluateOptions
from embodied_cf.explain.verbs import Explain
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.train.options import TrainOptions

Positional = tyro.conf.Positional


@dataclass(frozen=True)
class Relabel:
    """Add hindsight and counterfactual labels to an RLDS dataset. Run again to resume."""

    options: Annotated[RelabelOptions, tyro.conf.arg(name="")]
    json: Path | None = None
    """Write the result here, for machines."""

    def run(self) -> int:
        """Relabel with a progress bar."""
        from embodied_cf.relabel.command import run_relabel

        return run_relabel(self.options, self.json)


@dataclass(frozen=True)
class Inspect:
    """Look at a dataset: episodes, features, statistics, health warnings with codes, film strips."""

    dataset: Positional[Path]
    """Version directory of a TFDS dataset, such as .../bridge_dataset/1.0.0."""
    split: str | None = None
    """Only this split; default all."""
    spec: str | None = None
    """Shipped spec or TOML file, for checks that need to know which feature is what."""
    html: Path | None = None
    """Write a page with film strips here."""
    json: Path | None = None
    """Write everything here, for machines."""
    suggest_spec: Path | None = None
    """Write a first guess of a spec here; what is guessed is marked."""
    strict: bool = False
    """Fail (exit code 2) if any warning stands."""
    no_frames: bool = False
    """Keep camera frames out of the page."""

    def run(self) -> int:
        """Inspect and print."""
        from rich.console import Console

        from embodied_cf.datasets.inspect_text import print_inspection
        from embodied_cf.datasets.inspection import inspect_dataset
        from embodied_cf.datasets.spec import load_spec

        spec = load_spec(self.spec) if self.spec else None
        found = inspect_dataset(self.dataset, split=self.split, spec=spec, strict=self.strict)
        print_inspection(found, Console())
        if self.html:
            from embodied_cf.datasets.inspect_page import write_inspection_html

            write_inspection_html(found, self.html, frames=not self.no_frames)
        if self.suggest_spec:
            from embodied_cf.datasets.files import write_text
            from embodied_cf.datasets.rlds import open_dataset
            from embodied_cf.datasets.suggest import suggest_spec

            write_text(self.suggest_spec, suggest_spec(open_dataset(self.dataset)))
        _write_json(self.json, found.to_json())
        return 2 if self.strict and found.fails_strict else 0


@dataclass(frozen=True)
class Convert:
    """Bring a dataset from one format into another: LeRobot, GNM folders, RLDS, CAST. Run again to resume."""

    options: Annotated[ConvertOptions, tyro.conf.arg(name="")]
    json: Path | None = None
    """Write the result here, for machines."""

    def run(self) -> int:
        """Convert with a counter."""
        from embodied_cf.datasets.convert.command import run_convert

        return run_convert(self.options, self.json)


@dataclass(frozen=True)
class Collect:
    """Let simulated robots that know no language drive about, and write what they see as RLDS. Run again to resume."""

    out: Path
    """Directory of the dataset, such as rooms/1.0.0."""
    env: str = "EmbodiedCF/Rooms-v0"
    """Environment that has a collector."""
    episodes: int = 100
    """How many."""
    seed: int = 0
    """Same seed, same bytes."""
    split: str = "train"
    """Layouts and names of things: train, dev or test."""
    bias: float = 0.8
    """Share of its ways on which the robot drives to the nearest thing; 1: always."""
    steps: int = 60
    """Longest episode, in steps of 0.25 s."""
    size: int = 96
    """Pixels a side."""
    json: Path | None = None
    """Write what was asked here, for machines."""

    def run(self) -> int:
        """Collect with a progress bar."""
        from embodied_cf.envs.collect import CollectOptions
        from embodied_cf.envs.collect_command import run_collect

        options = CollectOptions("", self.episodes, self.seed, self.split, self.bias, self.steps, self.size)
        return run_collect(self.env, self.out, options, self.json)


@dataclass(frozen=True)
class Train:
    """Train a language-conditioned policy on labelled datasets."""

    options: Annotated[TrainOptions, tyro.conf.arg(name="")]
    json: Path | None = None
    """Write the result here, for machines."""

    def run(self) -> int:
        """Train with a progress bar."""
        from embodied_cf.train.command import run_train

        return run_train(self.options, self.json)


@dataclass(frozen=True)
class Evaluate:
    """Let a policy drive in simulation and measure how it follows instructions. Run again to resume."""

    options: Annotated[EvaluateOptions, tyro.conf.arg(name="")]
    json: Path | None = None
    """Write the summary here, for machines."""

    def run(self) -> int:
        """Evaluate with a progress bar."""
        from embodied_cf.evaluate.command import run_evaluate

        return run_evaluate(self.options, self.json)


@dataclass(frozen=True)
class Serve:
    """Answer for a trained policy over HTTP, until interrupted."""

    run_directory: Annotated[Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Directory of a run, or a checkpoint folder."""
    host: str = "127.0.0.1"
    """Address to listen at; another than loopback lets everyone on that network ask."""
    port: int = 8765
    """0 takes any that is free."""
    guidance: float = 1.0
    """Above 1, the instruction counts for more."""
    sample: bool = False
    """Draw actions and tell their log-probability."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """What computes; `auto`: CUDA if there is any."""

    def run(self) -> int:
        """Serve."""
        from embodied_cf.policies.serve_command import run_serve

        return run_serve(self.run_directory, self.host, self.port, self.guidance, self.sample, self.device)


@dataclass(frozen=True)
class Demo:
    """Tell the whole story on this machine: collect, relabel, train two policies, evaluate. Run again to resume."""

    out: Path = Path("demo-out")
    """Directory for logs, labels, policies and the report."""
    minutes: float = 10.0
    """About how long it takes on two cores; less trains less."""
    seed: int = 0
    """Same seed, same bytes."""
    json: Path | None = None
    """Write the numbers here, for machines."""

    def run(self) -> int:
        """Run the demonstration."""
        from embodied_cf.evaluate.demo_command import run_demo

        return run_demo(self.out, self.minutes, self.seed, self.json)


Verb = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Inspect, tyro.conf.subcommand("inspect")]
    | Annotated[Relabel, tyro.conf.subcommand("relabel")]
    | Annotated[Collect, tyro.conf.subcommand("collect")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Serve, tyro.conf.subcommand("serve")]
    | Annotated[LabelSets, tyro.conf.subcommand("labels")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Explain, tyro.conf.subcommand("explain")]
    | Annotated[Crm, tyro.conf.subcommand("crm")]
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 bad input or usage, 3 done with something left out."""
    try:
        verb: Any = tyro.cli(
            Verb,
            prog="embodied-cf",
            description=__doc__,
            args=arguments,
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
        )
        code = verb.run()
    except EmbodiedError as error:
        print(f"embodied-cf: {error}", file=sys.stderr)
        code = error.exit_code
    except MemoryError:
        print("embodied-cf: not enough memory; what is finished is kept, run the same command again", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("embodied-cf: interrupted; run the same command again to resume", file=sys.stderr)
        code = 130
    sys.exit(code)


def _write_json(path: Path | None, value: object) -> None:
    if path is not None:
        from embodied_cf.datasets.files import write_json

        write_json(path, value)
