"""A reader of instructions that knows what whole phrases mean, whichever things they name."""

import functools
import re
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from embodied_cf.policies.frozen_text import MINILM_WIDTH
from embodied_cf.policies.naming import CLASSES, own_words
from embodied_cf.policies.text import LONGEST, MiniLmWordEncoder, Said, split_words

_PAUSE = re.compile(r"[,;.:]")
_THING = "thing"
_NOUN_PHRASE = re.compile(rf"\b(?:the|an?|that) (?:(?!(?:the|an?|that)\b)\w+ ){{0,3}}?{_THING}(?: {_THING})*\b")
"""An article, up to three words that name no class, and the thing, in one word or several."""


class MiniLmPhraseEncoder(MiniLmWordEncoder):
    """Frozen MiniLM vectors of single words, and after the words of each phrase that of the whole, in which things have
    no names: "pay the thing a visit" lies near "go to the thing", though none of its words does.

    A phrase ends with a pause. So there are few, however many things and chains are spoken of, and each is read once.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.phrase = nn.Sequential(nn.Linear(MINILM_WIDTH, width), nn.ReLU(), nn.Linear(width, width))
        self._instead: dict[str, str] = {}

    def read(self, said: Sequence[str]) -> Said:
        """Return what the sentences say, word by word and phrase by phrase; a phrase names no class."""
        spoken = [list(self._parts(text)) for text in said]
        words, phrases = (
            sorted({part for one in spoken for part in one if part[1] is whole}) for whole in (False, True)
        )
        known, heard = (
            torch.stack([self._frozen.embedding(text) for text, _ in some]).to(self.nothing)
            for some in (words, phrases)
        )
        place = {part: row for row, part in enumerate([*words, *phrases])}
        tokens = torch.cat([self.project(known), self.phrase(heard)])
        return self.order(tokens, [[place[part] for part in one] for one in spoken], torch.cat([known, 0 * heard]))

    def nameless(self, words: Sequence[str]) -> str:
        """Return a phrase without the names of things.

        ["look", "for", "the", "red", "chair"] is "look for the thing".
        """
        return _NOUN_PHRASE.sub(f"the {_THING}", " ".join(filter(None, map(self._without_name, words))))

    def _parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """Yield the words and, after its words, each phrase (told by True)."""
        left = LONGEST
        for words in map(split_words, _PAUSE.split(text)) if split_words(text) else [[","]]:
            if words[:left]:
                yield from ((word, False) for word in words[:left])
                yield self.nameless(words[:left]) or ",", True
            left -= len(words[:left])

    def _without_name(self, word: str) -> str:
        if word not in self._instead:
            vector = nn.functional.normalize(self._frozen.embedding(word), dim=0)
            alike = [float((means @ vector).max()) >= least for means, least in self._directions]
            self._instead[word] = _THING if alike[0] else "" if alike[1] else word
        return self._instead[word]

    @functools.cached_property
    def _directions(self) -> list[tuple[Float[Tensor, "n e"], float]]:
        """Return the meanings of kinds and of colours, and how near a word lies to one that names it."""
        return [(self.meanings([own_words(table, name) for name in names]), alike) for names, table, alike in CLASSES]
