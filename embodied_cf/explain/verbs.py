"""What `embodied-cf explain` takes and which command runs. Nothing numerical is loaded before a verb runs."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from embodied_cf.errors import UsageError
from embodied_cf.explain.options import (
    EnvOptions,
    EpisodeOptions,
    InputOptions,
    LearnOptions,
    NavOptions,
    SearchOptions,
    TaskOptions,
)

Positional = tyro.conf.Positional


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
        from embodied_cf.explain.policy.command import PolicyOutputs, run_policy

        outputs = PolicyOutputs(self.json, self.html, self.save)
        if self.env is not None and self.drive.suite is None:
            return run_policy(self.policy, self.env, self.target, self.search, self.seed, outputs, max(self.repeat, 0))
        if self.repeat:
            raise UsageError("--repeat is for --env", remedy="Ask again with another --seed.")
        if self.drive.suite is not None and self.env is None:
            from embodied_cf.explain.navigation.command import run_nav_policy

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
    outside: Annotated[EnvOptions, tyro.conf.arg(name="")] = field(default_factory=EnvOptions)
    model: Annotated[LearnOptions, tyro.conf.arg(name="")] = field(default_factory=LearnOptions)
    json: Path | None = None
    """Write everything here, for machines."""
    html: Path | None = None
    """Write a page here: map, frames, everything that was tried."""
    picture: Path | None = None
    """Write one picture here, as PNG; of the simulator only."""

    def __post_init__(self) -> None:
        if self.search < 1:
            raise UsageError(f"--search {self.search} is less than 1")

    def run(self) -> int:
        """Replay, print."""
        if self.outside.env is not None:
            return self._run_outside()
        from embodied_cf.explain.episode.command import EpisodeOutputs, run_episode

        outputs = EpisodeOutputs(self.json, self.html, self.picture)
        return run_episode(self.policy, self.task, self.look, self.search, outputs)

    def _run_outside(self) -> int:
        from embodied_cf.explain.episode.command import EpisodeOutputs
        from embodied_cf.explain.outside.command import run_env_episode

        if self.picture:
            raise UsageError("--picture shows the simulator, and not --env", remedy="Ask for --html.")
        if (replace(self.task, seed=0), replace(self.look, draws=0)) != (TaskOptions(), EpisodeOptions(draws=0)):
            raise UsageError("--world, --family, --split, --people, --samples and --execute are the simulator's",
                             remedy="Leave them out with --env; --hold says how long a correction lasts.")  # fmt: skip
        outputs, seed, draws = EpisodeOutputs(self.json, self.html), self.task.seed, self.look.draws
        return run_env_episode(self.policy, self.outside, seed, self.search, outputs, self.model, draws)


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
        from embodied_cf.explain.input.command import InputOutputs, run_input

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
