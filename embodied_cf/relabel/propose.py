"""What the robot could have been told instead, at every frame: other commands, and the things in view."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from embodied_cf.language.phrasing import GO_TO, going_to
from embodied_cf.language.vocabulary import Vocabulary
from embodied_cf.relabel.stages import Context, Proposals


@dataclass(frozen=True)
class GrammarProposer:
    """Every atomic command that was not carried out, and every seen object, at every `stride`-th frame."""

    stride: int = 1

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {"proposer": "grammar", "stride": self.stride}

    async def propose(self, context: Context, rng: np.random.Generator) -> Proposals:
        """Return all alternatives, in random order of preference, phrased at random."""
        branch = np.arange(0, len(context.track) - 1, self.stride)
        commands = _other_commands(context, branch, rng)
        goals = _goals(context, rng)
        return joined(commands, goals) if len(goals) else commands


def _other_commands(context: Context, branch: Int64[np.ndarray, " b"], rng: np.random.Generator) -> Proposals:
    vocabulary = context.meaning.vocabulary
    index = {**vocabulary.index, "": -1}
    factual = np.array([index[name] for name in context.segments.commands_at(branch)], np.int64)
    start = np.repeat(branch, len(vocabulary.names))
    command = np.tile(np.arange(len(vocabulary.names)), len(branch))
    other = (command != np.repeat(factual, len(vocabulary.names))) & ~context.carried_out[command, start]
    start, command = start[other], command[other]
    draws = rng.random((2, len(start)))
    return Proposals(
        start,
        command,
        phrased(vocabulary, command, draws[0]),
        draws[1],
        np.ones(len(start)),
        ("not the command carried out",) * len(start),
        start,
        np.full((len(start), 4), np.nan),
        ("",) * len(start),
    )


def _goals(context: Context, rng: np.random.Generator) -> Proposals:
    seen = [item for item in context.captions.objects if item.box and item.step < len(context.track) - 1]
    start = np.array([item.step for item in seen], np.int64)
    phrases = rng.integers(len(GO_TO.train), size=len(seen))
    return Proposals(
        start,
        np.full(len(seen), -1),
        tuple(going_to(item.name, pick) for pick, item in zip(phrases.tolist(), seen, strict=True)),
        rng.random(len(seen)) - 1.0,
        np.array([item.score for item in seen], np.float64),
        ("a thing in view",) * len(seen),
        start,
        np.array([item.box for item in seen], np.float64).reshape(-1, 4),
        tuple(item.name for item in seen),
    )


def phrased(vocabulary: Vocabulary, command: Int64[np.ndarray, " p"], draw: np.ndarray) -> tuple[str, ...]:
    """Return a phrase of each command, picked by a draw in [0, 1)."""
    counts = np.array([len(phrases) for phrases in vocabulary.phrases])
    pick = (draw * counts[command]).astype(np.int64)
    phrases = vocabulary.phrases
    return tuple([phrases[c][k] for c, k in zip(command.tolist(), pick.tolist(), strict=True)])


def joined(first: Proposals, second: Proposals) -> Proposals:
    """Return the proposals of both, the first ones first."""
    return Proposals(
        np.concatenate([first.start, second.start]),
        np.concatenate([first.command, second.command]),
        first.instruction + second.instruction,
        np.concatenate([first.priority, second.priority]),
        np.concatenate([first.score, second.score]),
        first.reason + second.reason,
        np.concatenate([first.seen, second.seen]),
        np.concatenate([first.box, second.box]),
        first.thing + second.thing,
    )


def chosen(proposals: Proposals, feasible: np.ndarray, per_observation: int) -> Int64[np.ndarray, " k"]:
    """Return the rows of the `per_observation` best feasible proposals of each branch step, in order of step."""
    rows = np.flatnonzero(feasible)
    order = rows[np.lexsort((proposals.priority[rows], proposals.start[rows]))]
    start = proposals.start[order]
    first = np.searchsorted(start, start, side="left")
    return order[np.arange(len(order)) - first < per_observation]
