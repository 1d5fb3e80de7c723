"""The captioner that looks at no pixels: the motion itself and the words that the dataset already has."""

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
    """Says what was done, in command phrases over windows of segments, and repeats the dataset's own texts."""

    vocabulary: Vocabulary
    seed: int = 0
    longest: int = 3
    """Commands that one instruction chains at most."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {"captioner": "motion", "longest": self.longest}

    async def caption(self, episode: Episode, segments: Segments) -> Captions:
        """Return the dataset's texts and chained command phrases that cover every labelled step."""
        rng = generator(self.seed, episode.episode_id, "motion captioner")
        last = len(episode) - 1
        own = [
            Hindsight(span.start, min(span.end, last), span.text, 1.0, "text of the dataset", given=True)
            for span in episode.language
            if span.text and span.start < last
        ]
        return Captions((*own, *self._chains(segments.runs(), rng)))

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
