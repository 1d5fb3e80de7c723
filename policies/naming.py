"""Which of the things that a detector knows a sentence names.

The detector's kinds and colours are words, too, and what words mean is known before training begins: a word that lies
nearer to "chair" or "seat" than to the rest means chairs, whether training says it or not (as open-vocabulary detectors
name their boxes, arXiv 2104.13921). Training moves what does not fit.
"""

from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from embodied_cf.language.instruction import COLOURS, SEEN_KINDS
from embodied_cf.language.phrasing import COLOUR_WORDS, NOUNS, Wording
from embodied_cf.policies.text import Said, TextEncoder, split_words
from embodied_cf.policies.things import NAMES

_SHARP = 30.0
"""Logits per cosine of word and class."""
KIND_ALIKE, _COLOUR_ALIKE = 0.55, 0.7
"""Cosine from which a word names a class: below, it names none. Colours lie close to each other, and rare words for
them not where they should ("crimson" nearest to purple): better any colour than a wrong one."""
_CLASSES = ((SEEN_KINDS, NOUNS, KIND_ALIKE), (COLOURS, COLOUR_WORDS, _COLOUR_ALIKE))
_LEAST = 1e-6


class Naming(nn.Module):
    """Each word names a kind or none, and a colour or none; which words count for which of `NAMES` things is learnt."""

    def __init__(self, text: TextEncoder, width: int) -> None:
        super().__init__()
        self.kind, self.colour = (
            _Classes(text, [own_words(table, name) for name in names], alike) for names, table, alike in _CLASSES
        )
        self.which = nn.Linear(width, 2 * NAMES)

    def forward(self, said: Said) -> tuple[Float[Tensor, "b n k"], Float[Tensor, "b n l"]]:
        """Return the kinds and the colours that each thing may have, in [0, 1]: any, where nothing is said of them."""
        of_kind, of_colour = self.which(said.state).chunk(2, dim=2)
        return _meant(self.kind(said.word), of_kind, said), _meant(self.colour(said.word), of_colour, said)


class _Classes(nn.Module):
    """Of which class a word is, or of none, which comes last."""

    def __init__(self, text: TextEncoder, classes: Sequence[Sequence[str]], alike: float) -> None:
        super().__init__()
        width = text.word_width
        self.logits = nn.Linear(width, len(classes) + 1)
        known = text.meanings(classes)
        self.scale = 1.0 if known is None else width**-0.5  # of entries of about 1, the length is then 1
        if known is not None:
            with torch.no_grad():
                self.logits.weight.copy_(torch.cat([_SHARP * known, 0 * known[:1]]))
                self.logits.bias.copy_(torch.tensor([*[0.0] * len(classes), _SHARP * alike]))

    def forward(self, word: Float[Tensor, "b w e"]) -> Float[Tensor, "b w k"]:
        """Return the chances."""
        return torch.softmax(self.logits(self.scale * word), dim=-1)


def _meant(chance: Float[Tensor, "b w k1"], weight: Float[Tensor, "b w n"], said: Said) -> Float[Tensor, "b n k"]:
    """Return the mean of the words that name any, by weight; what is left of the chance goes to each class alike."""
    evidence = (1 - chance[..., -1:]) * said.there[..., None]
    attention = torch.softmax(weight + torch.log(evidence + _LEAST), dim=1)
    mean = torch.einsum("bwn,bwk->bnk", attention, chance[..., :-1] * said.there[..., None])
    return mean + 1 - mean.sum(2, keepdim=True)


def own_words(table: dict[str, Wording], name: str) -> list[str]:
    """Return the words that training uses for one of a table's names and for no other."""
    words = {one: dict.fromkeys(word for text in wording.train for word in split_words(text))
             for one, wording in table.items()}  # fmt: skip
    count = Counter(word for own in words.values() for word in own)
    return [word for word in words[name] if count[word] == 1]
