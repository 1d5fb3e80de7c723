"""Guessing what body the data comes from, and which features hold its motion."""

import re

import numpy as np
from jaxtyping import Float

from embodied_cf.datasets.episode_view import is_action
from embodied_cf.datasets.features import STEPS
from embodied_cf.datasets.spec_draft import Draft, Guess
from embodied_cf.datasets.spec_evidence import Evidence, observed_features, relative

_POSE = re.compile(r"pose|odom|position|state", re.IGNORECASE)
_EFFECTOR = re.compile(r"cartesian|eef|effector|tcp|(^|_)ee(_|$)", re.IGNORECASE)
_METRES = re.compile(r"\bmet(re|er)s?\b|\bin m\b|\[m\]|\(m\)|\bx m\b", re.IGNORECASE)
_FARTHEST_REACH = 3.0
"""An arm's coordinates in metres stay below it."""
_ANGLE = 2 * np.pi + 0.1


def guess_embodiment(evidence: Evidence, draft: Draft) -> str:
    """An action of up to four numbers drives; arms have at least six."""
    widths = evidence.widths()
    action = max((width for key, width in widths.items() if is_action(key)), default=0)
    kind = "arm" if action >= 6 or (action == 0 and _effector(evidence)) else "nav"
    draft.top["embodiment"] = Guess(kind, f"the action has {action} dimensions")
    return kind


def guess_action(evidence: Evidence, draft: Draft) -> None:
    """Draft the action's column and whether the last action counts."""
    widths = {key: width for key, width in evidence.widths().items() if is_action(key)}
    if not widths:
        draft.notes.append("No numeric action was found; name its column.")
        return
    key = max(widths, key=lambda key: (key == f"{STEPS}/action", widths[key]))
    parts = "" if len(widths) == 1 else f"; the action also has {', '.join(relative(k) for k in widths if k != key)}"
    draft.columns["action"] = Guess(relative(key), f"{widths[key]} dimensions{parts}")
    last = [run[-1].any() for run in evidence.runs(key)]
    why = f"in {sum(last)} of {len(last)} episodes the last action is not zero"
    draft.top["last_action_valid"] = Guess(bool(sum(last) > len(last) / 2), why)


def _state(evidence: Evidence, draft: Draft) -> str | None:
    """The feature that is called state, else a proprioceptive one."""
    keys = list(observed_features(evidence))
    named = [key for name in ("state", "proprio", "pose", "position") for key in keys if name in key.rsplit("/", 1)[-1]]
    if named:
        draft.columns["state"] = Guess(relative(named[0]), f"by its name; {_ranges(evidence.values(named[0]))}")
    return named[0] if named else None


def guess_nav_columns(evidence: Evidence, draft: Draft) -> None:
    """x, y, yaw in one feature; a spec cannot join two."""
    _state(evidence, draft)
    observed = observed_features(evidence)
    likely = [key for key, width in observed.items() if width >= 3 and _POSE.search(key.rsplit("/", 1)[-1])]
    ranked = sorted(likely, key=lambda key: ("pose" not in key, "odom" not in key, observed[key] != 3, key))
    fitting = [key for key in ranked if _within(evidence.values(key)[:, 2], _ANGLE)]
    if not fitting:
        draft.notes.append("No feature of (x, y, yaw) was found. Position and yaw in two features must be joined "
                           "into one column first.")  # fmt: skip
        _unit(evidence, draft, None)
        return
    key = fitting[0]
    column = relative(key) if observed[key] == 3 else f"{relative(key)}[0:3]"
    why = f"named like a pose, and its third number stays within one turn; {_ranges(evidence.values(key)[:, :3])}"
    draft.columns["pose"] = Guess(column, why)
    _unit(evidence, draft, key)


def guess_arm_columns(evidence: Evidence, draft: Draft) -> None:
    """Position, angles and gripper in a feature of six to eight numbers."""
    state = _state(evidence, draft)
    key = _effector(evidence) or (state if state and observed_features(evidence)[state] >= 6 else None)
    if key is None:
        draft.notes.append("No end effector pose was found; name effector_position and effector_rotation.")
    else:
        values = evidence.values(key)
        _pose_of_effector(evidence, draft, key, values)
    _gripper(evidence, draft, key)
    _unit(evidence, draft, key)


def _effector(evidence: Evidence) -> str | None:
    observed = observed_features(evidence)
    named = [key for key, width in observed.items() if width >= 6 and _EFFECTOR.search(key.rsplit("/", 1)[-1])]
    return named[0] if named else None


def _pose_of_effector(evidence: Evidence, draft: Draft, key: str, values: Float[np.ndarray, "n d"]) -> None:
    reach, angles = values[:, :3], values[:, 3:6]
    agreement = _agreement(evidence, draft, key)
    why = f"within {_FARTHEST_REACH:g} of the base" if _within(reach, _FARTHEST_REACH) else "by its place, yet far out"
    if agreement is not None:
        why += f"; its steps follow action[0:3] with correlation {agreement:.2f}"
    draft.columns["effector_position"] = Guess(f"{relative(key)}[0:3]", f"{why}; {_ranges(reach)}")
    turn = "within one turn" if _within(angles, _ANGLE) else "by its place, yet beyond one turn"
    draft.columns["effector_rotation"] = Guess(f"{relative(key)}[3:6]", f"{turn}; {_ranges(angles)}")
    if values.shape[1] >= 7 and np.allclose(np.linalg.norm(values[:, 3:7], axis=1), 1, atol=1e-3):
        draft.notes.append(f"{relative(key)}[3:7] has length 1: a quaternion, which must be turned into Euler "
                           "angles first.")  # fmt: skip


def _agreement(evidence: Evidence, draft: Draft, key: str) -> float | None:
    """Correlation of the action's first three numbers with the step that follows, None if nothing varies."""
    if "action" not in draft.columns:
        return None
    actions = evidence.runs(f"{STEPS}/{draft.columns['action'].value}")
    tracks = evidence.runs(key)
    if len(actions) != len(tracks) or actions[0].shape[1] < 3:
        return None
    asked = np.concatenate([run[:-1, :3] for run in actions]).ravel()
    done = np.concatenate([np.diff(run[:, :3], axis=0) for run in tracks]).ravel()
    if not len(asked) or not asked.std() or not done.std():
        return None
    return float(np.corrcoef(asked, done)[0, 1])


def _gripper(evidence: Evidence, draft: Draft, effector: str | None) -> None:
    """A command in the action's last number, else a state."""
    action = draft.columns.get("action")
    if action:
        values = evidence.values(f"{STEPS}/{action.value}")
        width, last = values.shape[1], values[:, -1]
        if _switches(last):
            why = f"{np.isclose(np.abs(np.round(last)), np.abs(last), atol=0.1).mean():.0%} of it is near -1, 0 or 1"
            why += f"; {_ranges(values[:, -1:])}; check that 1 is open"
            draft.columns["gripper_command"] = Guess(f"{action.value}[{width - 1}:{width}]", why)
            return
    observed = observed_features(evidence)
    named = [key for key, width in observed.items() if width == 1 and "gripper" in key.rsplit("/", 1)[-1]]
    if named:
        draft.columns["gripper_state"] = Guess(relative(named[0]), "by its name; check that 1 is open")
    elif effector and observed[effector] >= 7 and _within(evidence.values(effector)[:, -1], 1.1):
        width = observed[effector]
        column = f"{relative(effector)}[{width - 1}:{width}]"
        draft.columns["gripper_state"] = Guess(column, "the last number stays within 1; check that 1 is open")
    else:
        draft.notes.append("No gripper was found; name gripper_command or gripper_state.")


def _switches(values: Float[np.ndarray, " n"]) -> bool:
    """Whether numbers lie in [-1, 1] and mostly at two of -1, 0 and 1."""
    near = np.isclose(values, np.round(values), atol=0.1)
    return _within(values, 1.05) and float(near.mean()) > 0.8 and len(np.unique(np.round(values[near]))) > 1


def _unit(evidence: Evidence, draft: Draft, key: str | None) -> None:
    text = evidence.dataset.features[key].description if key else ""
    if _METRES.search(text):
        draft.top["position_unit"] = Guess("m", f"the description says {text!r}")
    else:
        draft.top["position_unit"] = Guess("unknown", "nothing in the data says; set m if you know it is metres")


def _within(values: Float[np.ndarray, "..."], bound: float) -> bool:
    return bool(np.abs(values).max(initial=0.0) <= bound)


def _ranges(values: Float[np.ndarray, "n d"]) -> str:
    bounds = zip(values.min(axis=0).tolist()[:8], values.max(axis=0).tolist()[:8], strict=True)
    return "ranges " + ", ".join(f"{low:.2g}..{high:.2g}" for low, high in bounds)
