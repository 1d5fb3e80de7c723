"""What the robot could have been told instead, at every frame: other commands, and the things in view."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from embodied_cf.language.instruction import FAMILIES, Clause, Family, Thing
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.vocabulary import Vocabulary
from embodied_cf.relabel.asked import CHAINED, CONTINUOUS, REFERENTIAL, Asked
from embodied_cf.relabel.elsewhere import REASON, goals_elsewhere
from embodied_cf.relabel.naming import clause_of, going_to_any, in_words, thing_named
from embodied_cf.relabel.propose_earlier import goals_earlier
from embodied_cf.relabel.propose_things import Goals, Sights, goals_in_view
from embodied_cf.relabel.stages import Context, Proposals

LAGS = {REFERENTIAL: (0.7, 20), CONTINUOUS: (0.7, 30), CHAINED: (0.8, 40)}
"""By family: share of goals that the robot was told some steps ago, and how many at most. Then it may stand where
it was told to stop, or at the first goal of two, and have passed by what it was told of: policies with a history learn
what to remember. Going to a thing is the same whenever it was told (`relabel.telling`)."""
_STOPS = 0.25
"""Share of "stop" that is proposed beside goals: it never runs into anything, and would fill whatever is left."""
_BY_KIND = 0.5
"""Share of names without a colour, where the kind alone names the thing."""


@dataclass(frozen=True)
class GrammarProposer:
    """Every atomic command that was not carried out, and what the things in view allow, at every `stride`-th frame."""

    stride: int = 1
    families: tuple[Family, ...] = FAMILIES
    """Families of goals about things in view."""
    options: int = 2
    """Goals of one family that are proposed for one observation, at most."""
    command_share: float = 1.0
    """Share of the other atomic commands that is proposed."""
    look_round: float = 0.0
    """Share of the observations for which one thing that is out of view, to the left, is proposed, too."""

    @property
    def identity(self) -> dict[str, object]:
        """What provenance records."""
        return {"proposer": "grammar", "stride": self.stride, "families": list(self.families), "options": self.options,
                "command_share": self.command_share, "look_round": self.look_round}  # fmt: skip

    async def propose(self, context: Context, rng: np.random.Generator) -> Proposals:
        """Return all alternatives, in random order of preference, phrased at random."""
        branch = np.arange(0, len(context.track) - 1, self.stride)
        commands = _other_commands(context, branch, rng)
        if self.command_share < 1:
            commands = commands.take(np.flatnonzero(rng.random(len(commands)) < self.command_share))
        if not self.families or (not context.obstacles.any and not len(context.landmarks)):
            return commands
        stops = commands.command == context.meaning.vocabulary.index["stop"]
        fewer = commands.take(np.flatnonzero(~stops | (rng.random(len(stops)) < _STOPS)))
        return joined(fewer, self._goals(context, branch, rng))

    def _goals(self, context: Context, branch: Int64[np.ndarray, " b"], rng: np.random.Generator) -> Proposals:
        sights = Sights(context.landmarks, context.track, branch, context.obstacles)
        goals, seen = goals_in_view(sights, self.families, self.options, rng), "things in view"
        reason = [seen] * len(goals)
        if self.look_round and context.camera is not None:
            elsewhere = goals_elsewhere(sights, context.camera, rng)
            elsewhere = elsewhere.take(np.flatnonzero(rng.random(len(elsewhere)) < self.look_round))
            goals, reason = Goals.joined([goals, elsewhere]), [*reason, *[REASON] * len(elsewhere)]
        start = goals.told + self.stride * (_lags(goals.asked, rng) // self.stride)
        start = np.where(start < len(context.track) - 1, start, goals.told)
        first = len(goals)
        earlier, there = goals_earlier(sights, self.families, rng)
        goals, start = Goals.joined([goals, earlier]), np.concatenate([start, there])
        reason, count = [*reason, *[seen] * len(earlier)], len(goals)
        priority = rng.random(count) - 1.0 - (np.arange(count) >= first)  # who has begun is rare, and comes first
        ago = (start - goals.told).tolist()
        return Proposals(
            start,
            np.full(count, -1),
            tuple(in_training_words(sights, goals, rng)),
            priority,
            goals.asked.least(context.landmarks.score),
            tuple([f"{why} {lag} steps before" if lag else why for why, lag in zip(reason, ago, strict=True)]),
            goals.told,
            np.full((count, 4), np.nan),
            ("",) * count,
            goals.asked,
        )


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
        Asked.nothing(len(start)),
    )


def _lags(asked: Asked, rng: np.random.Generator) -> Int64[np.ndarray, " p"]:
    """Draw how many steps ago each goal was told."""
    family, chance = asked.family, rng.random((2, len(asked)))
    share, most = (np.array([LAGS.get(index, (0.0, 0))[part] for index in range(len(FAMILIES))]) for part in (0, 1))
    return np.where(chance[0] < share[family], 1 + (chance[1] * most[family]).astype(np.int64), 0)


def in_training_words(sights: Sights, goals: Goals, rng: np.random.Generator) -> Iterator[str]:
    """Yield each goal in words."""
    asked, landmarks = goals.asked, sights.landmarks
    short = (rng.random(len(goals)) < _BY_KIND).tolist()
    rows = zip(asked.rule.tolist(), asked.side.tolist(), asked.landmark.tolist(), short, strict=True)
    for rules, sides, named, by_kind in rows:
        name = landmarks.name[named[0][0]] if named[0][0] >= 0 else ""
        if name and thing_named(name) is None:
            yield going_to_any(name, rng)
        else:
            parts = zip(rules, sides, named, strict=True)
            yield in_words(tuple([_clause(sights, *part, by_kind) for part in parts if part[0] >= 0]), rng)


def _clause(sights: Sights, rule: int, side: int, named: list[int], by_kind: bool) -> Clause:
    """Return a clause about landmarks. Of the nearest of a kind only the kind is said: the other thing tells which."""
    things = []
    for place, row in enumerate(row for row in named if row >= 0):
        thing = thing_named(sights.landmarks.name[row])
        assert thing is not None
        nearest = place == 0 and rule == Rule.GO_TO and named[1] >= 0
        things.append(Thing(thing.kind) if nearest or (by_kind and sights.lone[row]) else thing)
    return clause_of(rule, side, tuple(things))


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
        Asked.joined([first.asked, second.asked]),
    )


def chosen(proposals: Proposals, feasible: np.ndarray, per_observation: int) -> Int64[np.ndarray, " k"]:
    """Return the rows of the `per_observation` best feasible proposals of each branch step, in order of step.

    Families of goals take turns, in random order, as long as each has any.
    """
    rows = np.flatnonzero(feasible)
    start, priority = proposals.start[rows], proposals.priority[rows]
    something = proposals.asked.something[rows]
    if something.any():
        turn = np.where(something, _turns(start, proposals.asked.family[rows], np.where(something, priority, 2.0)), 0)
        order = rows[np.lexsort((priority, turn, np.floor(priority), start))]
    else:
        order = rows[np.lexsort((priority, start))]
    start = proposals.start[order]
    first = np.searchsorted(start, start, side="left")
    return order[np.arange(len(order)) - first < per_observation]


def _turns(
    start: Int64[np.ndarray, " k"], family: Int64[np.ndarray, " k"], priority: Float[np.ndarray, " k"]
) -> Int64[np.ndarray, " k"]:
    """Return how many of the same step and family have a lower priority."""
    key = start * len(FAMILIES) + family
    order = np.lexsort((priority, key))
    turn = np.empty(len(key), np.int64)
    turn[order] = np.arange(len(key)) - np.searchsorted(key[order], key[order])
    return turn
