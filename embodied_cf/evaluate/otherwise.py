"""What else a robot could be told in the scene of a task, and what comes of it when the task is judged."""

from collections.abc import Iterable, Sequence
from dataclasses import fields

import numpy as np

from embodied_cf.datasets.randomness import generator
from embodied_cf.envs.candidates import candidates
from embodied_cf.envs.driving.expert import Expert
from embodied_cf.envs.driving.plans import plan
from embodied_cf.envs.episodes import LONGEST, drive, start_episodes
from embodied_cf.envs.splits import Split
from embodied_cf.envs.state import draw_noise
from embodied_cf.envs.tasks import Task
from embodied_cf.errors import UsageError
from embodied_cf.evaluate.rollout import Drives
from embodied_cf.language.grammar import mirror
from embodied_cf.language.instruction import Chain, Instruction, PassBetween, family, named
from embodied_cf.language.predicate import Program, compile_instruction

_TRIES = 6
"""Other instructions that are looked at."""


def opposite(task: Task) -> Instruction | None:
    """Return the instruction with left and right exchanged, if it then means something else that can be done."""
    return _first_other(task, [mirror(task.instruction)])


def another_target(task: Task, split: Split) -> Instruction | None:
    """Return an instruction of the same kind that is about another thing of the scene (a chain: that ends there)."""
    meant = _targets(_compiled(task, task.instruction))
    return _first_other(task, (one for one in _alternatives(task, split) if _targets(_compiled(task, one)) != meant))


def another_kind(task: Task, split: Split) -> Instruction | None:
    """Return an instruction of the same family but of another kind, about none of the same things; never a chain."""
    told = task.instruction
    if isinstance(told, Chain):
        return None
    found = candidates(task.scene, split, family(told))
    other = [one for one in found if type(one) is not type(told) and set(named(one)).isdisjoint(named(told))]
    order = generator(task.seed, "another kind").permutation(len(other))[:_TRIES]
    return _first_other(task, (other[row] for row in order))


def something_else(task: Task, split: Split) -> Instruction | None:
    """Return the opposite, or where it is the same or cannot be done, an instruction about another thing."""
    return _first_other(task, [mirror(task.instruction), *_alternatives(task, split)])


def drive_otherwise(tasks: Sequence[Task], others: Sequence[Instruction]) -> Drives:
    """Let the expert carry out other instructions than the tasks', by which it is judged: success here is chance.

    Raises UsageError for an instruction that cannot be carried out.
    """
    expert, now = Expert.of([task.scene for task in tasks], others), start_episodes(tasks)
    noise = draw_noise([task.seed for task in tasks], LONGEST)
    poses = [now.state.pose]
    while not now.over.all():
        now = drive(now, expert.act(now.state), noise)
        poses.append(now.state.pose)
    return Drives(now, np.stack(poses, axis=1))


def _alternatives(task: Task, split: Split) -> list[Instruction]:
    """Return a few instructions like the task's, drawn by its seed."""
    instruction, rng = task.instruction, generator(task.seed, "something else")
    if isinstance(instruction, Chain):
        ends = candidates(task.scene, split, "object")
        return [Chain((*instruction.parts[:-1], ends[row])) for row in rng.permutation(len(ends))[: _TRIES // 2]]
    found = candidates(task.scene, split, family(instruction))
    same = [one for one in found if type(one) is type(instruction) and not _share_a_gap(one, instruction)]
    return [same[row] for row in rng.permutation(len(same))[:_TRIES]]


def _share_a_gap(one: Instruction, other: Instruction) -> bool:
    """Whether two gaps lie at one thing: who drives through the one may well have come through the other."""
    if not isinstance(one, PassBetween) or not isinstance(other, PassBetween):
        return False
    return not {one.first, one.second}.isdisjoint({other.first, other.second})


def _first_other(task: Task, options: Iterable[Instruction]) -> Instruction | None:
    """Return the first option that means something else and can be done."""
    meant = _bytes(_compiled(task, task.instruction))
    return next((one for one in options if _bytes(_compiled(task, one)) != meant and can_be_done(task, one)), None)


def can_be_done(task: Task, instruction: Instruction) -> bool:
    """Return whether a way is found to carry an instruction out from the task's start."""
    try:
        plan(task.scene, instruction)
    except UsageError:
        return False
    return True


def _compiled(task: Task, instruction: Instruction) -> Program:
    return compile_instruction(instruction, task.scene.surroundings())


def _targets(program: Program) -> bytes:
    return program.things.tobytes() + program.gaps.tobytes()


def _bytes(program: Program) -> bytes:
    return b"".join(np.ascontiguousarray(getattr(program, item.name)).tobytes() for item in fields(program))
