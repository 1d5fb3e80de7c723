"""Counterfactual relabeling of robot data: RLDS in, counterfactual RLDS out."""

# Each verb loads what it needs when it runs: --help must not wait for numerical libraries.
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from embodied_cf.crm.command import Crm
from embodied_cf.datasets.convert.options import ConvertOptions
from embodied_cf.errors import EmbodiedError, UsageError
from embodied_cf.evaluate.options import EvaluateOptions
from embodied_cf.explain.options import (
    EpisodeOptions,
    InputOptions,
    LearnOptions,
    NavOptions,
    SearchOptions,
    TaskOptions,
)
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.train.options import Kind, TrainOptions

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
class ListSets:
    """List the label sets of a dataset."""

    dataset: Positional[Path]
    """Labelled dataset."""
    json: Path | None = None
    """Write the list here, for machines."""

    def run(self) -> int:
        """List and print."""
        from rich.console import Console
        from rich.table import Table

        from embodied_cf.datasets.label_edit import summarise_sets
        from embodied_cf.datasets.rlds import open_dataset

        sets = summarise_sets(open_dataset(self.dataset))
        table = Table("label set", "labels", "kinds", "distinct instructions", "mean score")
        for row in sets:
            kinds = ", ".join(f"{count} {kind}" for kind, count in row.kinds.items())
            table.add_row(row.name, str(row.labels), kinds, str(row.instructions), f"{row.mean_score:.3f}")
        Console().print(table if sets else f"{self.dataset} has no label sets.")
        _write_json(self.json, [asdict(row) for row in sets])
        return 0


@dataclass(frozen=True)
class FilterSet:
    """Keep only some labels of a set, in a new dataset."""

    dataset: Positional[Path]
    """Labelled dataset."""
    out: Positional[Path]
    """Directory of the new dataset."""
    label_set: str = "labels"
    """Which set."""
    min_score: float = 0.0
    """Drop labels with a lower score."""
    kinds: tuple[Kind, ...] = ("hindsight", "atomic", "counterfactual")
    """Keep labels of these kinds."""
    decisions: Path | None = None
    """File that the report's `Save decisions` made; what it rejects is dropped."""

    def run(self) -> int:
        """Filter."""
        from embodied_cf.datasets.label_edit import Filter, filter_set, read_decisions

        rejected = read_decisions(self.decisions, self.label_set) if self.decisions else frozenset()
        done = filter_set(self.dataset, self.out, self.label_set, Filter(self.min_score, self.kinds, rejected))
        print(f"{self.out}: kept {done.kept:,} of {done.before:,} labels")
        if done.unmatched:
            print(f"{done.unmatched:,} decisions name no label of this dataset; were they made on another report?")
        return 0


@dataclass(frozen=True)
class MergeSets:
    """Add the labels of another relabelled copy of the same data, in a new dataset."""

    dataset: Positional[Path]
    """Labelled dataset that the new one starts from."""
    other: Positional[Path]
    """Dataset with the same records whose labels are added."""
    out: Positional[Path]
    """Directory of the new dataset."""
    label_set: str = "labels"
    """Set that the labels go into; made if it does not exist."""
    other_set: str | None = None
    """Set that they come from, if its name differs."""

    def run(self) -> int:
        """Merge."""
        from embodied_cf.datasets.label_edit import merge_sets

        merge_sets(self.dataset, self.other, self.out, self.label_set, self.other_set)
        return 0


@dataclass(frozen=True)
class DropSet:
    """Remove a label set, in a new dataset."""

    dataset: Positional[Path]
    """Labelled dataset."""
    out: Positional[Path]
    """Directory of the new dataset."""
    label_set: str = "labels"
    """Which set."""

    def run(self) -> int:
        """Drop."""
        from embodied_cf.datasets.label_edit import drop_set

        drop_set(self.dataset, self.out, self.label_set)
        return 0


@dataclass(frozen=True)
class LabelSets:
    """List, filter, merge or drop label sets. The source is never modified."""

    action: (
        Annotated[ListSets, tyro.conf.subcommand("list")]
        | Annotated[FilterSet, tyro.conf.subcommand("filter")]
        | Annotated[MergeSets, tyro.conf.subcommand("merge")]
        | Annotated[DropSet, tyro.conf.subcommand("drop")]
    )

    def run(self) -> int:
        """Run the chosen action."""
        return self.action.run()


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


@dataclass(frozen=True)
class ExplainPolicy:
    """What is the least change of a policy that gives it a certain return, better or worse?"""

    policy: Positional[str]
    """.safetensors of this project, .zip of stable-baselines3 (A2C, PPO), or package.module:factory of a module; with
    --suite a run directory."""
    target: float
    """The mean return that the changed policy shall have; with --suite, its success rate."""
    env: str | None = None
    """Gymnasium id, such as CartPole-v1."""
    drive: Annotated[NavOptions, tyro.conf.arg(name="")] = field(default_factory=NavOptions)
    search: Annotated[SearchOptions, tyro.conf.arg(name="")] = field(default_factory=SearchOptions)
    seed: int = 0
    """Same seed, same answer."""
    repeat: int = 0
    """With --env: search so many times more, from the next seeds, to measure stability and diversity of answers."""
    json: Path | None = None
    """Write every measure here, for machines."""
    html: Path | None = None
    """Write a page here: episodes before and after, the map of changed states, returns."""
    save: Path | None = None
    """Write the changed policy here, as safetensors; with --suite, as a checkpoint folder."""

    def run(self) -> int:
        """Search, measure, print."""
        from embodied_cf.explain.command import PolicyOutputs, run_policy

        outputs = PolicyOutputs(self.json, self.html, self.save)
        if self.env is not None and self.drive.suite is None:
            return run_policy(self.policy, self.env, self.target, self.search, self.seed, outputs, max(self.repeat, 0))
        if self.repeat:
            raise UsageError("--repeat is for --env", remedy="Ask again with another --seed.")
        if self.drive.suite is not None and self.env is None:
            from embodied_cf.explain.command_nav import run_nav_policy

            return run_nav_policy(self.policy, self.target, self.drive, self.search, self.seed, outputs)
        raise UsageError("name either --env or --suite", remedy="--suite is for runs of `embodied-cf train`.")


@dataclass(frozen=True)
class ExplainEpisode:
    """Why did an episode fail? The decision that decided it, by exact replay with another action."""

    policy: Positional[str]
    """A run, package.module:factory, or the URL of a server; with --env a checkpoint (.safetensors of this project, or
    .zip of stable-baselines3) or a factory of policies for it."""
    task: Annotated[TaskOptions, tyro.conf.arg(name="")] = field(default_factory=TaskOptions)
    look: Annotated[EpisodeOptions, tyro.conf.arg(name="")] = field(default_factory=EpisodeOptions)
    search: int = 1
    """Explain the first episode that fails, of so many from --seed on."""
    env: str | None = None
    """Gymnasium id of an environment with discrete actions, instead of the simulator; re-executed from its seed."""
    succeeds_at: float | None = None
    """With --env: the return from which on an episode succeeds. Default: what the environment says in `info`, else its
    reward threshold, else an end with a positive reward."""
    model: Annotated[LearnOptions, tyro.conf.arg(name="")] = field(default_factory=LearnOptions)
    json: Path | None = None
    """Write everything here, for machines."""
    html: Path | None = None
    """Write a page here: map, frames, everything that was tried."""
    picture: Path | None = None
    """Write one picture here, as PNG; of the simulator only."""

    def run(self) -> int:
        """Replay, print."""
        if self.env is not None:
            return self._run_outside(self.env)
        if self.succeeds_at is not None:
            raise UsageError("--succeeds-at is for --env", remedy="The simulator's instructions say what success is.")
        from embodied_cf.explain.command_episode import EpisodeOutputs, run_episode

        outputs = EpisodeOutputs(self.json, self.html, self.picture)
        return run_episode(self.policy, self.task, self.look, self.search, outputs)

    def _run_outside(self, env: str) -> int:
        from embodied_cf.explain.command_env import run_env_episode
        from embodied_cf.explain.command_episode import EpisodeOutputs

        if self.picture:
            raise UsageError("--picture shows the simulator, and not --env", remedy="Ask for --html.")
        outputs = EpisodeOutputs(self.json, self.html)
        return run_env_episode(self.policy, env, self.task.seed, self.search, outputs, self.model, self.succeeds_at)


@dataclass(frozen=True)
class ExplainInput:
    """Which part of the image or the instruction caused an action? The smallest changes that change it."""

    policy: Positional[str]
    """A run, package.module:factory, or the URL of a server."""
    task: Annotated[TaskOptions, tyro.conf.arg(name="")] = field(default_factory=TaskOptions)
    look: Annotated[InputOptions, tyro.conf.arg(name="")] = field(default_factory=InputOptions)
    decision: int = 0
    """Which decision of the episode is explained."""
    views: int = 1
    """Average the effects of concepts over so many episodes, from --seed on."""
    json: Path | None = None
    """Write everything here, for machines."""
    html: Path | None = None
    """Write a page here: what it sees and does, and what it would do."""

    def run(self) -> int:
        """Ask what-ifs, print."""
        from embodied_cf.explain.command_input import InputOutputs, run_input

        outputs = InputOutputs(self.json, self.html)
        return run_input(self.policy, self.task, self.decision, self.views, self.look, outputs)


@dataclass(frozen=True)
class Explain:
    """Counterfactual explanations: of a policy, of a failed episode, of one action."""

    what: (
        Annotated[ExplainPolicy, tyro.conf.subcommand("policy")]
        | Annotated[ExplainEpisode, tyro.conf.subcommand("episode")]
        | Annotated[ExplainInput, tyro.conf.subcommand("input")]
    )

    def run(self) -> int:
        """Run the chosen kind."""
        return self.what.run()


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
