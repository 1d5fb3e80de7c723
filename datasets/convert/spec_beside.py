"""The spec.toml beside a converted dataset: what the source says, and marked guesses for the rest."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from embodied_cf.datasets.rlds import RldsDataset
from embodied_cf.datasets.spec_draft import Draft, Guess, to_toml
from embodied_cf.datasets.suggest import draft_spec

_PARTS = {
    "x": re.compile(r"(^|[_.])x$"),
    "roll": re.compile(r"(^|[_.])(roll|rx|euler_x|rot_x)$"),
}


def known_spec(
    dataset: RldsDataset,
    top: Mapping[str, object],
    columns: Mapping[str, str],
    names: Mapping[str, Sequence[str]],
) -> str:
    """Return a spec as TOML: `top` and `columns` are known, others follow the `names` of a feature's numbers.

    `names` maps a feature (relative to `steps`) to the names of its numbers. Where names show that the guessed
    end effector is something else, such as joint angles, its columns are left out and a comment says why.
    """
    draft = draft_spec(dataset)
    draft.top |= {key: Guess(value) for key, value in top.items()}
    draft.columns |= {role: Guess(column) for role, column in columns.items()}
    if draft.top["embodiment"].value == "arm":
        _arm(draft, names)
    return to_toml(dataset.name, draft)


def _arm(draft: Draft, names: Mapping[str, Sequence[str]]) -> None:
    key = _feature(draft.columns.get("effector_position"))
    if key in names:
        for role in ("effector_position", "effector_rotation"):
            draft.columns.pop(role, None)
        # an action with such names may be a command or a difference: only an observation is a place
        places = {feature: labels for feature, labels in names.items() if not feature.startswith("action")}
        _place(draft, {key: names[key], **places})
    if "effector_position" not in draft.columns:
        named = f"{key} is named {', '.join(names[key])}" if key in names else "No feature looks like one"
        draft.notes.append(f"No end effector pose (x, y, z, roll, pitch, yaw): {named}. Relabelling an arm needs "
                           "one: add it, such as by forward kinematics.")  # fmt: skip


def _place(draft: Draft, names: Mapping[str, Sequence[str]]) -> None:
    for feature, labels in names.items():
        at = {part: _find(pattern, labels) for part, pattern in _PARTS.items()}
        if at["x"] is not None and at["roll"] is not None:
            for role, start in (("effector_position", at["x"]), ("effector_rotation", at["roll"])):
                draft.columns[role] = Guess(f"{feature}[{start}:{start + 3}]", f"by the names {list(labels)}")
            return


def _find(pattern: re.Pattern, labels: Sequence[str]) -> int | None:
    return next((at for at, label in enumerate(labels) if pattern.search(label.lower())), None)


def _feature(guess: Guess | None) -> str:
    return str(guess.value).partition("[")[0] if guess else ""


def flat_names(names: Any) -> list[str]:
    """Return LeRobot's names of a feature's numbers: a list, or lists or positions in a mapping."""
    if isinstance(names, Mapping):
        if names and all(isinstance(at, int) for at in names.values()):
            return sorted(names, key=lambda name: names[name])
        return [label for part in names.values() for label in flat_names(part)]
    if isinstance(names, (list, tuple)):
        return [label for part in names for label in flat_names(part)]
    return [str(names)] if isinstance(names, str) else []
