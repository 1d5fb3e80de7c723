"""An episode as far as it can be read, whatever is wrong with the rest, and which of its features is what."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.features import STEPS, Features
from embodied_cf.datasets.label_store import set_names, step_text_key
from embodied_cf.errors import RecordError

_LANGUAGE = re.compile(r"instruction|language|caption|command|(^|[/_])(task|goal|prompt)s?($|[/_])")


@dataclass(frozen=True)
class EpisodeView:
    """An episode as far as it can be read: what does not decode stands in `unreadable`, with the reason."""

    steps: int
    """What most per-step features agree on."""
    numbers: Mapping[str, np.ndarray]
    """Numeric per-step features, (T, ...)."""
    texts: Mapping[str, Sequence[Sequence[str]]]
    """Per-step texts: for each step its slots, one unless the feature holds several."""
    images: Mapping[str, Sequence[memoryview]]
    facts: Mapping[str, bool]
    """Boolean episode metadata."""
    unreadable: Mapping[str, str]
    uneven: Mapping[str, int]
    """Per-step features of another length, with that length; they are in no other field."""


def view_episode(columns: Columns, features: Features) -> EpisodeView:
    """Decode whatever can be decoded of an episode; label sets are left to `check_labels`."""
    own = {step_text_key(name) for name in set_names(features)}
    values: dict[str, Any] = {}
    facts, unreadable = {}, {}
    for key, leaf in sorted(features.items()):  # TFDS reads features.json in an order of its own
        if key in own or not (leaf.per_step or leaf.dtype == "bool") or key.startswith("labels"):
            continue
        try:
            value = columns.array(key)
        except RecordError as error:
            unreadable[key] = error.what
            continue
        if leaf.per_step:
            values[key] = value
        elif isinstance(value, np.ndarray) and value.ndim == 0:
            facts[key] = bool(value)
    steps = _most_common([len(value) for value in values.values()])
    even = {key: value for key, value in values.items() if len(value) == steps}
    return EpisodeView(
        steps,
        {k: v for k, v in even.items() if isinstance(v, np.ndarray) and None not in features[k].shape[1:]},
        {k: [_slots(step) for step in v] for k, v in even.items() if features[k].role == "text"},
        {k: v for k, v in even.items() if features[k].role == "image" and _one_a_step(v)},
        facts,
        unreadable,
        {key: len(value) for key, value in values.items() if len(value) != steps},
    )


def _most_common(lengths: Sequence[int]) -> int:
    # ties go to the greater length: a truncated feature is likelier than an extended one
    return max(lengths, key=lambda length: (lengths.count(length), length), default=0)


def _one_a_step(frames: Sequence[Any]) -> bool:
    """Whether a step has one picture, not a list of them."""
    return not any(isinstance(frame, list) for frame in frames)


def _slots(step: memoryview | list) -> list[str]:
    if isinstance(step, list):
        return [text for part in step for text in _slots(part)]
    return [bytes(step).decode("utf-8", "replace")]


def language_keys(features: Features) -> list[str]:
    """Return the per-step text features that read like instructions, label sets' own texts left out."""
    own = {step_text_key(name) for name in set_names(features)}
    return sorted(
        key for key, leaf in features.items()
        if leaf.per_step and leaf.role == "text" and key not in own and _LANGUAGE.search(key.removeprefix(f"{STEPS}/"))
    )  # fmt: skip


def is_action(key: str) -> bool:
    """Whether a feature is the action, or a part of it."""
    return key == f"{STEPS}/action" or key.startswith(f"{STEPS}/action/")
