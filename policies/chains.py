"""Chains of instructions, taken apart: "go to the box; afterwards, stop left of the chair" is told in two parts.

A robot that is told one part after another, each until it stands, needs not remember how far it is. Where a part ends
is heard, not looked up: words that mean about what "then" or "first" mean, by frozen MiniLM vectors, and more so than
what any instruction means, end one part and begin another.
"""

import functools
import re

import torch
from jaxtyping import Float
from torch import Tensor

from embodied_cf.language import connectives, nav, phrasing
from embodied_cf.policies.nameless import direction

_PIECE = re.compile(r"[^,;.:]+|[,;.:]")
_ALWAYS = {";", "."}
"""Pauses that end a part whatever follows."""
_THEN = re.compile(r"\b(?:and )?then\b")
_ALIKE, _LONGEST = 0.35, 5
"""Cosine from which a phrase is taken for a connective, and its most words."""
_OPENING_ALIKE, _OPENING_WORDS = 0.55, 3
"""The same of words with which a phrase begins."""
_NEXT_TO = ("to", "of")
"""Words before which what sounds like a connective is a place: "next to the chair"."""


def parts_of_chain(text: str) -> tuple[str, ...]:
    """Return the parts of an instruction, in order; one part is the text itself.

    >>> parts_of_chain("first, go to the red box; afterwards, stop left of the chair")
    ('go to the red box', 'stop left of the chair')
    """
    parts: list[list[str]] = [[]]
    for phrase, ends in _phrases(text):
        said, begins = _without_opening(phrase)
        if parts[-1] and (ends or begins):
            parts.append([])
        if said:
            parts[-1].append(said)
    found = tuple([", ".join(part) for part in parts if part])
    return found if len(found) > 1 else (text,)


def _phrases(text: str) -> list[tuple[str, bool]]:
    """Return what stands between pauses, and whether a part ends before it in any case."""
    found, ends = [], False
    for piece in _PIECE.findall(text.lower()):
        if piece in ",;.:":
            ends = ends or piece in _ALWAYS
            continue
        first, *rest = _THEN.split(piece)
        for number, phrase in enumerate([first, *rest]):
            if phrase.strip():
                found.append((phrase.strip(), ends or number > 0))
                ends = False
            elif number == 0 and rest:
                ends = True
    return found


@functools.lru_cache(maxsize=4096)
def _without_opening(phrase: str) -> tuple[str, bool]:
    """Return a phrase without the connective with which it begins, "" if it is one, and whether there was any."""
    words = phrase.split()
    if len(words) <= _LONGEST and _likeness(phrase) >= _ALIKE:
        return "", True
    counts = _openings(words)
    alike = [_likeness(" ".join(words[:count])) for count in counts]
    if not alike or max(alike) < _OPENING_ALIKE:
        return phrase, False
    return " ".join(words[counts[alike.index(max(alike))] :]), True


def _openings(words: list[str]) -> list[int]:
    """Return how many words of a phrase may be a connective, with which it begins."""
    counts = range(1, min(_OPENING_WORDS, len(words) - 1) + 1)
    return [count for count in counts if words[count] not in _NEXT_TO and words[count - 1] not in _NEXT_TO]


def _likeness(phrase: str) -> float:
    """Return how near words lie to a connective; 0 where they lie nearer to an instruction."""
    joins, asks = (float((known @ direction(phrase)).max()) for known in _known())
    return joins if joins >= asks else 0.0


@functools.cache
def _known() -> tuple[Float[Tensor, "n e"], Float[Tensor, "m e"]]:
    """Return the meanings of the connectives, and of the instructions, of which training texts are made."""
    joins = {text.strip(" ,;.:") for one in connectives.TRAIN for text in (one.joint, one.opening)} - {""}
    wordings = (phrasing.GO_TO, phrasing.GO_TO_NEAR, phrasing.STOP_BESIDE, phrasing.PASS_BETWEEN, phrasing.FOLLOW_WALL,
                phrasing.KEEP_SIDE, phrasing.ARC_AROUND)  # fmt: skip
    blanks = dict.fromkeys(("thing", "near", "first", "second"), "it") | {"side": "left", "other": "right"}
    asks = {text.format(**blanks) for wording in wordings for text in wording.train}
    asks |= {text for command in nav.VOCABULARY.commands for text in command.phrases}
    first, second = (torch.stack([direction(text) for text in sorted(texts)]) for texts in (joins, asks))
    return first, second
