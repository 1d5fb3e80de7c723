"""Names that training never uses, said in words that it does: "the plum-coloured keg" is "the barrel".

What is unknown beside a thing's name is left out: MiniLM does not know which colour "crimson" is nearest to (of 40
words for colours it knows 19), so that better nothing is said of it. What kind a "keg" is, it knows (37 of 40).
"""

import functools
from collections.abc import Iterable, Sequence

import torch

from embodied_cf.language.instruction import SEEN_KINDS
from embodied_cf.policies.nameless import ARTICLES, THING, direction, spoken

_KIND = "a kind of {}"


def names_of(instructions: Iterable[str]) -> tuple[str, ...]:
    """Return the words with which instructions name things, in alphabetical order."""
    words = {word for text in set(instructions) for thing in spoken(text).things for word in thing.split()}
    return tuple(sorted(words - ARTICLES))


class KnownNames:
    """The words with which training names things."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = {*known, *ARTICLES, *THING.split()}
        self._kinds = tuple(kind for kind in SEEN_KINDS if kind in self._known)

    def said(self, thing: str) -> str:
        """Return a noun phrase in known words: itself, if it has no others."""
        *beside, name = thing.split()
        if not self._kinds or self._known.issuperset([*beside, name]):
            return thing
        kept = [word for word in beside if word in self._known]
        return " ".join([*kept, name if name in self._known else _nearest(name, self._kinds)])


@functools.lru_cache(maxsize=1 << 12)
def _nearest(name: str, kinds: tuple[str, ...]) -> str:
    known = torch.stack([direction(_KIND.format(kind)) for kind in kinds])
    return kinds[int((known @ direction(_KIND.format(name))).argmax())]
