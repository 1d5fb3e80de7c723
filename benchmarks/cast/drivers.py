"""Policies that hear something else than what is said: nothing at all, or what a captioner makes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.sample import CAMERA
from embodied_cf.errors import InstructionError
from embodied_cf.language import nav
from embodied_cf.language.grammar import parse
from embodied_cf.language.instruction import Clause, Do, GoTo, StopBeside, Thing, clauses, named
from embodied_cf.language.predicate_rules import REACH_M
from embodied_cf.policies.contract import ActionChunk, Observation, Policy
from embodied_cf.policies.detector import Detector, Found, load_detector
from embodied_cf.policies.vla import VlaPolicy
from embodied_cf.relabel.ground import standing_circles

_STRAIGHT, _SLIGHT = np.radians([6, 20])
"""Bearings up to which a thing lies straight ahead, and up to which a slight turn is told."""


@dataclass(frozen=True)
class _Told:
    """A policy that is told something else."""

    policy: Policy

    @property
    def camera(self) -> tuple[int, int]:
        """Of the policy."""
        return self.policy.camera

    @property
    def history(self) -> int:
        """Of the policy."""
        return self.policy.history

    @property
    def stride(self) -> int:
        """Of the policy."""
        return getattr(self.policy, "stride", 1)

    @property
    def embodiment(self) -> Embodiment:
        """Of the policy."""
        return self.policy.embodiment


@dataclass(frozen=True)
class Deaf(_Told):
    """A policy that hears nothing, nor when a part of a chain is done: its past would begin anew there."""

    def act(self, observation: Observation, instruction: tuple[str, ...], rng: np.random.Generator) -> ActionChunk:
        """Return what the policy does when it is told nothing."""
        return self.policy.act(observation, ("",) * len(instruction), rng)


@dataclass(frozen=True)
class Captioned(_Told):
    """An atomic policy that the learned captioner tells at every decision which command comes next.

    The captioner names what the present frame shows, with boxes, and understands every wording. A thing that is named
    is steered for by its bearing, where the robot is near it, it stops, and while nothing that is named is in view, it
    turns left. It has no memory: a chain is told part by part, as to the policy alone. Words that the cut between parts
    leaves as no instruction ("later on turn left" may become "on turn left") are told as nothing.
    """

    detector: Detector = field(default_factory=load_detector)

    @property
    def by_parts(self) -> bool:
        """Of the policy."""
        return getattr(self.policy, "by_parts", False)

    def act(self, observation: Observation, instruction: tuple[str, ...], rng: np.random.Generator) -> ActionChunk:
        """Return what the policy does when it is told the captioner's commands."""
        found = self.detector.find(torch.from_numpy(np.ascontiguousarray(observation.image[:, -1])))
        return self.policy.act(observation, tuple(map(next_command, found, instruction)), rng)


def next_command(seen: list[Found], instruction: str) -> str:
    """Return the words of the atomic command that comes next, in a chain for its first part. "" for no instruction."""
    try:
        clause = clauses(parse(instruction))[0]
    except InstructionError:
        return ""
    return nav.VOCABULARY.commands[_command(seen, clause)].phrases[0]


def _command(seen: list[Found], clause: Clause) -> int:
    if isinstance(clause, Do):
        return nav.VOCABULARY.names.index(clause.command)
    things = named(clause)[:1] if isinstance(clause, GoTo) else named(clause)
    if not things:
        return nav.FORWARD  # along a wall
    places = [place for thing in things if (place := _place(seen, thing)) is not None]
    if not places:
        return nav.TURN_LEFT
    ahead, left, radius = np.mean(places, axis=0)
    if isinstance(clause, GoTo | StopBeside) and np.hypot(ahead, left) - radius <= REACH_M:
        return nav.STOP
    return _towards(float(np.arctan2(left, ahead)))


def _place(seen: list[Found], thing: Thing) -> np.ndarray | None:
    """Return centre and radius on the ground of the surest that has the thing's name, None if there is none."""
    for one in seen:
        colour, kind = one.name.split()
        if kind == thing.kind and thing.colour in ("", colour):
            return standing_circles(np.array([one.box]), CAMERA, (1, 1))[0]
    return None


def _towards(bearing: float) -> int:
    if abs(bearing) <= _STRAIGHT:
        return nav.FORWARD
    if abs(bearing) <= _SLIGHT:
        return nav.ADJUST_LEFT if bearing > 0 else nav.ADJUST_RIGHT
    return nav.TURN_LEFT if bearing > 0 else nav.TURN_RIGHT


def guided(policy: Policy) -> Policy:
    """Return a policy of this project for which the instruction counts half as much again."""
    assert isinstance(policy, VlaPolicy)
    return replace(policy, guidance=1.5)


DRIVERS: Mapping[str, Callable[[Policy], Policy]] = {"deaf": Deaf, "captioned": Captioned, "guided": guided}
"""By what an arm says of who tells it what to do."""
