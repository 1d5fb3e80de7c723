"""What goes wrong while a hand moves over a table, by MuJoCo's contacts and by where things end up.

Bad is, of things that the hand did not hold to begin with: one falls off the table; one is moved by more than MOVED_M
from where it would be had the hand kept still (what the fingers close on may move); something pushes back on the hand,
or on what it holds, by more than PRESS_N, and more than it did already, at the end of a control period, when the hand
has come to rest. And what it holds is lost, unless it was told to open.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from embodied_cf.envs.physics.library import load_mujoco
from embodied_cf.envs.tabletop.dynamics import Table, TableRun, TableState
from embodied_cf.envs.tabletop.goals import FALLEN_M
from embodied_cf.envs.tabletop.model import FINGERS, THING

PRESS_N = 5.0
"""Sliding a thing takes 1 to 3 N, tipping a can over 5, squeezing a ball away 10 to 20; the drives give way at 60."""
MOVED_M = 0.01
FELL, PRESSED, LOST, MOVED = "something fell off the table", "pressed", "lost what it held", "moved a thing"


@dataclass(frozen=True)
class Contact:
    """Two bodies that touch."""

    bodies: frozenset[str]
    normal: Float64[np.ndarray, " 3"]
    """From whichever MuJoCo names first."""
    first: str
    force: float
    """Along the normal, N."""


@dataclass(frozen=True)
class Touch:
    """What the hand touches at one instant."""

    held: frozenset[str]
    """Things between its fingers."""
    press: float
    """Normal forces on the hand and what it holds by all else, N."""

    @staticmethod
    def of(table: Table, state: TableState) -> "Touch":
        """Look at a state of a table."""
        contacts = tuple(_contacts(table.model, table.scratch(state)))
        held = frozenset(name for name in _things(table) if _is_gripped(name, contacts))
        hand = frozenset({"hand", *(f"{side} finger" for side in FINGERS)}) | held
        outside = [contact.force for contact in contacts if len(contact.bodies & hand) == 1]
        return Touch(held, sum(outside))


def harm(table: Table, run: TableRun, still: TableRun, opens: bool) -> str:
    """Return what goes wrong in a run, "" if nothing does; `still` is as long a run of a hand that keeps still."""
    begin, *after = (Touch.of(table, state) for state in run.states)
    moved = _moved(run, still)
    free = moved.keys() - begin.held - after[-1].held
    if any((place.position[:, 2] < FALLEN_M).any() for place in run.instants[1:]):
        return FELL
    if begin.held - after[-1].held and not opens:
        return LOST
    if max(touch.press for touch in after) > max(PRESS_N, begin.press):
        return PRESSED
    return MOVED if any(moved[name] > MOVED_M for name in free) else ""


def _moved(run: TableRun, still: TableRun) -> dict[str, float]:
    """Return for each thing how far from where it would be it ends up, m."""
    apart = np.linalg.norm(run.instants[-1].position - still.instants[-1].position, axis=1)
    return {THING.format(index): distance for index, distance in enumerate(apart.tolist())}


def _things(table: Table) -> list[str]:
    return [THING.format(index) for index in range(len(table.layout.kind))]


def _contacts(model: Any, data: Any) -> Iterator[Contact]:
    library, force = load_mujoco(), np.zeros(6)
    for index in range(data.ncon):
        contact = data.contact[index]
        names = [model.body(model.geom_bodyid[geom]).name for geom in (contact.geom1, contact.geom2)]
        library.mj_contactForce(model, data, index, force)
        yield Contact(frozenset(names), contact.frame[:3].copy(), names[0], float(force[0]))


def _is_gripped(thing: str, contacts: tuple[Contact, ...]) -> bool:
    """Return whether both fingers touch a thing from opposite sides."""
    sides = [_push(thing, f"{name} finger", contacts) for name in FINGERS]
    return bool(sides[0] @ sides[1] < 0)


def _push(thing: str, finger: str, contacts: tuple[Contact, ...]) -> Float64[np.ndarray, " 3"]:
    """Return the force of a finger on a thing along their normals, N."""
    pair = frozenset({thing, finger})
    pushes = [one.force * one.normal * (1 if one.first == finger else -1) for one in contacts if one.bodies == pair]
    return np.sum([np.zeros(3), *pushes], axis=0)
