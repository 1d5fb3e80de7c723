"""The kinds of labels."""

from typing import Literal, get_args

LabelKind = Literal["hindsight", "atomic", "counterfactual"]
KINDS: tuple[LabelKind, ...] = get_args(LabelKind)
