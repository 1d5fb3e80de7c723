"""Counterfactuals that a vision-language model suggests from a frame, held while its answer stays valid."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from embodied_cf.errors import BudgetError, VlmError
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.propose import GrammarProposer, joined
from embodied_cf.relabel.stages import Context, Proposals
from embodied_cf.vlm.access import AccessError
from embodied_cf.vlm.propose import Proposed, VlmProposer
from embodied_cf.vlm.windows import described_steps

Answer = tuple[Proposed, ...] | VlmError


@dataclass(frozen=True)
class ModelProposer:
    """Asks at every `every`-th frame; the answer counts until the next one. Plain commands fill what is left."""

    model: VlmProposer
    grammar: GrammarProposer
    every: int

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {**self.model.identity, "every": self.every, "filled_by": self.grammar.identity}

    async def propose(self, context: Context, rng: np.random.Generator) -> Proposals:
        """Return the model's proposals before the grammar's. A frame that stays unanswered is told of, not fatal."""
        steps = list(described_steps(len(context.track), self.every)[:-1])
        commands = context.segments.commands_at(np.array(steps, np.int64))
        answers = await asyncio.gather(*map(self._ask, [context] * len(steps), steps, commands))
        held = _held(context, steps, answers, rng)
        unanswered = tuple((step, str(answer)) for step, answer in zip(steps, answers, strict=True)
                           if isinstance(answer, VlmError))  # fmt: skip
        return replace(joined(held, await self.grammar.propose(context, rng)), unanswered=unanswered)

    async def _ask(self, context: Context, step: int, command: str) -> Answer:
        frame = next(iter(context.episode.cameras.values())).frames[step]
        seen = [item for item in context.captions.objects if item.step == step]
        where = f"{context.episode.episode_id}, step {step}"
        try:
            return await self.model.propose(frame, command, context.meaning.vocabulary.names, seen, where)
        except (BudgetError, AccessError):
            raise
        except VlmError as error:
            return error


def _held(context: Context, steps: list[int], answers: list[Answer], rng: np.random.Generator) -> Proposals:
    """Return every proposal at its frame and at those up to the next question, less where it became the fact."""
    rows = list(_rows(steps, answers, len(context.track) - 1))
    start = np.array([row[0] for row in rows], np.int64)
    seen = np.array([row[1] for row in rows], np.int64)
    said = [row[2] for row in rows]
    index = context.meaning.vocabulary.index
    box = [proposed.box or (np.nan,) * 4 for proposed in said]
    proposals = Proposals(
        start,
        np.array([index[proposed.command] for proposed in said], np.int64),
        tuple(proposed.instruction for proposed in said),
        rng.random(len(rows)) - 2.0,  # before goals and plain commands
        0.98 ** (start - seen),  # an answer ages with the frames since
        tuple(f"model: {proposed.reason}" for proposed in said),
        seen,
        np.array(box, np.float64).reshape(-1, 4),
        tuple(proposed.object_name or "" for proposed in said),
        Asked.nothing(len(rows)),
    )
    factual = context.segments.commands_at(start)
    other = np.array([proposed.command != fact for proposed, fact in zip(said, factual, strict=True)], bool)
    return proposals.take(np.flatnonzero(other & ~context.carried_out[proposals.command, start]))


def _rows(steps: list[int], answers: list[Answer], last: int) -> Iterator[tuple[int, int, Proposed]]:
    for number, (step, answer) in enumerate(zip(steps, answers, strict=True)):
        until = steps[number + 1] if number + 1 < len(steps) else last
        if not isinstance(answer, VlmError):
            yield from ((start, step, proposed) for start in range(step, until) for proposed in answer)
