"""What `embodied-cf explain policy RUN --suite ...` shows a person."""

import math
from dataclasses import asdict, dataclass, replace

import torch
from rich.console import Console

from embodied_cf.datasets.files import check_writable, write_json
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.past import check_execute
from embodied_cf.evaluate.suites import parse_suite
from embodied_cf.explain.navigation.change import Place, sentence, where_changed
from embodied_cf.explain.navigation.envs import nav_envs
from embodied_cf.explain.navigation.page import write_nav_page
from embodied_cf.explain.navigation.policy import Chunks, NavPolicy, load_run, save_run
from embodied_cf.explain.options import NavOptions, SearchOptions
from embodied_cf.explain.policy.command import PolicyOutputs, print_policy
from embodied_cf.explain.policy.explanation import PolicyExplanation, explain_policy
from embodied_cf.explain.policy.measures import policy_measures
from embodied_cf.explain.rollout import MakeEnvs
from embodied_cf.policies.vla import VlaPolicy

_RANK = 4
QUESTIONS = ("both", "is something in the way?", "what is asked?")
"""Whose answers are told of; the page has all."""


@dataclass(frozen=True)
class NavExplanation:
    """The changed policy, and where it changed."""

    told: PolicyExplanation
    original: NavPolicy
    changed: NavPolicy
    places: tuple[Place, ...]
    make: MakeEnvs

    @property
    def sentences(self) -> list[str]:
        """The map in words; none if nothing changed."""
        moved = any(place.kl > 0 for place in self.places)
        said = [sentence(self.places, question) for question in QUESTIONS] if moved else []
        return [text for text in said if text]


def explain_nav_policy(
    policy: VlaPolicy, target: float, drive: NavOptions, options: SearchOptions | None = None, seed: int = 0
) -> NavExplanation:
    """Return the least changed policy whose success (or progress) on a suite is `target`.

    Raises UsageError for a target that is no share or more of a chunk than the policy tells, UnreachableError with the
    nearest share if none is found.
    """
    if not 0 <= target <= 1 or drive.suite is None:
        raise UsageError(f"the target {target:g} is no share of successes", remedy="Choose one in [0, 1].")
    check_execute(policy, drive.execute)
    options = options or SearchOptions()
    options = replace(options, rank=_RANK if options.rank is None else options.rank)
    suite = parse_suite(drive.suite, drive.people)
    make = nav_envs(policy, suite, drive.measure, drive.execute)
    practice = nav_envs(policy, suite, drive.measure, drive.execute, drive.pool)
    original = NavPolicy(policy, drive.layers, drive.width)
    told = explain_policy(original, make, target, options, seed=seed, practice=practice)
    changed = told.policy
    assert isinstance(changed, NavPolicy)
    places = where_changed(told.visits, changed, original, Chunks(policy), drive.execute)
    return NavExplanation(told, original, changed, places, make)


def run_nav_policy(
    run: str, target: float, drive: NavOptions, options: SearchOptions, seed: int, outputs: PolicyOutputs
) -> int:
    """Explain, print and write; return the exit code."""
    torch.set_num_threads(1)
    check_writable(outputs.json, outputs.html)
    policy, console = load_run(run), Console(stderr=True)
    with console.status(f"looking for the least change that gives {drive.suite} a {drive.measure} of {target:g}"):
        found = explain_nav_policy(policy, target, drive, options, seed)
    print_policy(found.told, console)
    for text in found.sentences:
        console.print(text)
    if outputs.json:
        measured = {
            "measures": asdict(policy_measures(found.told, found.original)),
            "places": [_plain(it) for it in found.places],
        }
        asked = {"policy": run, "seed": seed, "drive": asdict(drive), "sentences": found.sentences}
        write_json(outputs.json, asked | found.told.to_json() | measured)
    if outputs.html:
        write_nav_page(found.told, found.original, found.changed, found.places, found.sentences, found.make,
                       f"{run} on {drive.suite}", drive.measure, outputs.html, seed)  # fmt: skip
    if outputs.save:
        save_run(policy, found.changed, outputs.save)
    return 0


def _plain(place: Place) -> dict[str, object]:
    """Return a place as JSON has it, without what is not known."""
    table = asdict(place) | {"told": place.in_words()}
    for when in ("before", "after"):
        table[when] = {name: value for name, value in table[when].items() if not math.isnan(value)}
    return table
