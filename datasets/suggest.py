"""A first guess of a dataset's spec, from names, shapes and values, with every guess marked for a person to check."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.datasets.features import STEPS
from embodied_cf.datasets.health import EpisodeView, is_action, language_keys, view_episode
from embodied_cf.datasets.rlds import RldsDataset
from embodied_cf.datasets.shards import Record, read_shard
from embodied_cf.datasets.statistics import look_at
from embodied_cf.errors import DatasetError, RecordError

_EPISODES = 64
"""Episodes that the guess rests on."""
_PLACES = ("primary", "secondary", "tertiary")
_WRIST = re.compile(r"wrist|hand|gripper|eye_in", re.IGNORECASE)
_DEPTH = re.compile(r"depth", re.IGNORECASE)
_POSE = re.compile(r"pose|odom|position|state", re.IGNORECASE)
_EFFECTOR = re.compile(r"cartesian|eef|effector|tcp|(^|_)ee(_|$)", re.IGNORECASE)
_METRES = re.compile(r"\bmet(re|er)s?\b|\bin m\b|\[m\]|\(m\)|\bx m\b", re.IGNORECASE)
_FARTHEST_REACH = 3.0
"""An arm's coordinates in metres stay below it."""
_ANGLE = 2 * np.pi + 0.1
_PERIODS = {"nav": 0.25, "arm": 0.2}


@dataclass(frozen=True)
class _Guess:
    value: object
    why: str


@dataclass(frozen=True)
class _Evidence:
    """What the guess is made from: the first episodes, read as far as they can be."""

    dataset: RldsDataset
    episodes: Sequence[EpisodeView]

    def runs(self, key: str) -> list[Float[np.ndarray, "t d"]]:
        """Return a numeric feature of each episode that holds it, (T, D)."""
        found = [view.numbers[key] for view in self.episodes if key in view.numbers]
        return [np.nan_to_num(values.reshape(len(values), -1).astype(np.float64)) for values in found]

    def values(self, key: str) -> Float[np.ndarray, "n d"]:
        """Return a numeric feature of all episodes, steps joined."""
        return np.concatenate(self.runs(key))

    def widths(self) -> dict[str, int]:
        """Return the numeric per-step features that are neither flags nor rewards, with their dimensions."""
        keys = {key for view in self.episodes for key, values in view.numbers.items() if values.dtype.kind == "f"}
        rest = sorted(key for key in keys if key not in (f"{STEPS}/reward", f"{STEPS}/discount"))
        return {key: self.values(key).shape[1] for key in rest}


@dataclass
class _Draft:
    """The table in the making."""

    top: dict[str, _Guess] = field(default_factory=dict)
    cameras: dict[str, _Guess] = field(default_factory=dict)
    columns: dict[str, _Guess] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def suggest_spec(dataset: RldsDataset) -> str:
    """Return a DatasetSpec as TOML text for a person to check.

    Every guess ends in a comment `# guessed: why` and its key stands in `guessed`; comments at the end say
    what could not be guessed. Raises DatasetError if the dataset has no readable episode.
    """
    evidence = _Evidence(dataset, _first_episodes(dataset))
    draft = _Draft()
    kind = _embodiment(evidence, draft)
    _action(evidence, draft)
    {"nav": _nav_columns, "arm": _arm_columns}[kind](evidence, draft)
    _time(evidence, draft, kind)
    _language(evidence, draft)
    _cameras(evidence, draft)
    return _toml(dataset.name, draft)


def _first_episodes(dataset: RldsDataset) -> list[EpisodeView]:
    views: list[EpisodeView] = []
    for columns in _readable(dataset):
        view = view_episode(columns, dataset.features)
        if view.steps:
            views.append(view)
        if len(views) == _EPISODES:
            break
    if not views:
        raise DatasetError("no readable episode to guess a spec from", where=dataset.path)
    return views


def _readable(dataset: RldsDataset) -> Iterator[Columns]:
    for shard in dataset.shards():
        for record in read_shard(shard.path, dataset.file_format):
            if isinstance(record, Record):
                try:
                    yield Columns(record.data, dataset.features, dataset.episode_id(shard, record.index))
                except RecordError:
                    continue


# --- body and motion ------------------------------------------------------------------------------------------


def _embodiment(evidence: _Evidence, draft: _Draft) -> str:
    """An action of up to four numbers drives; arms have at least six."""
    widths = evidence.widths()
    action = max((width for key, width in widths.items() if is_action(key)), default=0)
    kind = "arm" if action >= 6 or (action == 0 and _effector(evidence)) else "nav"
    draft.top["embodiment"] = _Guess(kind, f"the action has {action} dimensions")
    return kind


def _action(evidence: _Evidence, draft: _Draft) -> None:
    widths = {key: width for key, width in evidence.widths().items() if is_action(key)}
    if not widths:
        draft.notes.append("No numeric action was found; name its column.")
        return
    key = max(widths, key=lambda key: (key == f"{STEPS}/action", widths[key]))
    parts = "" if len(widths) == 1 else f"; the action also has {', '.join(_relative(k) for k in widths if k != key)}"
    draft.columns["action"] = _Guess(_relative(key), f"{widths[key]} dimensions{parts}")
    last = [run[-1].any() for run in evidence.runs(key)]
    why = f"in {sum(last)} of {len(last)} episodes the last action is not zero"
    draft.top["last_action_valid"] = _Guess(bool(sum(last) > len(last) / 2), why)


def _observed(evidence: _Evidence) -> dict[str, int]:
    return {key: width for key, width in evidence.widths().items() if not is_action(key) and "embedding" not in key}


def _state(evidence: _Evidence, draft: _Draft) -> str | None:
    """The feature that is called state, else a proprioceptive one."""
    keys = list(_observed(evidence))
    named = [key for name in ("state", "proprio", "pose", "position") for key in keys if name in key.rsplit("/", 1)[-1]]
    if named:
        draft.columns["state"] = _Guess(_relative(named[0]), f"by its name; {_ranges(evidence.values(named[0]))}")
    return named[0] if named else None


def _nav_columns(evidence: _Evidence, draft: _Draft) -> None:
    """x, y, yaw in one feature; a spec cannot join two."""
    _state(evidence, draft)
    observed = _observed(evidence)
    likely = [key for key, width in observed.items() if width >= 3 and _POSE.search(key.rsplit("/", 1)[-1])]
    ranked = sorted(likely, key=lambda key: ("pose" not in key, "odom" not in key, observed[key] != 3, key))
    fitting = [key for key in ranked if _within(evidence.values(key)[:, 2], _ANGLE)]
    if not fitting:
        draft.notes.append("No feature of (x, y, yaw) was found. Position and yaw in two features must be joined "
                           "into one column first.")  # fmt: skip
        _unit(evidence, draft, None)
        return
    key = fitting[0]
    column = _relative(key) if observed[key] == 3 else f"{_relative(key)}[0:3]"
    why = f"named like a pose, and its third number stays within one turn; {_ranges(evidence.values(key)[:, :3])}"
    draft.columns["pose"] = _Guess(column, why)
    _unit(evidence, draft, key)


def _arm_columns(evidence: _Evidence, draft: _Draft) -> None:
    """Position, angles and gripper in a feature of six to eight numbers."""
    state = _state(evidence, draft)
    key = _effector(evidence) or (state if state and _observed(evidence)[state] >= 6 else None)
    if key is None:
        draft.notes.append("No end effector pose was found; name effector_position and effector_rotation.")
    else:
        values = evidence.values(key)
        _pose_of_effector(evidence, draft, key, values)
    _gripper(evidence, draft, key)
    _unit(evidence, draft, key)


def _effector(evidence: _Evidence) -> str | None:
    observed = _observed(evidence)
    named = [key for key, width in observed.items() if width >= 6 and _EFFECTOR.search(key.rsplit("/", 1)[-1])]
    return named[0] if named else None


def _pose_of_effector(evidence: _Evidence, draft: _Draft, key: str, values: Float[np.ndarray, "n d"]) -> None:
    reach, angles = values[:, :3], values[:, 3:6]
    agreement = _agreement(evidence, draft, key)
    why = f"within {_FARTHEST_REACH:g} of the base" if _within(reach, _FARTHEST_REACH) else "by its place, yet far out"
    if agreement is not None:
        why += f"; its steps follow action[0:3] with correlation {agreement:.2f}"
    draft.columns["effector_position"] = _Guess(f"{_relative(key)}[0:3]", f"{why}; {_ranges(reach)}")
    turn = "within one turn" if _within(angles, _ANGLE) else "by its place, yet beyond one turn"
    draft.columns["effector_rotation"] = _Guess(f"{_relative(key)}[3:6]", f"{turn}; {_ranges(angles)}")
    if values.shape[1] >= 7 and np.allclose(np.linalg.norm(values[:, 3:7], axis=1), 1, atol=1e-3):
        draft.notes.append(f"{_relative(key)}[3:7] has length 1: a quaternion, which must be turned into Euler "
                           "angles first.")  # fmt: skip


def _agreement(evidence: _Evidence, draft: _Draft, key: str) -> float | None:
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


def _gripper(evidence: _Evidence, draft: _Draft, effector: str | None) -> None:
    """A command in the action's last number, else a state."""
    action = draft.columns.get("action")
    if action:
        values = evidence.values(f"{STEPS}/{action.value}")
        width, last = values.shape[1], values[:, -1]
        if _switches(last):
            why = f"{np.isclose(np.abs(np.round(last)), np.abs(last), atol=0.1).mean():.0%} of it is near -1, 0 or 1"
            why += f"; {_ranges(values[:, -1:])}; check that 1 is open"
            draft.columns["gripper_command"] = _Guess(f"{action.value}[{width - 1}:{width}]", why)
            return
    observed = _observed(evidence)
    named = [key for key, width in observed.items() if width == 1 and "gripper" in key.rsplit("/", 1)[-1]]
    if named:
        draft.columns["gripper_state"] = _Guess(_relative(named[0]), "by its name; check that 1 is open")
    elif effector and observed[effector] >= 7 and _within(evidence.values(effector)[:, -1], 1.1):
        width = observed[effector]
        column = f"{_relative(effector)}[{width - 1}:{width}]"
        draft.columns["gripper_state"] = _Guess(column, "the last number stays within 1; check that 1 is open")
    else:
        draft.notes.append("No gripper was found; name gripper_command or gripper_state.")


def _switches(values: Float[np.ndarray, " n"]) -> bool:
    """Whether numbers lie in [-1, 1] and mostly at two of -1, 0 and 1."""
    near = np.isclose(values, np.round(values), atol=0.1)
    return _within(values, 1.05) and float(near.mean()) > 0.8 and len(np.unique(np.round(values[near]))) > 1


def _unit(evidence: _Evidence, draft: _Draft, key: str | None) -> None:
    text = evidence.dataset.features[key].description if key else ""
    if _METRES.search(text):
        draft.top["position_unit"] = _Guess("m", f"the description says {text!r}")
    else:
        draft.top["position_unit"] = _Guess("unknown", "nothing in the data says; set m if you know it is metres")


def _time(evidence: _Evidence, draft: _Draft, kind: str) -> None:
    stamps = [key for key, width in evidence.widths().items() if width == 1 and key.endswith("timestamp")]
    gaps = np.concatenate([np.diff(run[:, 0]) for run in evidence.runs(stamps[0])]) if stamps else np.zeros(0)
    if len(gaps) and gaps.min() > 0:
        draft.columns["timestamp"] = _Guess(_relative(stamps[0]), "by its name, and it always rises; check seconds")
        draft.top["control_period_s"] = _Guess(round(float(np.median(gaps)), 6), "median gap of the timestamps")
    else:
        draft.top["control_period_s"] = _Guess(_PERIODS[kind], f"usual for {kind}; the data does not say")


# --- language and cameras -------------------------------------------------------------------------------------


def _language(evidence: _Evidence, draft: _Draft) -> None:
    keys = language_keys(evidence.dataset.features)
    draft.top["language"] = _Guess([_relative(key) for key in keys], "by name" if keys else "no such text feature")
    padded = any("" in slots and len(slots) > 1 for view in evidence.episodes for key in keys
                 for slots in view.texts.get(key, ()))  # fmt: skip
    if padded:
        draft.top["language_padding"] = _Guess("", "texts stand in several slots, some of them empty")


def _cameras(evidence: _Evidence, draft: _Draft) -> None:
    """The first camera that shows something is primary; wrist cameras come last."""
    images = sorted(key for key, leaf in evidence.dataset.features.items() if leaf.per_step and leaf.role == "image")
    pictures = []
    for key in images:
        if reason := _unusable(evidence, key):
            draft.notes.append(f"Camera {_relative(key)} is left out: {reason}.")
        else:
            pictures.append(key)
    fixed = [key for key in pictures if not _WRIST.search(key)]
    wrist = [key for key in pictures if _WRIST.search(key)]
    names = [*_PLACES[: len(fixed)], *(f"fixed_{i}" for i in range(len(_PLACES), len(fixed)))]
    names += [f"wrist_{i}" if i else "wrist" for i in range(len(wrist))]
    for name, key in zip(names, [*fixed, *wrist], strict=True):
        why = "named like a wrist camera" if name.startswith("wrist") else "in order of name"
        first = "" if draft.cameras else "; captioners see the first camera alone"
        draft.cameras[name] = _Guess(_relative(key), f"shows pictures; {why}{first}")
    if not pictures:
        draft.notes.append("No camera shows a picture.")


def _unusable(evidence: _Evidence, key: str) -> str:
    if _DEPTH.search(key):
        return "it is named depth"
    frames: Mapping[int, EncodedImages] = {
        at: EncodedImages(view.images[key]) for at, view in enumerate(evidence.episodes) if key in view.images
    }
    looks = [look for images in frames.values() for look in look_at(images, 2) if not look.problem]
    if not looks:
        return "no frame of it can be decoded"
    return "it is blank" if all(look.blank for look in looks) else ""


# --- text -----------------------------------------------------------------------------------------------------


def _toml(name: str, draft: _Draft) -> str:
    guessed = [*draft.top, *(f"cameras.{key}" for key in draft.cameras), *(f"columns.{key}" for key in draft.columns)]
    lines = [
        f"# A first guess of how to read {_comment(name)}, made by `embodied-cf inspect --suggest-spec`.",
        "# Check each line marked as guessed, then delete its mark here and in `guessed`. See docs/specs.md.",
        *(f"# {_comment(note)}" for note in draft.notes),
        f"name = {_value(name)}",
        *_lines(draft.top),
        f"guessed = {_value(guessed)}",
        "",
        "[cameras]",
        *_lines(draft.cameras),
        "",
        "[columns]",
        *_lines(draft.columns),
    ]
    return "\n".join(lines) + "\n"


def _lines(guesses: Mapping[str, _Guess]) -> list[str]:
    return [f"{key} = {_value(guess.value)}  # guessed: {_comment(guess.why)}" for key, guess in guesses.items()]


def _value(value: object) -> str:
    # a JSON string, number, boolean or list of strings is the same in TOML, except for DEL
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _relative(key: str) -> str:
    return key.removeprefix(f"{STEPS}/")


def _within(values: Float[np.ndarray, "..."], bound: float) -> bool:
    return bool(np.abs(values).max(initial=0.0) <= bound)


def _ranges(values: Float[np.ndarray, "n d"]) -> str:
    bounds = zip(values.min(axis=0).tolist()[:8], values.max(axis=0).tolist()[:8], strict=True)
    return "ranges " + ", ".join(f"{low:.2g}..{high:.2g}" for low, high in bounds)
