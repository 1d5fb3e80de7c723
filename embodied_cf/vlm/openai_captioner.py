"""The captioner that asks a vision-language model: describe frames, summarise windows, check with pixels.

Answers are joined to what was asked by their place in our own requests and by keys that our own schemas fix,
never by an id that the model must echo.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from embodied_cf.datasets.contract import EncodedImages, Episode
from embodied_cf.datasets.image_head import read_head
from embodied_cf.errors import RecordError, UsageError
from embodied_cf.language.segments import Segments
from embodied_cf.vlm.captions import Captions, Hindsight, SeenObject
from embodied_cf.vlm.client import ask_all
from embodied_cf.vlm.options import LOCAL
from embodied_cf.vlm.path_picture import draw_path
from embodied_cf.vlm.question import Answer, Asker, Prompt, Question
from embodied_cf.vlm.templates import load_prompts
from embodied_cf.vlm.windows import Range, described_steps, overlap, windows
from embodied_cf.vlm.wording import ROBOTS, Kind, Robot, complaint, sound_box, tidy


@dataclass(frozen=True)
class CaptionOptions:
    """How closely to look. Steps are control steps of the episode."""

    every: int = 3
    """Steps between described frames."""
    window: int = 30
    """Steps that one instruction spans."""
    stride: int = 15
    """Steps from one window to the next; at most `window`, so that each step is covered."""
    most: int = 4
    """Instructions per window."""
    longest: int = 12
    """Words per instruction."""

    def __post_init__(self) -> None:
        if min(self.every, self.window, self.stride, self.most, self.longest) < 1:
            raise UsageError("caption options must be at least 1", where=self)
        if self.stride > self.window:
            raise UsageError(f"stride {self.stride} > window {self.window} would leave steps uncovered")


@dataclass(frozen=True)
class _Candidate:
    """An instruction that the model suggests for a window, before anything has checked it."""

    window: Range
    text: str
    reason: str

    def as_hindsight(self, score: float, reason: str) -> Hindsight:
        return Hindsight(*self.window, self.text, score, reason)


@dataclass(frozen=True)
class OpenAICaptioner:
    """Captions episodes of one kind of robot through an `Asker`: a client, a replay, or a dry run."""

    asker: Asker
    kind: Kind
    options: CaptionOptions = field(default_factory=CaptionOptions)
    prompts: Mapping[str, Prompt] = field(default_factory=load_prompts)

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records: equal for equal answers, replayed or not."""
        hashes = {name: self.prompts[name].sha256 for name in ("describe", "summarise", "filter")}
        options = {"kind": self.kind, **asdict(self.options)}
        name = "hf" if str(self.asker.identity["model"]).startswith(LOCAL) else "openai"
        return {"captioner": name, **self.asker.identity, "prompts": hashes, "options": options}

    async def caption(self, episode: Episode, segments: Segments) -> Captions:
        """Describe, summarise, filter. Raises VlmError if the model cannot be asked or understood.

        Every step that has a successor lies in a window; an episode of one step has nothing to say.
        """
        if len(episode) < 2:
            return Captions()
        frames = _primary(episode)
        steps = list(pairwise(described_steps(len(episode), self.options.every)))
        answers = await ask_all(self.asker, [self._describe(episode, frames, pair) for pair in steps])
        told = [(pair, tidy(answer.value["description"])) for pair, answer in zip(steps, answers, strict=True)]
        objects = [
            seen for (step, _), answer in zip(steps, answers, strict=True) for seen in _seen(step, frames, answer)
        ]
        spans = windows(len(episode) - 1, self.options.window, self.options.stride)
        summaries = await ask_all(self.asker, [self._summarise(episode, segments, told, span) for span in spans])
        kept, rejected = await self._check(episode, frames, segments, self._candidates(spans, summaries))
        return Captions(tuple(kept), tuple(objects), tuple(rejected))

    @property
    def _robot(self) -> Robot:
        return ROBOTS[self.kind]

    def _describe(self, episode: Episode, frames: EncodedImages, pair: Range) -> Question:
        first, second = pair
        values = {"robot": self._robot.name, "first": first, "second": second, "interval": second - first}
        # earlier image first: the prompt says so, and a test holds both to it
        images = (frames.frames[first], frames.frames[second])
        where = f"{episode.episode_id}, steps {first} and {second}"
        return Question(self.prompts["describe"], values, images, where=where)

    def _summarise(
        self, episode: Episode, segments: Segments, told: Sequence[tuple[Range, str]], window: Range
    ) -> Question:
        lines = [{"start": a, "end": b, "text": text} for (a, b), text in told if text and overlap((a, b), window)]
        values = {
            "robot": self._robot.name,
            "start": window[0],
            "end": window[1],
            "descriptions": lines,
            "commands": _commands(segments, window),
            "most": self.options.most,
            "longest": self.options.longest,
            "verbs": list(self._robot.verbs),
        }
        where = f"{episode.episode_id}, steps {window[0]} to {window[1]}"
        return Question(self.prompts["summarise"], values, where=where, expected_output_tokens=160)

    def _candidates(self, spans: Sequence[Range], summaries: Sequence[Answer]) -> list[list[_Candidate]]:
        """Return the different instructions of each window, at most `most`."""
        found = []
        for window, answer in zip(spans, summaries, strict=True):
            texts: dict[str, _Candidate] = {}
            for item in answer.value["instructions"]:
                text = tidy(item["instruction"])
                texts.setdefault(text.casefold(), _Candidate(window, text, tidy(item["reason"])))
            found.append(list(texts.values())[: self.options.most])
        return found

    async def _check(
        self, episode: Episode, frames: EncodedImages, segments: Segments, found: Sequence[list[_Candidate]]
    ) -> tuple[list[Hindsight], list[tuple[Hindsight, str]]]:
        """Turn down what breaks the form, then let the model look at the pixels for the rest."""
        rejected = [
            (candidate.as_hindsight(0.0, candidate.reason), f"form: {problem}")
            for candidates in found
            for candidate in candidates
            if (problem := self._complaint(candidate))
        ]
        sound = [[c for c in candidates if not self._complaint(c)] for candidates in found]
        asked = [candidates for candidates in sound if candidates]
        questions = [self._filter(episode, frames, segments, candidates) for candidates in asked]
        kept = []
        for candidates, answer in zip(asked, await ask_all(self.asker, questions), strict=True):
            for name, candidate in _named(candidates):
                verdict = answer.value[name]
                judged = candidate.as_hindsight(float(verdict["confidence"]), candidate.reason)
                if verdict["keep"]:
                    kept.append(judged)
                else:
                    rejected.append((judged, f"filter: {tidy(verdict['reason'])}"))
        return kept, rejected

    def _complaint(self, candidate: _Candidate) -> str:
        return complaint(candidate.text, self._robot.verbs, self.options.longest)

    def _filter(
        self, episode: Episode, frames: EncodedImages, segments: Segments, candidates: Sequence[_Candidate]
    ) -> Question:
        start, end = candidates[0].window
        steps = sorted({start, (start + end) // 2, end})  # the frame at `end` shows where the motion led
        values = {
            "robot": self._robot.name,
            "steps": steps,
            "commands": _commands(segments, (start, end)),
            "candidates": [candidate.text for candidate in candidates],
        }
        prompt = self.prompts["filter"]
        track = episode.pose if self.kind == "nav" else episode.effector
        drawn = () if track is None else (draw_path(track[start : end + 1], self.kind),)
        return Question(
            prompt,
            {**values, "drawn": bool(drawn), "arm": self.kind == "arm"},
            (*(frames.frames[step] for step in steps), *drawn),
            schema=filter_schema(prompt, len(candidates)),
            where=f"{episode.episode_id}, steps {start} to {end}",
            expected_output_tokens=40 * len(candidates),
        )


def filter_schema(prompt: Prompt, count: int) -> dict[str, Any]:
    """Return a schema that demands one verdict under each of candidate_1 ... candidate_`count`."""
    names = [f"candidate_{number}" for number in range(1, count + 1)]
    base = {key: value for key, value in prompt.schema.items() if key != "$defs"}
    verdict = prompt.schema["$defs"]["verdict"]
    return {**base, "properties": dict.fromkeys(names, verdict), "required": names}


def _named(candidates: Sequence[_Candidate]) -> list[tuple[str, _Candidate]]:
    return [(f"candidate_{number}", candidate) for number, candidate in enumerate(candidates, start=1)]


def _primary(episode: Episode) -> EncodedImages:
    """Return the frames of the first camera."""
    if not episode.cameras:
        raise RecordError(
            "no camera to look through",
            where=episode.episode_id,
            remedy="Name one in the dataset's specification, or use --captioner motion.",
        )
    return next(iter(episode.cameras.values()))


def _commands(segments: Segments, window: Range) -> list[dict[str, object]]:
    """Return the robot's own timeline inside a window."""
    parts = [(overlap((start, end), window), command) for start, end, command in segments.runs()]
    return [{"start": part[0], "end": part[1], "name": command} for part, command in parts if part]


def _seen(step: int, frames: EncodedImages, answer: Answer) -> list[SeenObject]:
    """Return the objects that a description lists, with boxes in pixels of the frame in the record."""
    width, height = answer.sizes[0]
    # a hook that resized or cropped: we cannot know where in our frame a box of that image lies
    same = (width, height) == _size(frames.frames[step])
    found: dict[SeenObject, None] = {}
    for item in answer.value["objects"]:
        box = sound_box(item["box"], width, height) if same else None
        if name := tidy(item["name"]):
            found.setdefault(SeenObject(step, name, box))
    return list(found)


def _size(frame: bytes | memoryview) -> tuple[int, int] | None:
    """Return width and height of a frame as it lies in the record: of more formats than servers take, for hooks."""
    try:
        head = read_head(frame)
    except ValueError:
        return None
    return head.width, head.height
