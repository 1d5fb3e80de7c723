"""The recipe of CAST (arXiv 2508.13446), as far as it is about labels, on this project's captions and logs.

Counterfactual words come up where a segment begins, each with one atomic command, as the paper asks its model for; the
command is then driven without looking where it leads, and nobody verifies it. The command of a goal is the one whose
arc ends nearest to the line to the thing named first. The sightings behind a proposal are those of the whole episode,
and a row holds at its own frame: both favour the recipe. The paper's learned atomic policy is replaced by the arcs of
the data's own typical step, which end where their command says and do not look where they lead: whether that is for
better or worse was not measured. Policies see the present frame alone, as published.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from embodied_cf.language import nav
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.predicate_rules import REACH_M
from embodied_cf.language.verdict import PASS
from embodied_cf.relabel.build import Setting, build_pipeline
from embodied_cf.relabel.engine_local import Recipe
from embodied_cf.relabel.ground import from_world
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.pipeline import Pipeline
from embodied_cf.relabel.provenance import Provenance
from embodied_cf.relabel.stages import Candidates, Context, Judged, Proposals, Proposer, Verifier
from embodied_cf.relabel.synthesize import PrimitiveSynthesizer


def published(options: RelabelOptions) -> Recipe:
    """Return the recipe; the options are those of the labels that it is compared with."""
    return partial(_published, options=options)


def _published(setting: Setting, options: RelabelOptions) -> Pipeline:
    base = build_pipeline(setting, options)
    primitive = PrimitiveSynthesizer(setting.profile, setting.body)
    proposer = AtSegmentStarts(base.proposer, primitive)
    stages = {**base.provenance.stages, "proposer": proposer.identity, "synthesizer": primitive.identity,
              "verifier": "hindsight only"}  # fmt: skip
    return replace(
        base, proposer=proposer, synthesizer=primitive, verifier=Trusting(base.verifier),
        provenance=Provenance(stages),
    )  # fmt: skip


def unverified(options: RelabelOptions) -> Recipe:
    """Return the recipe of `relabel` with these options, but that all counterfactuals of the synthesizer are kept."""
    return partial(_unverified, options=options)


def _unverified(setting: Setting, options: RelabelOptions) -> Pipeline:
    base = build_pipeline(setting, options)
    verifier = Trusting(base.verifier)
    provenance = Provenance({**base.provenance.stages, "verifier": verifier.identity})
    return replace(base, verifier=verifier, provenance=provenance)


@dataclass(frozen=True)
class AtSegmentStarts:
    """The proposals of another where a segment begins, each with the one atomic command that comes nearest to it."""

    proposer: Proposer
    primitive: PrimitiveSynthesizer

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {**self.proposer.identity, "only": "segment starts", "by": "atomic commands"}

    async def propose(self, context: Context, rng: np.random.Generator) -> Proposals:
        """Return what could have been told where a segment begins."""
        found = await self.proposer.propose(context, rng)
        here = np.isin(found.start, context.segments.start) & (found.seen == found.start)
        found = found.take(np.flatnonzero(here))
        return replace(found, command=np.where(found.asked.something, self._commands(context, found), found.command))

    def _commands(self, context: Context, proposals: Proposals) -> np.ndarray:
        """Return (p,): stop at a thing, else the command whose arc ends nearest to the line to the thing named first.

        A chain that begins with a command begins with that one; what names neither goes forward.
        """
        asked, end = proposals.asked, self.primitive.table[:, -1]
        rule, side, landmark = asked.rule[:, 0], asked.side[:, 0], asked.landmark[:, 0, 0]
        place = np.concatenate([context.landmarks.place, np.full((1, 3), np.inf)])[landmark]
        named = landmark >= 0
        thing = from_world(context.track[proposals.start], np.where(named[:, None], place[:, :2], 0.0))
        bearing = np.arctan2(thing[:, 1], thing[:, 0])
        off = np.abs(bearing[:, None] - np.arctan2(end[:, 1], end[:, 0])) + np.where(_moves(end), 0.0, np.inf)
        near = np.hypot(thing[:, 0], thing[:, 1]) - place[:, 2] <= REACH_M
        command = np.where(near, nav.STOP, off.argmin(axis=1))
        turns = np.where(side > 0, nav.TURN_LEFT, nav.TURN_RIGHT)
        return np.where(named, command, np.where(rule == Rule.TURN, turns, nav.FORWARD))


def _moves(end: np.ndarray) -> np.ndarray:
    return np.hypot(end[:, 0], end[:, 1]) > 0


@dataclass(frozen=True)
class Trusting:
    """Judges what was done, and keeps whatever could have been told instead."""

    verifier: Verifier

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {**self.verifier.identity, "counterfactuals": "kept"}

    def verify(self, context: Context, candidates: Candidates) -> Judged:
        """Judge the candidates of one episode; rows keep their order."""
        judged, labels, factual = self.verifier.verify(context, candidates), candidates.labels, candidates.factual
        kept = np.arange(len(labels)) >= factual
        score = np.where(kept, labels.score, judged.labels.score).astype(np.float32)
        reason = (*judged.reason[:factual], *("",) * (len(labels) - factual))
        return Judged(labels.with_score(score), np.where(kept, PASS, judged.verdict).astype(np.int8), reason)
