"""What is kept apart for testing: layouts by seed, names of things by a fixed rule, and phrasings.

A colour and a kind that are never seen together in training, though each is seen with others, make a held-out
name. The rule is a Latin pattern, so that every kind and every colour has names in each split.
"""

from typing import Literal, TypeAlias

from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import COLOURS, KINDS, Thing

Split: TypeAlias = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def as_split(name: str) -> Split:
    """Return the split of a name. Raises UsageError for an unknown one."""
    for split in SPLITS:
        if name == split:
            return split
    raise UsageError(f"unknown split {name!r}", remedy=f"Choose one of {', '.join(SPLITS)}.")


def split_of(colour: int, kind: int) -> Split:
    """Return the split that holds the name (index into COLOURS, index into KINDS)."""
    residue = (kind + 2 * colour) % 5
    return "dev" if residue == 0 else "test" if residue == 1 else "train"


def is_fresh(thing: Thing, split: Split) -> bool:
    """Return whether a thing may be an episode's target in a split: its name belongs to that split.

    Without a colour, or for a noun that is no object (a door), nothing is held out.
    """
    if not thing.colour or thing.kind not in KINDS:
        return True
    return split_of(COLOURS.index(thing.colour), KINDS.index(thing.kind)) == split


def uses_held_out_phrasing(split: Split) -> bool:
    """Return whether instructions of a split are worded as never in training."""
    return split != "train"
