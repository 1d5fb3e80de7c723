"""What can be wrong with RLDS data: a catalogue of stable codes, and findings added up by code.

E is what breaks training or reading, W what misleads it, I what one should know. 1xx files and records,
2xx features, 3xx flags and rewards, 4xx cameras, 5xx numbers, 6xx language, 7xx the spec and motion,
8xx label sets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "info"]
_SEVERITIES: dict[str, Severity] = {"E": "error", "W": "warning", "I": "info"}
JUMP = 20.0
"""A stride this many times the typical one is not motion."""
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
    Issue("W205", "rlds-types", "features", "An RLDS flag is no boolean, or reward or discount no number, per step.",
          "Rebuild the dataset with scalar step keys, see https://github.com/google-research/rlds."),
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
    Issue("E808", "label-columns", "columns", "A column of a label set is missing, or has another type or shape.",
          "Drop the label set and relabel; something other than embodied-cf has written it."),
    Issue("E809", "step-text", "steps", "The per-step hindsight text is not that of the factual labels.",
          "Write the set again, such as with `embodied-cf labels filter`."),
    Issue("W810", "no-steps-view", "label sets", "views/steps is absent, or shows other shards or label sets.",
          "Copy the whole output directory; dlimp, octo and openvla cannot read the labelled set itself."),
    Issue("E811", "shard-hash", "shards", "A shard is not the one that labels/manifest.jsonl tells of.",
          "Copy the shard again; the labels may belong to other bytes."),
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
