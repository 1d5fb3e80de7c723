"""New wordings, read as the nearest one that training uses: "pay the golden drum a visit" as "go to the drum".

Nearest in MiniLM's space, by the words as a whole and by their mean, among those with as many things and the same
sides. A network that has learned what a few wordings mean need not guess what lies between them.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.language.instruction import COLOURS
from embodied_cf.language.phrasing import COLOUR_WORDS
from embodied_cf.policies.frozen_text import frozen_sentences
from embodied_cf.policies.nameless import THING, Spoken, direction, likeness, spoken, word_kind
from embodied_cf.policies.names import KnownNames
from embodied_cf.policies.naming import own_words
from embodied_cf.policies.text import split_words

_MOST = 4096
"""Wordings that are known, at most: the most frequent."""
_NEAR, _THING = 0.4, 0.35
"""Cosine below which no wording is near, and no word can be a thing."""


def wordings_of(instructions: Iterable[str]) -> tuple[str, ...]:
    """Return the wordings of instructions in alphabetical order, their things without names."""
    count = Counter(spoken(text).wording for text in instructions if text)
    return tuple(sorted(wording for wording, _ in count.most_common(_MOST)))


class KnownWordings:
    """The wordings of training."""

    def __init__(self, known: Sequence[str], names: Sequence[str] = ()) -> None:
        self._names = KnownNames(names)
        self._known = [Spoken(wording, ()) for wording in known]
        self._set = set(known)
        self._vectors: dict[tuple[int, frozenset[str]], Tensor] = {}
        self._heard: dict[str, tuple[float, str]] = {}

    def __deepcopy__(self, memo: dict) -> "KnownWordings":
        """Return itself: it does not change but by what it remembers."""
        return self

    def heard(self, text: str) -> str:
        """Return what is read instead of a text: itself, or the nearest known wording, its things in known words."""
        if not self._known:
            return text
        said = spoken(text)
        if said.wording in self._set:
            if all(self._names.said(thing) == thing for thing in said.things):
                return text
        else:
            options = [self._nearest(one) for one in (said, spoken(text, self._word_kind))]
            cosine, said = max(options, key=lambda option: option[0])
            if cosine < _NEAR:
                return text
        return said.filled(self._names.said)

    def _nearest(self, said: Spoken) -> tuple[float, Spoken]:
        """Return the nearest known wording with the things that were said, and its cosine."""
        if said.wording not in self._heard:
            self._heard[said.wording] = self._looked_up(said)
        cosine, wording = self._heard[said.wording]
        return cosine, said._replace(wording=wording)

    def _looked_up(self, said: Spoken) -> tuple[float, str]:
        shape = said.num_things, said.sides
        like = [one.wording for one in self._known if (one.num_things, one.sides) == shape]
        if not like:
            return -1.0, said.wording
        if shape not in self._vectors:  # thousands of wordings are of shapes that nobody asks for
            self._vectors[shape] = _vectors(like)
        cosine, best = (self._vectors[shape] @ _vectors([said.wording])[0]).max(dim=0)
        return float(cosine), like[int(best)]

    def _word_kind(self, word: str) -> str:
        """Return what a word may be: who is not sure of a thing ("pylon") compares with the words of wordings."""
        kind = word_kind(word)
        if kind != "w" or likeness(word) < _THING:
            return kind
        return "t" if likeness(word) > float((self._words @ direction(word)).max()) else "w"

    @functools.cached_property
    def _words(self) -> Float[Tensor, "w e"]:
        """What the words of known wordings mean, and colours: what names no thing."""
        words = {word for one in self._known for word in one.wording.replace(THING, "").split() if word.isalnum()}
        words |= {word for name in COLOURS for word in own_words(COLOUR_WORDS, name)}
        return torch.stack([direction(word) for word in sorted(words)])


def _vectors(wordings: Sequence[str]) -> Float[Tensor, "n e2"]:
    """Return what wordings mean as a whole, and on the mean of their words."""
    frozen = frozen_sentences()
    means = [torch.stack([frozen.embedding(word) for word in split_words(one) or [","]]).mean(0) for one in wordings]
    whole = frozen.directions([one or "," for one in wordings])
    return torch.cat([whole, F.normalize(torch.stack(means), dim=1)], dim=1) / 2**0.5
