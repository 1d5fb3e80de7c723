"""How often a wording that training never uses lies nearest to training's wordings of the same kind, in MiniLM's space.

    python -m benchmarks.new_wordings

Things have no names ("the thing"). A phrase is compared as a whole (as `policies.phrases` hears it), and as the mean of
its words. Nearest is the kind with the highest mean cosine of its three nearest wordings; left and right are one kind.
Last, how many are read as a wording of their kind (`policies.wordings`), sides included.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that everybody knows

from embodied_cf.language import nav, phrasing
from embodied_cf.language.phrasing import Wording
from embodied_cf.policies.frozen_text import frozen_sentences
from embodied_cf.policies.nameless import spoken
from embodied_cf.policies.text import split_words
from embodied_cf.policies.wordings import KnownWordings

CLAUSES = ("GO_TO", "GO_TO_NEAR", "STOP_BESIDE", "PASS_BETWEEN", "FOLLOW_WALL", "KEEP_SIDE", "ARC_AROUND")
_NEAREST = 3


def main() -> None:
    for name, embed in (("whole phrases", _whole), ("mean of words", _mean)):
        right, count = score(kinds(), embed)
        print(f"{name}: {right} of {count}")
    print("read as a known wording of the kind: {} of {}".format(*heard_right(kinds())))


def kinds() -> Mapping[str, Wording]:
    """Return every kind of clause, with its things and sides filled in."""
    told = {name: _filled(getattr(phrasing, name)) for name in CLAUSES}
    for one in nav.VOCABULARY.commands:
        kind = one.name.removesuffix("_left").removesuffix("_right")
        known = told.get(kind, Wording(()))
        told[kind] = Wording(known.train + one.phrases, known.held_out + one.held_out)
    return told


def _filled(wording: Wording) -> Wording:
    sides = (("left", "right"), ("right", "left")) if "{side}" in wording.train[0] else (("", ""),)
    things = dict.fromkeys(("thing", "near", "first", "second"), "the thing")

    def each(texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(text.format(side=side, other=other, **things) for side, other in sides for text in texts)

    return Wording(each(wording.train), each(wording.held_out))


def score(told: Mapping[str, Wording], embed: Callable[[str], Tensor]) -> tuple[int, int]:
    """Return how many held-out wordings lie nearest to their own kind, and how many there are."""
    known = [torch.stack([embed(text) for text in wording.train]) for wording in told.values()]
    right = count = 0
    for row, wording in enumerate(told.values()):
        for text in wording.held_out:
            near = torch.stack([(one @ embed(text)).topk(_NEAREST).values.mean() for one in known])
            right, count = right + int(near.argmax() == row), count + 1
    return right, count


def heard_right(told: Mapping[str, Wording]) -> tuple[int, int]:
    """Return how many held-out wordings are read as one of their own kind, and how many there are."""
    named = {name: [(*map(_named, texts),) for texts in (one.train, one.held_out)] for name, one in told.items()}
    kind_of = {spoken(text).wording: name for name, (train, _) in named.items() for text in train}
    known = KnownWordings(tuple(kind_of))
    each = [(name, known.heard(text)) for name, (_, held_out) in named.items() for text in held_out]
    return sum(kind_of.get(spoken(text).wording) == name for name, text in each), len(each)


def _named(text: str) -> str:
    return text.replace("the thing", "the red box")


def _whole(text: str) -> Tensor:
    return F.normalize(frozen_sentences().embedding(text), dim=0)


def _mean(text: str) -> Tensor:
    return F.normalize(torch.stack([frozen_sentences().embedding(word) for word in split_words(text)]).mean(0), dim=0)


if __name__ == "__main__":
    main()
