"""The captioner that looks at no pixels: it says the motion itself in words."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.randomness import generator
from embodied_cf.language.segments import Segments
from embodied_cf.language.vocabulary import Vocabulary
from embodied_cf.vlm.captions import Captions, Hindsight


@dataclass(frozen=True)
class MotionCaptioner:
    """Says what was done, in command phrases over windows of segments."""

    vocabulary: Vocabulary
    seed: int = 0
    longest: int = 3
    """Commands that one instruction chains at most."""
    share: float = 1.0
    """Share of what could be said that is said."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {"captioner": "motion", "longest": self.longest, "share": self.share}

    async def caption(self, episode: Episode, segments: Segments) -> Captions:
        """Return chained command phrases that cover every step which has a command, or a share of them."""
        told = [*self._chains(segments.runs(), generator(self.seed, episode.episode_id, "motion captioner"))]
        draws = generator(self.seed, episode.episode_id, "what is said of the motion").random(len(told))
        return Captions(tuple([one for one, draw in zip(told, draws.tolist(), strict=True) if draw < self.share]))

    def _chains(self, runs: list[tuple[int, int, str]], rng: np.random.Generator) -> Iterator[Hindsight]:
        picks = rng.random((len(runs), self.longest))
        for first in range(len(runs)):
            window = runs[first : first + self.longest]
            chain = [command for _, _, command in window]
            chain = chain[: chain.index("")] if "" in chain else chain
            for length in sorted({1, len(chain)} - {0}) if chain else ():
                names = chain[:length]
                phrases = [self.vocabulary.phrases[self.vocabulary.index[name]] for name in names]
                choice = [int(pick * len(options)) for pick, options in zip(picks[first], phrases, strict=False)]
                text = self.vocabulary.compose(names, choice)
                yield Hindsight(window[0][0], window[length - 1][1], text, 1.0, "motion")
