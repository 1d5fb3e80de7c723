"""What is said, apart from the names of things in it: "pay the golden drum a visit" is "pay the thing a visit".

Which words name things MiniLM tells (`policies.naming`), whether training uses them or not.
"""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from embodied_cf.language.instruction import SEEN_KINDS
from embodied_cf.language.phrasing import NOUNS
from embodied_cf.policies.frozen_text import frozen_sentences
from embodied_cf.policies.naming import KIND_ALIKE, own_words
from embodied_cf.policies.text import split_words

_ANY = "thing"
THING = f"the {_ANY}"
ARTICLES = {"the", "a", "an", "that"}
_PLACES = ("wall", "corridor", "hallway", "room", "gap", "side")
"""Parts of a scene that are no things, however near to "doorway" they lie."""
_NOUN_PHRASE = re.compile(r"a[wt]{0,4}t")
"""An article and up to five words, the last of which names a thing."""


class Spoken(NamedTuple):
    """Words and what they are about."""

    wording: str
    """Words in which things are called THING."""
    things: tuple[str, ...]
    """The noun phrases that were there instead, in order."""

    @property
    def num_things(self) -> int:
        """How many things it is about."""
        return self.wording.count(THING)

    @property
    def sides(self) -> frozenset[str]:
        """Sides that it names."""
        return frozenset(self.wording.split()) & {"left", "right"}

    def filled(self, name: Callable[[str], str] = str) -> str:
        """Return the words with their things, each as `name` calls it."""
        first, *rest = self.wording.split(THING)
        return first + "".join(name(thing) + part for thing, part in zip(self.things, rest, strict=True))


def spoken(text: str, kind_of: Callable[[str], str] | None = None) -> Spoken:
    """Return what a text says; `kind_of` a word as `word_kind`, which it is without.

    >>> spoken("go between the red box and a seat")
    Spoken(wording='go between the thing and the thing', things=('the red box', 'a seat'))
    """
    words = split_words(text)
    kinds = "".join(map(kind_of or word_kind, words))
    parts, things, end = list[str](), list[str](), 0
    for found in _NOUN_PHRASE.finditer(kinds):
        parts += [*words[end : found.start()], THING]
        things.append(" ".join(words[found.start() : found.end()]))
        end = found.end()
    return Spoken(" ".join([*parts, *words[end:]]), tuple(things))


@functools.lru_cache(maxsize=1 << 14)
def word_kind(word: str) -> str:
    """Return a letter: a for an article, t for a thing, p for a pause, w for another word."""
    if word in ARTICLES:
        return "a"
    if word == _ANY:
        return "t"
    if not word[0].isalnum():
        return "p"
    thing = likeness(word)
    return "t" if thing >= KIND_ALIKE and thing > float((_places() @ direction(word)).max()) else "w"


def likeness(word: str) -> float:
    """Return how near a word lies to one that names a kind of things: the cosine."""
    return float((_kinds() @ direction(word)).max())


def direction(text: str) -> Float[Tensor, " e"]:
    """Return the meaning of words, of length 1."""
    return nn.functional.normalize(frozen_sentences().embedding(text), dim=0)


@functools.cache
def _kinds() -> Float[Tensor, "n e"]:
    return frozen_sentences().meanings([own_words(NOUNS, name) for name in SEEN_KINDS])


@functools.cache
def _places() -> Float[Tensor, "n e"]:
    return torch.stack([direction(word) for word in _PLACES])
