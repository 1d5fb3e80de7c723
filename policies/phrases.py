"""A reader of instructions that knows what whole phrases mean, whichever things they name."""

import re
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from embodied_cf.policies.frozen_text import MINILM_WIDTH
from embodied_cf.policies.nameless import spoken
from embodied_cf.policies.text import LONGEST, MiniLmWordEncoder, Said, split_words
from embodied_cf.policies.wordings import KnownWordings

_PAUSE = re.compile(r"[,;.:]")


class MiniLmPhraseEncoder(MiniLmWordEncoder):
    """Frozen MiniLM vectors of single words, and after the words of each phrase that of the whole, in which things have
    no names: "pay the thing a visit" lies near "go to the thing", though none of its words does.

    A phrase ends with a pause. So there are few, however many things and chains are spoken of, and each is read once.
    What is said in a wording that is not `known` is read in the nearest that is (`policies.wordings`).
    """

    def __init__(self, width: int, known: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        super().__init__(width)
        self.phrase = nn.Sequential(nn.Linear(MINILM_WIDTH, width), nn.ReLU(), nn.Linear(width, width))
        self.wordings = KnownWordings(known, names)

    def read(self, said: Sequence[str]) -> Said:
        """Return what the sentences say, word by word and phrase by phrase; a phrase names no class."""
        parts = [list(self._parts(self.wordings.heard(text))) for text in said]
        words, phrases = (
            sorted({part for one in parts for part in one if part[1] is whole}) for whole in (False, True)
        )
        known, heard = (
            torch.stack([self._frozen.embedding(text) for text, _ in some]).to(self.nothing)
            for some in (words, phrases)
        )
        place = {part: row for row, part in enumerate([*words, *phrases])}
        tokens = torch.cat([self.project(known), self.phrase(heard)])
        return self.order(tokens, [[place[part] for part in one] for one in parts], torch.cat([known, 0 * heard]))

    def _parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """Yield the words and, after its words, each phrase (told by True)."""
        left = LONGEST
        for words in map(split_words, _PAUSE.split(text)) if split_words(text) else [[","]]:
            if words[:left]:
                yield from ((word, False) for word in words[:left])
                yield spoken(" ".join(words[:left])).wording or ",", True
            left -= len(words[:left])
