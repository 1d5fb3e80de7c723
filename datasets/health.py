"""Health checks of RLDS data: a catalogue of stable codes, and one small function per check.

E is what breaks training or reading, W what misleads it, I what one should know. 1xx files and records,
2xx features, 3xx flags and rewards, 4xx cameras, 5xx numbers, 6xx language, 7xx the spec and motion,
8xx label sets. Nothing is ever repaired here.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.features import STEPS, Features
from embodied_cf.datasets.label_store import set_names, step_text_key
from embodied_cf.datasets.statistics import (
    CameraSummary,
    LanguageSummary,
    Look,
    MotionSummary,
    NumberSummary,
)
from embodied_cf.errors import RecordError

Severity = Literal["error", "warning", "info"]
_SEVERITIES: dict[str, Severity] = {"E": "error", "W": "warning", "I": "info"}
JUMP = 20.0
"""A stride this many times the typical one is not motion."""
_RLDS_KEYS = ("reward", "discount", "is_first", "is_last", "is_terminal")
_LANGUAGE = re.compile(r"instruction|language|caption|command|(^|[/_])(task|goal|prompt)s?($|[/_])")
_TIMES = re.compile(r"(\d+)\s?x\s+[a-z]", re.IGNORECASE)
_DETAILS = 4


class Issue(NamedTuple):
    """One thing that can be wrong: what is counted, what it means and what to do."""

    code: str
    name: str
    counted: str
    meaning: str
    remedy: str


_CATALOGUE = (
    Issue("E101", "broken-record", "records", "A record's framing or checksum is wrong; it cannot be read.",
          "Restore the shard from its source. Relabelling drops and counts such records."),
    Issue("E102", "record-count", "splits", "The shards do not hold as many records as dataset_info.json promises.",
          "Copy the shards again, or rebuild the metadata; readers that trust it skip or repeat episodes."),
    Issue("W103", "duplicate-episode", "episodes", "The record equals an earlier one byte for byte.",
          "Remove the copies: they weigh double in training and leak between splits."),
    Issue("E104", "unreadable-feature", "features", "A record lacks a declared feature, or it cannot be decoded.",
          "Re-export the episode, or correct features.json."),
    Issue("E105", "uneven-steps", "features", "A per-step feature has another length than the episode has steps.",
          "Re-export the episode; readers will fail or misalign it."),
    Issue("E106", "empty-episode", "episodes", "The episode has no step.", "Leave it out."),
    Issue("W107", "one-step-episode", "episodes", "The episode has a single step, so nothing follows its action.",
          "Leave it out; no label can come of it."),
    Issue("E201", "no-observation-or-action", "features", "Steps have no `observation` or no `action`.",
          "Rebuild the dataset with the RLDS step keys."),
    Issue("W202", "rlds-keys-absent", "features", "RLDS step keys are missing; tools that expect them will stop.",
          "Rebuild the dataset with them, see https://github.com/google-research/rlds."),
    Issue("W203", "float64-declared", "features", "features.json says float64, but records store 32 bits.",
          "Do not rely on more than 7 digits, and do not compare exactly; declare float32."),
    Issue("W204", "description-contradicts-shape", "features", "The description counts more or fewer dimensions.",
          "Find out what the dimensions are before you write a spec; correct the text in features.json."),
    Issue("W301", "no-is-last", "episodes", "is_last is nowhere true in the episode.",
          "Take the end from the length, as this package does; loaders that cut at is_last join episodes."),
    Issue("I302", "no-is-terminal", "episodes", "is_terminal is nowhere true: RLDS reads it as cut off, not ended.",
          "For learners that bootstrap, decide whether the task was over."),
    Issue("W303", "is-first-misplaced", "episodes", "is_first is not true at step 0 and nowhere else.",
          "Take the start from the record; loaders that cut at is_first split or join episodes."),
    Issue("W304", "is-last-misplaced", "episodes", "is_last is true before the last step.",
          "Take the end from the length; check whether several episodes were written into one."),
    Issue("W305", "is-terminal-misplaced", "episodes", "is_terminal is true before the last step.",
          "Ignore the flag for this dataset, or rebuild it."),
    Issue("I306", "rewards-all-zero", "steps", "No step has a reward.",
          "Nothing to do for imitation; offline reinforcement learning needs a reward from elsewhere."),
    Issue("W401", "blank-camera", "frames", "Every decoded frame of the camera is one flat colour.",
          "Leave the camera out of the spec."),
    Issue("W402", "camera-metadata", "statements", "Episode metadata says of a camera the opposite of its pictures.",
          "Trust the pictures, not the flag; do not filter by it."),
    Issue("E403", "undecodable-image", "frames", "The bytes are cut off, or no image.",
          "Re-export the episode; relabelling quarantines it where the frame is needed."),
    Issue("W404", "image-size", "frames", "The frame's size differs from features.json.",
          "Correct the declared shape; batching readers fail on it."),
    Issue("E501", "not-finite", "values", "Values are NaN or infinite.",
          "Leave the episode out, or repair it at its source; one such value ends a training run."),
    Issue("W502", "constant-action", "dimensions", "Action dimensions never change.",
          "Mask them in normalisation (their spread is zero); check the spec's action columns."),
    Issue("W503", "all-zero-actions", "features", "Every stored action is zero, as in the CAST release.",
          "Take motion from poses: name the pose column in the spec and set last_action_valid = false."),
    Issue("W601", "empty-instruction", "steps", "The instruction is the empty text.",
          "If it means unlabelled, set language_padding = \"\" in the spec; relabelling can give it words."),
    Issue("W602", "no-language", "features", "The dataset holds no instruction at all.",
          "Relabel it: the hindsight and atomic labels need none."),
    Issue("W603", "one-instruction", "episodes", "Every instruction is the same text.",
          "A policy trained on this learns to ignore it; relabel for counterfactual instructions."),
    Issue("W604", "language-metadata", "statements", "Episode metadata says the opposite of the language feature.",
          "Trust the texts, not the flag; do not filter by it."),
    Issue("E701", "spec-does-not-fit", "specs", "The spec names what the dataset has not.",
          "Correct the spec; --suggest-spec writes a first guess."),
    Issue("E702", "episode-breaks-contract", "episodes", "Read by the spec, the episode breaks the data contract.",
          "Correct the spec, or leave the episode out; relabelling quarantines it."),
    Issue("W703", "pose-jump", "steps", f"A stride is more than {JUMP:.0f} times the typical one.",
          "Look for resets and lost odometry inside the episode; split it there."),
    Issue("W704", "never-moves", "episodes", "By the spec's pose or effector columns the robot never moves.",
          "Check the columns; there is no typical step, so relabelling refuses."),
    Issue("I705", "still-episode", "episodes", "The robot stands still for the whole episode.",
          "Leave it out if it should have moved."),
    Issue("E801", "label-row", "episodes", "The label rows break the contract of datasets.contract.Labels.",
          "Drop the label set and relabel; something other than embodied-cf has written it."),
    Issue("E802", "label-range", "rows", "A label starts or ends outside its episode.",
          "Drop the label set and relabel; it belongs to other episodes."),
    Issue("E803", "label-source", "rows", "A label's source is not in labels/provenance.jsonl.",
          "Copy the whole output directory; without it nobody can say where the label comes from."),
    Issue("E804", "provenance-hash", "rows", "A row of labels/provenance.jsonl does not hash to its source.",
          "The file was edited; restore it."),
    Issue("E805", "step-text-length", "episodes", "The per-step hindsight text has another length than the episode.",
          "Drop the label set and relabel."),
    Issue("E806", "newer-schema", "label sets", "The label set was written by a newer schema; it is not read.",
          "Install a newer embodied-cf."),
    Issue("I807", "no-provenance", "label sets", "There are labels but no labels/provenance.jsonl.",
          "Keep the whole output directory of a relabel run together."),
)  # fmt: skip
ISSUES: Mapping[str, Issue] = {issue.code: issue for issue in _CATALOGUE}


@dataclass(frozen=True)
class Hit:
    """A check's answer for one episode, or for the dataset."""

    code: str
    detail: str = ""
    count: int = 1
    step: int | None = None


@dataclass(frozen=True)
class Finding:
    """One code over the whole dataset."""

    code: str
    count: int
    episode_id: str
    """Where it was first seen; "" if it is the dataset's and no episode's."""
    step: int | None
    details: tuple[str, ...]
    """The first few different ones."""

    @property
    def issue(self) -> Issue:
        """What the code stands for."""
        return ISSUES[self.code]

    @property
    def severity(self) -> Severity:
        """error, warning or info."""
        return _SEVERITIES[self.code[0]]

    @property
    def amount(self) -> str:
        """The count with its unit: "1 episode", "25 episodes"."""
        unit = self.issue.counted
        return f"{self.count:,} {unit.removesuffix('s') if self.count == 1 and unit != 'statements' else unit}"

    @property
    def place(self) -> str:
        """Episode and step of the first one."""
        return self.episode_id if self.step is None else f"{self.episode_id} step {self.step}"


@dataclass
class Findings:
    """Adds hits up, by code."""

    _found: dict[str, Finding] = field(default_factory=dict)

    def add(self, hits: Iterable[Hit], episode_id: str = "") -> None:
        """Take in what a check found."""
        for hit in hits:
            old = self._found.get(hit.code, Finding(hit.code, 0, episode_id, hit.step, ()))
            details = old.details if hit.detail in ("", *old.details) else (*old.details, hit.detail)[:_DETAILS]
            self._found[hit.code] = Finding(hit.code, old.count + hit.count, old.episode_id, old.step, details)

    def result(self) -> tuple[Finding, ...]:
        """Return the findings, errors first."""
        order = list(_SEVERITIES.values())
        return tuple(sorted(self._found.values(), key=lambda found: (order.index(found.severity), found.code)))


# --- one episode ----------------------------------------------------------------------------------------------


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
        {k: v for k, v in even.items() if features[k].role == "image" and features[k].sequence_rank == 1},
        facts,
        unreadable,
        {key: len(value) for key, value in values.items() if len(value) != steps},
    )


def _most_common(lengths: Sequence[int]) -> int:
    # ties go to the greater length: a truncated feature is likelier than an extended one
    return max(lengths, key=lambda length: (lengths.count(length), length), default=0)


def _slots(step: memoryview | list) -> list[str]:
    if isinstance(step, list):
        return [text for part in step for text in _slots(part)]
    return [bytes(step).decode("utf-8", "replace")]


def check_record(view: EpisodeView) -> Iterator[Hit]:
    """Features that cannot be read, and lengths."""
    for key, problem in view.unreadable.items():
        yield Hit("E104", problem if key in problem else f"{key}: {problem}")
    for key, length in view.uneven.items():
        yield Hit("E105", f"{key} has {length} entries for {view.steps} steps")
    if view.steps == 0:
        yield Hit("E106")
    elif view.steps == 1:
        yield Hit("W107")


def check_flags(view: EpisodeView) -> Iterator[Hit]:
    """is_first, is_last and is_terminal against the episode's length."""
    if view.steps:
        yield from _first_flag(_true_steps(view, "is_first"))
        yield from _end_flag(_true_steps(view, "is_last"), view.steps, absent="W301", misplaced="W304")
        yield from _end_flag(_true_steps(view, "is_terminal"), view.steps, absent="I302", misplaced="W305")


def _true_steps(view: EpisodeView, flag: str) -> list[int] | None:
    values = view.numbers.get(f"{STEPS}/{flag}")
    return None if values is None else np.flatnonzero(values).tolist()


def _first_flag(steps: list[int] | None) -> Iterator[Hit]:
    if steps == []:
        yield Hit("W303", "true nowhere")
    elif steps and steps != [0]:
        yield Hit("W303", "true elsewhere too" if steps[0] == 0 else "true elsewhere", step=max(steps[:2]))


def _end_flag(steps: list[int] | None, length: int, absent: str, misplaced: str) -> Iterator[Hit]:
    if steps == []:
        yield Hit(absent)
    elif steps and steps[0] != length - 1:
        yield Hit(misplaced, step=steps[0])


def check_finite(view: EpisodeView) -> Iterator[Hit]:
    """NaN and infinity in numeric features."""
    for key, values in view.numbers.items():
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            yield Hit("E501", key, len(wrong), int(wrong[0, 0]))


def check_instructions(view: EpisodeView, keys: Sequence[str]) -> Iterator[Hit]:
    """Steps whose instruction is empty. Slots beside a text are padding and count as nothing."""
    for key in keys:
        empty = [step for step, slots in enumerate(view.texts.get(key, ())) if not any(slots)]
        if empty:
            yield Hit("W601", key, len(empty), empty[0])


def check_images(looks: Mapping[str, Sequence[Look]], declared: Mapping[str, tuple[int | None, ...]]) -> Iterator[Hit]:
    """Frames that do not decode, or have another size than features.json says."""
    for key, seen in looks.items():
        broken = [look for look in seen if look.problem]
        if broken:
            yield Hit("E403", f"{key}: {broken[0].problem}", len(broken), broken[0].step)
        wanted = declared.get(key, ())[:2]
        odd = [look for look in seen if not look.problem and not _fits((look.height, look.width), wanted)]
        if odd:
            yield Hit("W404", f"{key} is {odd[0].height}x{odd[0].width}, declared {wanted}", len(odd), odd[0].step)


def _fits(size: tuple[int, int], wanted: tuple[int | None, ...]) -> bool:
    return all(want in (None, got) for got, want in zip(size, wanted, strict=False))


def check_camera_facts(view: EpisodeView, looks: Mapping[str, Sequence[Look]]) -> Iterator[Hit]:
    """`has_image_0` and the like against the pictures of `image_0`."""
    for key, seen in looks.items():
        decoded = [look for look in seen if not look.problem]
        claim = _claim(view, key.rsplit("/", 1)[-1])
        if decoded and claim is not None and claim[1] == all(look.blank for look in decoded):
            shows = "is blank" if claim[1] else "holds pictures"
            yield Hit("W402", f"{claim[0]} is {claim[1]}, {key.removeprefix('steps/')} {shows}")


def check_language_facts(view: EpisodeView, keys: Sequence[str]) -> Iterator[Hit]:
    """`has_language` against the texts."""
    for key in keys:
        claim = _claim(view, "language") or _claim(view, key.rsplit("/", 1)[-1])
        texts = view.texts.get(key)
        if claim and texts and claim[1] != (says := any(any(slots) for slots in texts)):
            holds = "holds text" if says else "holds none"
            yield Hit("W604", f"{claim[0]} is {claim[1]}, {key.removeprefix('steps/')} {holds}")


def _claim(view: EpisodeView, name: str) -> tuple[str, bool] | None:
    found = [(key.rsplit("/", 1)[-1], value) for key, value in view.facts.items() if key.endswith(f"/has_{name}")]
    return found[0] if found else None


# --- the dataset ----------------------------------------------------------------------------------------------


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


def check_features(features: Features, strict: bool) -> Iterator[Hit]:
    """What features.json alone gives away. The lesser RLDS keys are demanded only if `strict`."""
    heads = {key.split("/")[1] for key in features if key.startswith(f"{STEPS}/")}
    lacking = [key for key in ("observation", "action") if key not in heads]
    if lacking:
        yield Hit("E201", ", ".join(lacking), len(lacking))
    lesser = [key for key in _RLDS_KEYS if key not in heads]
    if strict and lesser:
        yield Hit("W202", ", ".join(lesser), len(lesser))
    for key, leaf in sorted(features.items()):
        if leaf.dtype == "float64":
            yield Hit("W203", key)
        stated = stated_dimensions(leaf.description)
        if stated and leaf.role == "tensor" and stated != (actual := _dimensions(leaf.shape)):
            yield Hit("W204", f"{key}: the text counts {stated}, the shape is {actual}")


def stated_dimensions(description: str) -> int:
    """Return how many dimensions a text such as "[7x joint angles, 2x gripper]" adds up to, 0 if it does not say."""
    return sum(int(count) for count in _TIMES.findall(description))


def _dimensions(shape: Sequence[int | None]) -> int:
    return math.prod(size for size in shape[1:] if size is not None)


def check_count(split: str, promised: int, counted: int) -> Iterator[Hit]:
    """Records found against dataset_info.json."""
    if promised != counted:
        yield Hit("E102", f"{split}: {counted} records, {promised} promised")


def check_cameras(cameras: Iterable[CameraSummary]) -> Iterator[Hit]:
    """Cameras that show nothing."""
    for camera in cameras:
        if camera.decoded and camera.blank == camera.decoded:
            yield Hit("W401", camera.key, camera.blank)


def check_numbers(numbers: Iterable[NumberSummary]) -> Iterator[Hit]:
    """Rewards and actions that say nothing."""
    for summary in numbers:
        silent = set(summary.minimum) == set(summary.maximum) == {0.0}
        if silent and summary.key == f"{STEPS}/reward":
            yield Hit("I306", count=summary.steps)
        if not is_action(summary.key) or summary.steps < 2:
            continue
        if silent:
            yield Hit("W503", summary.key)
        elif summary.constant:
            which = ", ".join(map(str, summary.constant))
            yield Hit("W502", f"{summary.key}: dimension {which}", len(summary.constant))


def check_language(language: Sequence[LanguageSummary]) -> Iterator[Hit]:
    """Whether there is something to listen to."""
    if not any(summary.distinct for summary in language):
        yield Hit("W602", "no text feature reads like an instruction" if not language else "all texts are empty")
        return
    for summary in language:
        episodes = sum(count for _, count in summary.per_episode)
        if summary.distinct == 1 and episodes > 1:
            yield Hit("W603", f"{summary.key}: {summary.frequent[0][0]!r}", summary.frequent[0][1])


def check_motion(motion: MotionSummary) -> Iterator[tuple[str, Hit]]:
    """Yield (episode id, hit) for jumps and for robots that stand still."""
    if motion.episodes and motion.still_episodes == motion.episodes:
        yield motion.still[0], Hit("W704", count=motion.episodes)
        return
    if motion.still_episodes:
        yield motion.still[0], Hit("I705", ", ".join(motion.still), motion.still_episodes)
    for stride in sorted(motion.longest, key=lambda stride: (stride.episode_id, stride.step)):
        if stride.length > JUMP * motion.median:
            yield stride.episode_id, Hit("W703", f"{stride.length / motion.median:.0f} times", step=stride.step)
