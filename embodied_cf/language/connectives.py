"""How clauses are chained in words, and how such a chain is taken apart again."""

import re
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True)
class Connective:
    """Words before the first clause and between two clauses, with their spaces and commas."""

    joint: str
    opening: str = ""


CANONICAL = Connective(", then ")
TRAIN = (
    CANONICAL,
    Connective(" and then "),
    Connective(", then ", "first "),
    Connective("; after that, "),
    Connective(", and after that "),
    Connective(", next, ", "first, "),
    Connective("; afterwards, "),
    Connective(". then "),
)
HELD_OUT = (
    Connective("; subsequently, ", "to begin with, "),
    Connective(", and once that is done, "),
    Connective("; when you have finished, "),
    Connective(", later on ", "initially "),
    Connective(", followed by this: ", "do this: "),
)


def _alternatives(texts: chain[str]) -> str:
    words = {text.strip(" ,;.:") for text in texts} - {""}
    return "|".join(re.escape(text) for text in sorted(words, key=len, reverse=True))


_ALL = (*TRAIN, *HELD_OUT)
_OPENING = re.compile(rf"^(?:{_alternatives(chain(each.opening for each in _ALL))})\b\s*[,:]?\s+")
# "next to" is no connective
_JOINT = re.compile(
    rf"\s*[,;.]?\s*\b(?:{_alternatives(chain(each.joint for each in _ALL))})\b(?!\s+to\b)\s*[,:]?\s*|\s*;\s*"
)


def join(clauses: tuple[str, ...], connective: Connective = CANONICAL) -> str:
    """Return the chain of clauses in words; one clause alone is itself."""
    return connective.opening * (len(clauses) > 1) + connective.joint.join(clauses)


def split(text: str) -> list[str]:
    """Return the clauses of a normalised text: the inverse of `join` for every connective."""
    return _JOINT.split(_OPENING.sub("", text))
