"""One episode through the five stages: a pure function of (episode, stages, seed)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
from jaxtyping import Int64

from embodied_cf.datasets.contract import Episode, Labels
from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.label_store import hindsight_texts, is_step_text
from embodied_cf.datasets.motion import future_chunks, track_of
from embodied_cf.datasets.randomness import generator
from embodied_cf.datasets.spec import CameraModel
from embodied_cf.language.instruction import Family
from embodied_cf.language.meaning import Meaning
from embodied_cf.language.verdict import NAMES
from embodied_cf.relabel.propose import chosen, phrased
from embodied_cf.relabel.provenance import Provenance
from embodied_cf.relabel.stages import (
    Candidates,
    Context,
    Judged,
    Proposals,
    Proposer,
    Segmenter,
    Synthesis,
    Synthesizer,
    Verifier,
)
from embodied_cf.relabel.telling import told_before
from embodied_cf.relabel.unasked import done_unasked
from embodied_cf.vlm.captions import Captioner, Captions, Hindsight


@dataclass(frozen=True)
class Rejection:
    """A candidate that did not become a label, and why."""

    kind: str
    start: int
    end: int
    instruction: str
    command: str
    score: float
    reason: str


@dataclass(frozen=True)
class Relabelled:
    """What relabelling says of one episode."""

    labels: Labels
    step_texts: tuple[str, ...]
    """A hindsight text for each step, "" where none holds."""
    rejected: tuple[Rejection, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    """Numbers for the report: kinds, verdicts, infeasible proposals by reason, uncovered steps."""


@dataclass(frozen=True)
class Pipeline:
    """The stages of a run, with the options that belong to none of them."""

    body: Embodiment
    meaning: Meaning
    segmenter: Segmenter
    captioner: Captioner
    proposer: Proposer
    synthesizer: Synthesizer
    verifier: Verifier
    provenance: Provenance
    seed: int = 0
    per_observation: int = 3
    """Counterfactuals kept for one observation at most."""
    camera: CameraModel | None = None
    """Of the primary camera, if it can place pixels on the ground in metres."""
    families: tuple[Family, ...] = ()
    """Families of goals of which it is told, in hindsight, what was done."""

    async def relabel(self, episode: Episode) -> Relabelled:
        """Label one episode. Raises VlmError if the captioner cannot be asked, RecordError for unusable data.

        Captioners see frames before anything else here does, so an undecodable one ends the episode early.
        """
        rng = generator(self.seed, episode.episode_id, "relabel")
        track = track_of(episode, self.body)
        if len(track) < 2:
            return self.unlabelled(len(episode))
        segments = self.segmenter.segment(track, self.body, self.meaning)
        captions = await self.captioner.caption(episode, segments)
        context = Context(episode, track, segments, captions, self.body, self.meaning, self.camera)
        proposals = await self.proposer.propose(context, rng)
        synthesis = self.synthesizer.synthesize(context, proposals)
        feasible = np.array([not reason for reason in synthesis.reason], bool)
        rows = chosen(proposals, feasible, self.per_observation)
        candidates = self._candidates(context, proposals.take(rows), _rows(synthesis, rows), rng)
        judged = self.verifier.verify(context, candidates)
        return self._collected(context, judged, proposals, synthesis)

    def unlabelled(self, episode_steps: int) -> Relabelled:
        """Return the result for an episode that passes through without labels."""
        empty = Labels.empty(self.body.chunk_length, self.body.chunk_dimensions)
        return Relabelled(empty, ("",) * episode_steps)

    def _candidates(
        self, context: Context, proposals: Proposals, synthesis: Synthesis, rng: np.random.Generator
    ) -> Candidates:
        factual, given = self._factual(context, rng)
        counterfactual = self._counterfactual(context, proposals, synthesis, rng)
        given = np.concatenate([given, np.zeros(len(counterfactual), bool)])
        return Candidates(Labels.concatenate([factual, counterfactual]), given, proposals)

    def _factual(self, context: Context, rng: np.random.Generator) -> tuple[Labels, np.ndarray]:
        """Return hindsight rows (the dataset's own texts, the captioner's, what was done unasked) and atomic rows."""
        own = _own_texts(context.episode)
        words = generator(self.seed, context.episode.episode_id, "done unasked")
        told = [*own, *context.captions.hindsight, *done_unasked(context, self.families, words)]
        vocabulary, segments = self.meaning.vocabulary, context.segments
        named = [i for i, command in enumerate(segments.command) if command]
        command = np.array([vocabulary.index[segments.command[i]] for i in named], np.int64)
        atomic = phrased(vocabulary, command, rng.random(len(named)))
        start = np.array([item.start for item in told] + [int(segments.start[i]) for i in named], np.int64)
        end = np.array([item.end for item in told] + [int(segments.end[i]) for i in named], np.int64)
        action, mask = future_chunks(context.track, self.body, start, end)
        source = [self.provenance.of("hindsight", "", item.reason) for item in told]
        source += [self.provenance.of("atomic", segments.command[i], "") for i in named]
        labels = Labels.unchecked(
            kind=("hindsight",) * len(told) + ("atomic",) * len(named),
            start=start.astype(np.int32),
            end=end.astype(np.int32),
            instruction=tuple(item.instruction for item in told) + atomic,
            command=("",) * len(told) + tuple(segments.command[i] for i in named),
            action=action,
            action_mask=mask,
            score=np.array([item.score for item in told] + [1.0] * len(named), np.float32),
            source=tuple(source),
            told=start.astype(np.int32),
        )
        return labels, np.arange(len(labels)) < len(own)

    def _counterfactual(
        self, context: Context, proposals: Proposals, synthesis: Synthesis, rng: np.random.Generator
    ) -> Labels:
        names = (*self.meaning.vocabulary.names, "")
        commands = tuple([names[index] for index in proposals.command.tolist()])
        source = self.provenance.of_all("counterfactual", commands, proposals.reason)
        start = proposals.start.astype(np.int32)
        return Labels.unchecked(
            kind=("counterfactual",) * len(proposals),
            start=start,
            end=start + synthesis.mask.sum(axis=1).astype(np.int32),
            instruction=proposals.instruction,
            command=commands,
            action=synthesis.action,
            action_mask=synthesis.mask,
            score=(proposals.score * synthesis.score).astype(np.float32),
            source=source,
            told=told_before(proposals.asked, proposals.seen, context.landmarks.seen, rng).astype(np.int32),
        )

    def _collected(self, context: Context, judged: Judged, proposals: Proposals, synthesis: Synthesis) -> Relabelled:
        kept = np.array([not reason for reason in judged.reason], bool)
        labels = judged.labels.take(kept)
        counts = _counts(judged, kept, synthesis.reason)
        texts = hindsight_texts(labels, len(context.track))
        counts["steps"] += len(context.track)
        counts["uncovered steps"] += texts.count("")
        branch = set(proposals.start.tolist())
        counts["branch points"] += len(branch)
        counts["branch points without counterfactual"] += len(branch - _branched(labels))
        counts["unanswered proposals"] += len(proposals.unanswered)
        rejected = (*_rejections(judged), *_turned_down(context.captions), *_unanswered(proposals))
        return Relabelled(labels, texts, rejected, counts)


def _own_texts(episode: Episode) -> list[Hindsight]:
    """Return what the dataset itself says was done; nobody needs to judge it.

    A spec's pattern such as language_instruction* finds the words of an earlier label set, too; those are not its own.
    """
    last = len(episode) - 1
    return [
        Hindsight(span.start, min(span.end, last), span.text, 1.0, "text of the dataset")
        for span in episode.language
        if span.text and span.start < last and not is_step_text(span.source)
    ]


def _rows(synthesis: Synthesis, rows: Int64[np.ndarray, " k"]) -> Synthesis:
    reason = tuple([synthesis.reason[row] for row in rows.tolist()])
    return Synthesis(synthesis.action[rows], synthesis.mask[rows], reason, synthesis.score[rows])


def _counts(judged: Judged, kept: np.ndarray, infeasible: Sequence[str]) -> Counter[str]:
    outcomes = Counter(compress(zip(judged.labels.kind, judged.verdict.tolist(), strict=True), kept.tolist()))
    counts = Counter({f"{kind} {NAMES[verdict]}": count for (kind, verdict), count in outcomes.items()})
    counts.update({f"infeasible: {reason}": count for reason, count in Counter(infeasible).items() if reason})
    return counts


def _branched(labels: Labels) -> set[int]:
    """Return the steps that have a counterfactual."""
    return {start for start, kind in zip(labels.start.tolist(), labels.kind, strict=True) if kind == "counterfactual"}


def _rejections(judged: Judged) -> list[Rejection]:
    labels = judged.labels
    return [
        Rejection(
            labels.kind[i],
            int(labels.start[i]),
            int(labels.end[i]),
            labels.instruction[i],
            labels.command[i],
            round(float(labels.score[i]), 4),
            reason,
        )
        for i, reason in enumerate(judged.reason)
        if reason
    ]


def _turned_down(captions: Captions) -> list[Rejection]:
    return [
        Rejection("hindsight", item.start, item.end, item.instruction, "", round(item.score, 4), reason)
        for item, reason in captions.rejected
    ]


def _unanswered(proposals: Proposals) -> list[Rejection]:
    return [Rejection("counterfactual", step, step + 1, "", "", 0.0, why) for step, why in proposals.unanswered]
