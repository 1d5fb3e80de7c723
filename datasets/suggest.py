"""A first guess of a dataset's spec, from names, shapes and values, with every guess marked for a person to check."""

import re
from collections.abc import Mapping

import numpy as np

from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.datasets.episode_view import language_keys
from embodied_cf.datasets.looks import look_at
from embodied_cf.datasets.rlds import RldsDataset
from embodied_cf.datasets.spec_draft import Draft, Guess, to_toml
from embodied_cf.datasets.spec_evidence import Evidence, first_episodes, relative
from embodied_cf.datasets.suggest_motion import guess_action, guess_arm_columns, guess_embodiment, guess_nav_columns

_PLACES = ("primary", "secondary", "tertiary")
_WRIST = re.compile(r"wrist|hand|gripper|eye_in", re.IGNORECASE)
_DEPTH = re.compile(r"depth", re.IGNORECASE)
_PERIODS = {"nav": 0.25, "arm": 0.2}


def suggest_spec(dataset: RldsDataset) -> str:
    """Return a DatasetSpec as TOML text for a person to check.

    Every guess ends in a comment `# guessed: why` and its key stands in `guessed`; comments at the end say
    what could not be guessed. Raises DatasetError if the dataset has no readable episode.
    """
    return to_toml(dataset.name, draft_spec(dataset))


def draft_spec(dataset: RldsDataset) -> Draft:
    """Return the guesses of `suggest_spec`, to be improved by who knows more."""
    evidence = Evidence(dataset, first_episodes(dataset))
    draft = Draft()
    kind = guess_embodiment(evidence, draft)
    guess_action(evidence, draft)
    {"nav": guess_nav_columns, "arm": guess_arm_columns}[kind](evidence, draft)
    _time(evidence, draft, kind)
    _language(evidence, draft)
    _cameras(evidence, draft)
    return draft


def _time(evidence: Evidence, draft: Draft, kind: str) -> None:
    stamps = [key for key, width in evidence.widths().items() if width == 1 and key.endswith("timestamp")]
    gaps = np.concatenate([np.diff(run[:, 0]) for run in evidence.runs(stamps[0])]) if stamps else np.zeros(0)
    if len(gaps) and gaps.min() > 0:
        draft.columns["timestamp"] = Guess(relative(stamps[0]), "by its name, and it always rises; check seconds")
        draft.top["control_period_s"] = Guess(round(float(np.median(gaps)), 6), "median gap of the timestamps")
    else:
        draft.top["control_period_s"] = Guess(_PERIODS[kind], f"usual for {kind}; the data does not say")


def _language(evidence: Evidence, draft: Draft) -> None:
    keys = language_keys(evidence.dataset.features)
    draft.top["language"] = Guess([relative(key) for key in keys], "by name" if keys else "no such text feature")
    padded = any("" in slots and len(slots) > 1 for view in evidence.episodes for key in keys
                 for slots in view.texts.get(key, ()))  # fmt: skip
    if padded:
        draft.top["language_padding"] = Guess("", "texts stand in several slots, some of them empty")


def _cameras(evidence: Evidence, draft: Draft) -> None:
    """The first camera that shows something is primary; wrist cameras come last."""
    images = sorted(key for key, leaf in evidence.dataset.features.items() if leaf.per_step and leaf.role == "image")
    pictures = []
    for key in images:
        if reason := _unusable(evidence, key):
            draft.notes.append(f"Camera {relative(key)} is left out: {reason}.")
        else:
            pictures.append(key)
    fixed = [key for key in pictures if not _WRIST.search(key)]
    wrist = [key for key in pictures if _WRIST.search(key)]
    names = [*_PLACES[: len(fixed)], *(f"fixed_{i}" for i in range(len(_PLACES), len(fixed)))]
    names += [f"wrist_{i}" if i else "wrist" for i in range(len(wrist))]
    for name, key in zip(names, [*fixed, *wrist], strict=True):
        why = "named like a wrist camera" if name.startswith("wrist") else "in order of name"
        first = "" if draft.cameras else "; captioners see the first camera alone"
        draft.cameras[name] = Guess(relative(key), f"shows pictures; {why}{first}")
    if not pictures:
        draft.notes.append("No camera shows a picture.")


def _unusable(evidence: Evidence, key: str) -> str:
    if _DEPTH.search(key):
        return "it is named depth"
    frames: Mapping[int, EncodedImages] = {
        at: EncodedImages(view.images[key]) for at, view in enumerate(evidence.episodes) if key in view.images
    }
    looks = [look for images in frames.values() for look in look_at(images, 2) if not look.problem]
    if not looks:
        return "no frame of it can be decoded"
    return "it is blank" if all(look.blank for look in looks) else ""
