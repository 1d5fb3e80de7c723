"""What an arm of the comparison is: labels in shares, settings of training, and who tells the policy what to do."""

from dataclasses import dataclass

from embodied_cf.evaluate.demo import ARMS as DEMO
from embodied_cf.evaluate.demo import OURS

LABELLED, LEARNED, CAST, EXACT = "labelled", "learned", "cast", "exact"
DEMOS, EXACT_DEMOS = "demos", "exact-demos"
SINGLE, SPARSE, COMMANDS, BELIEVED, UNTURNED = "single", "sparse", "commands", "believed", "unturned"
"""Datasets, see `benchmarks.cast.data`."""
DECISION, MATCHED = "decision", "matched"
"""Label sets, beside the default one."""


@dataclass(frozen=True)
class Share:
    """A part of the samples: labels of one kind, of one label set of one dataset."""

    data: str
    kind: str
    weight: float
    """Relative to the other parts'."""
    label_set: str = "labels"
    min_score: float = 0.0
    """Labels of a lower score are left out."""
    stop_at_end: bool = False
    """Whether robots stand where hindsight rows end."""


@dataclass(frozen=True)
class Arm:
    """One way of making a policy."""

    name: str
    what: str
    """In words, for the tables."""
    shares: tuple[Share, ...]
    """None for who is not trained."""
    settings: tuple[str, ...] = ()
    """Of training, beside those of all arms."""
    driver: str = ""
    """Who tells it what to do when it drives (`benchmarks.cast.drivers.DRIVERS`); "": it hears the instruction."""
    trained_as: str = ""
    """The arm whose training it shares; "": its own."""
    ablation: bool = False
    """Whether it is there to tell what a part of `embodied-cf` is worth."""

    @property
    def trained(self) -> bool:
        """Whether there is a policy to train."""
        return bool(self.shares)

    @property
    def logs(self) -> bool:
        """Whether what it learns depends on the logs, and so on their bias."""
        return any(share.data not in (DEMOS, EXACT_DEMOS) for share in self.shares)


def mix(
    data: str,
    *,
    extra: str = "labels",
    shares: tuple[float, float, float] = DEMO[OURS],
    min_score: float = 0.0,
) -> tuple[Share, ...]:
    """Return hindsight labels of a dataset and rows with chunks of their own, in the shares of `embodied-cf`."""
    told, _, otherwise = shares
    done = Share(data, "hindsight", told, stop_at_end=True)
    parts = done, Share(data, "counterfactual", otherwise, extra, min_score)
    return tuple(part for part in parts if part.weight)
