"""From relabelled datasets to batches: sources, their cache, the mixture, augmentation.

>>> stream = Stream((Source.parse("data/1.0.0"),), size=(64, 64), batch_size=64, seed=0)  # doctest: +SKIP
>>> for batch in stream.batches(epoch=0):  # doctest: +SKIP
...     image = torch.from_numpy(batch.image)
"""

from embodied_cf.datasets.streams.augment import Augmentation, ColourJitter, HorizontalShift, Mirror, RandomCrop, View
from embodied_cf.datasets.streams.mixture import Stream
from embodied_cf.datasets.streams.reader import FrameReader
from embodied_cf.datasets.streams.sources import Source

__all__ = [
    "Augmentation",
    "ColourJitter",
    "FrameReader",
    "HorizontalShift",
    "Mirror",
    "RandomCrop",
    "Source",
    "Stream",
    "View",
]
