"""Goals of all families about things that stand at known places: what is proposed, driven and judged."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from seen import CAMERA, NAV, PROFILE, SCALE, context_of, straight

from embodied_cf.datasets.contract import Labels
from embodied_cf.language.grammar import mirror, parse, phrase
from embodied_cf.language.instruction import (
    FAMILIES,
    ArcAround,
    Chain,
    Do,
    FollowWall,
    GoTo,
    KeepSide,
    PassBetween,
    StopBeside,
    Thing,
    family,
)
from embodied_cf.language.predicate_program import Rule
from embodied_cf.language.verdict import FAIL, PASS, UNKNOWN
from embodied_cf.language.vocabulary import mirror_text
from embodied_cf.relabel.asked import Asked
from embodied_cf.relabel.goal import GoalSynthesizer
from embodied_cf.relabel.goal_verdict import goal_verdicts
from embodied_cf.relabel.propose import GrammarProposer, chosen
from embodied_cf.relabel.propose_earlier import goals_earlier
from embodied_cf.relabel.propose_things import Sights, goals_in_view
from embodied_cf.relabel.stages import Proposals
from embodied_cf.relabel.standing import Standing
from embodied_cf.relabel.synthesize import RUNS_INTO, PrimitiveSynthesizer

CHAIR, BOX = Thing("chair", "red"), Thing("box", "blue")
SYNTHESIZER = GoalSynthesizer(PrimitiveSynthesizer(PROFILE, NAV), CAMERA)
ROOM = {"red chair": (3.0, 0.9, 0.3), "blue box": (3.0, -0.9, 0.3)}


def ask(context, text, rules, named, told=0, start=0):
    """One proposal about landmarks by name: rules [(rule, side)], named [[names of a clause]]."""
    asked = Asked.nothing(1)
    for clause, ((rule, side), names) in enumerate(zip(rules, named, strict=True)):
        asked.rule[0, clause], asked.side[0, clause] = rule, side
        asked.landmark[0, clause, : len(names)] = [context.landmarks.name.index(name) for name in names]
    return Proposals(np.array([start]), np.array([-1]), (text,), np.zeros(1), np.ones(1), ("",), np.array([told]),
                     np.full((1, 4), np.nan), ("",), asked)  # fmt: skip


def judged(context, proposals, chunk):
    labels = Labels(("counterfactual",), proposals.start.astype(np.int32), proposals.start.astype(np.int32) + 8,
                    proposals.instruction, ("",), chunk.astype(np.float32), np.ones((1, 8), bool),
                    np.ones(1, np.float32), ("",))  # fmt: skip
    return int(goal_verdicts(Standing.of(context, proposals), labels, 8 * SCALE.step)[0])


def test_landmarks_stand_where_the_things_do():
    landmarks = context_of(ROOM).landmarks
    assert landmarks.name == ("blue box", "red chair")
    np.testing.assert_allclose(landmarks.place, [ROOM["blue box"], ROOM["red chair"]], atol=1e-6)
    assert (landmarks.support > 0.8).all()


CASES = [
    ("stop left of the red chair", [(Rule.STOP_BESIDE, 1)], [["red chair"]]),
    ("stop right of the blue box", [(Rule.STOP_BESIDE, -1)], [["blue box"]]),
    ("pass between the red chair and the blue box", [(Rule.PASS_BETWEEN, 0)], [["red chair", "blue box"]]),
    ("take a wide left arc around the red chair", [(Rule.ARC_AROUND, 1)], [["red chair"]]),
    ("take a wide right arc around the blue box", [(Rule.ARC_AROUND, -1)], [["blue box"]]),
    ("go to the red chair", [(Rule.GO_TO, 0)], [["red chair"]]),
    ("go to the chair nearest the blue box", [(Rule.GO_TO, 0)], [["red chair", "blue box"]]),
    ("go to the red chair, then stop left of the blue box", [(Rule.GO_TO, 0), (Rule.STOP_BESIDE, 1)],
     [["red chair"], ["blue box"]]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rules", "named"), CASES, ids=[case[0] for case in CASES])
def test_what_is_made_is_judged_good_and_its_opposite_bad(text, rules, named):
    context = context_of(ROOM)
    proposals = ask(context, text, rules, named)
    made = SYNTHESIZER.synthesize(context, proposals)
    assert made.reason == ("",)
    assert judged(context, proposals, made.action) == PASS
    assert judged(context, proposals, -made.action) == FAIL
    otherwise = replace(proposals, instruction=(mirror_text(text) if "left" in text or "right" in text else "stop",))
    assert judged(context, otherwise, made.action) == UNKNOWN, "other words than the goal's"


@pytest.mark.parametrize(("text", "rules", "named"), CASES[:6], ids=[case[0] for case in CASES[:6]])
def test_in_a_mirror_everything_is_mirrored(text, rules, named):
    mirrored = {name: (x, -y, radius) for name, (x, y, radius) in ROOM.items()}
    flipped = [(rule, -side) for rule, side in rules]
    here, there = (
        SYNTHESIZER.synthesize(context_of(room), ask(context_of(room), words, asked, named)).action
        for room, words, asked in ((ROOM, text, rules), (mirrored, mirror_text(text), flipped))
    )
    np.testing.assert_allclose(there, here * np.array([1.0, -1.0]), atol=1e-5)


def test_the_sides_of_a_thing_are_driven_to():
    """A chair straight ahead: its left is on positive y."""
    context = context_of({"red chair": (3.0, 0.0, 0.3)})
    for word, side in (("left", 1), ("right", -1)):
        for text, rule in ((f"stop {word} of the red chair", Rule.STOP_BESIDE),
                           (f"take a wide {word} arc around the red chair", Rule.ARC_AROUND)):  # fmt: skip
            made = SYNTHESIZER.synthesize(context, ask(context, text, [(rule, side)], [["red chair"]]))
            assert made.reason == ("",)
            assert side * made.action[0, -1, 1] > 0.15


def test_who_stands_at_the_gap_goes_through_and_stops_beyond():
    """Told 7 steps ago, the robot has since driven to the gap's line: the rest is 0.8 m, and then it stands."""
    track = straight(12, 0.3)
    context = context_of({"red chair": (2.1, 0.9, 0.3), "blue box": (2.1, -0.9, 0.3)}, track)
    proposals = ask(context, CASES[2][0], *CASES[2][1:], told=0, start=7)
    made = SYNTHESIZER.synthesize(context, proposals)
    assert made.reason == ("",)
    assert made.action[0, -1, 0] == pytest.approx(0.8, abs=SCALE.step)
    assert (made.action[0, -1] == made.action[0, -2]).all()
    assert judged(context, proposals, made.action) == PASS


def test_a_chain_goes_on_where_its_first_goal_is_reached():
    """Told 7 steps ago to go to the chair, 2.1 m on the robot stands before it: now the box counts."""
    context = context_of({"red chair": (3.2, 0.35, 0.3), "blue box": (2.6, -2.0, 0.3)}, straight(12, 0.3))
    told = ask(context, "go to the red chair, then go to the blue box", [(Rule.GO_TO, 0), (Rule.GO_TO, 0)],
               [["red chair"], ["blue box"]], told=0, start=7)  # fmt: skip
    assert Standing.of(context, told).clause.tolist() == [1]
    made = SYNTHESIZER.synthesize(context, told)
    assert made.reason == ("",)
    assert made.action[0, -1, 1] < -0.3
    assert judged(context, told, made.action) == PASS
    early = SYNTHESIZER.synthesize(context, replace(told, start=np.array([0])))
    assert early.action[0, -1, 1] > -0.05


def test_a_command_that_is_half_carried_out_goes_on_until_it_is_done():
    """Turning left by 0.14 rad a step since it was told: after 4 it turns on, after 8 (64 degrees) it goes straight on
    until it has settled, and then to the box."""
    track = straight(14, 0.1)
    track[:, 2] = 0.14 * np.minimum(np.arange(14), 8)
    context = context_of({"blue box": (3.0, 1.5, 0.3)}, track)
    text, names = "turn left, then go to the blue box", context.meaning.vocabulary.names
    made = []
    for start, clause in ((0, 0), (4, 0), (8, 0), (10, 1)):
        told = ask(context, text, [(Rule.TURN, 1), (Rule.GO_TO, 0)], [[], ["blue box"]], told=0, start=start)
        assert Standing.of(context, told).clause.tolist() == [clause]
        made.append(SYNTHESIZER.synthesize(context, told).action[0])
    turn, on = (SYNTHESIZER.primitive.table[names.index(name)] for name in ("turn_left", "forward"))
    for action, expected in zip(made, (turn, turn, on), strict=False):
        np.testing.assert_allclose(action, expected)
    assert made[3][-1, 1] < -0.2, "the box is to the right by now"


def test_chains_often_begin_with_what_was_done_next():
    for turn, begun in ((0.1, (Rule.TURN, 1)), (-0.1, (Rule.TURN, -1)), (0.0, (Rule.FORWARD, 0))):
        track = straight(12, 0.1)
        track[:, 2] = turn * np.arange(12)
        found = [goals(context_of(ROOM, track), ("chained",), seed=seed).asked for seed in range(40)]
        rules, sides = (np.concatenate([getattr(asked, name)[:, 0] for asked in found]) for name in ("rule", "side"))
        commands = np.isin(rules, (Rule.TURN, Rule.FORWARD))
        like = commands & (rules == begun[0]) & (sides == begun[1])
        assert 0.45 < like.sum() / commands.sum() < 0.9, "by chance it is a third; near the end little is done"


def test_what_stands_in_the_way_is_driven_around():
    plain = {"red chair": (3.5, 0.0, 0.3)}
    blocked = {**plain, "blue box": (1.5, -0.3, 0.3)}
    free, bent = (
        SYNTHESIZER.synthesize(context_of(room), ask(context_of(room), "go to the red chair", [(Rule.GO_TO, 0)],
                                                     [["red chair"]]))
        for room in (plain, blocked)
    )  # fmt: skip
    assert np.abs(free.action[0, :, 1]).max() < 0.05
    assert bent.reason == ("",)
    room = np.linalg.norm(bent.action[0] - np.array([1.5, -0.3]), axis=1) - 0.3 - 0.25
    assert room.min() >= 0.05


def test_commands_that_run_into_a_thing_are_not_made():
    context = context_of({"blue box": (1.7, 0.0, 0.3)})
    proposals = asyncio.run(GrammarProposer(families=()).propose(context, np.random.default_rng(0)))
    made = SYNTHESIZER.synthesize(context, proposals)
    names = context.meaning.vocabulary.names
    reasons = {names[command]: reason for command, reason in zip(proposals.command.tolist(), made.reason, strict=True)}
    assert reasons["forward"] == RUNS_INTO
    assert reasons["turn_left"] == reasons["turn_right"] == ""


def goals(context, families=FAMILIES, seed=0):
    steps = np.arange(len(context.track) - 1)
    sights = Sights(context.landmarks, context.track, steps, context.obstacles)
    return goals_in_view(sights, families, 2, np.random.default_rng(seed))


def test_who_has_arrived_beside_a_thing_is_told_so_and_stands():
    """A chair 0.9 m to the left of where the robot drives: told 14 steps before it is abreast of it, it stops right of
    it, and stands within 0.3 m of the place, 0.6 m from its surface."""
    context = context_of({"red chair": (3.0, 0.9, 0.3)}, straight(30, 0.15))
    sights = Sights(context.landmarks, context.track, np.arange(29), context.obstacles)
    found, start = goals_earlier(sights, ("referential",), np.random.default_rng(0))
    assert set(found.asked.rule[:, 0].tolist()) == {Rule.STOP_BESIDE}
    assert set(found.asked.side[:, 0].tolist()) == {-1}
    assert set((start - found.told).tolist()) == {14, 19}, "from nearer, its right side is another place"
    proposals = asyncio.run(GrammarProposer(families=("referential",)).propose(context, np.random.default_rng(0)))
    there = np.flatnonzero((proposals.asked.rule[:, 0] == Rule.STOP_BESIDE) & (proposals.priority < -1))
    assert sorted(proposals.start[there].tolist()) == sorted(start.tolist())
    made = SYNTHESIZER.synthesize(context, proposals.take(there))
    assert made.reason == ("",) * len(there)
    assert not made.action.any()
    first = int(there[0])
    assert judged(context, proposals.take(there[:1]), made.action[:1]) == PASS, proposals.instruction[first]
    early = replace(sights, steps=np.arange(5))
    assert not len(goals_earlier(early, ("referential",), np.random.default_rng(0))[1]), "nobody has arrived yet"


def begun(context, rule, families):
    """The goals of a rule told some steps before, as proposals, and what is made of them."""
    proposals = asyncio.run(GrammarProposer(families=families).propose(context, np.random.default_rng(0)))
    rows = np.flatnonzero((proposals.asked.rule[:, 0] == rule) & (proposals.priority < -1))
    return proposals.take(rows), SYNTHESIZER.synthesize(context, proposals.take(rows))


def test_who_has_passed_between_two_things_stands_beyond_them():
    """A gap of 1.4 m, 2.5 m ahead of a robot that drives straight through it."""
    context = context_of({"red chair": (2.5, 1.0, 0.3), "blue box": (2.5, -1.0, 0.3)}, straight(40, 0.15))
    told, made = begun(context, Rule.PASS_BETWEEN, ("referential",))
    past = context.track[told.start, 0] - 2.5
    through = np.flatnonzero((past > 0.7) & (past < 1.2))
    assert len(through)
    assert {made.reason[row] for row in through.tolist()} == {""}
    assert not made.action[through].any()
    assert (told.start - told.seen)[through].min() >= 8
    before = np.flatnonzero(context.track[told.start, 0] < 2.0)
    assert (made.action[before, -1, 0] > 0.5).all(), "who is still before them drives on"
    assert judged(context, told.take(through[:1]), made.action[through[:1]]) == PASS


def test_who_has_turned_enough_stands_and_who_has_not_turns():
    """Turned left by 80 degrees in 14 steps, and driven on straight."""
    bend = np.minimum(np.arange(40) * 0.1, np.radians(80))
    steps = 0.12 * np.stack([np.cos(bend), np.sin(bend)], axis=1)
    context = context_of(ROOM, np.column_stack([np.cumsum(steps, axis=0), bend]))

    def left(start):
        proposals = ask(context, "turn left", [(Rule.TURN, 1)], [[]], told=0, start=start)
        made = SYNTHESIZER.synthesize(context, proposals)
        return made.reason, made.action, judged(context, proposals, made.action)

    reason, action, verdict = left(20)
    assert (reason, action.any(), verdict) == (("",), False, PASS)
    reason, action, verdict = left(4)
    assert (reason, action[0, -1, 1] > 0.1) == (("",), True)


def test_commands_are_told_some_steps_before():
    told, _ = begun(context_of(ROOM, straight(40, 0.15)), Rule.FORWARD, ("continuous",))
    assert len(told) > 10
    assert (told.start > told.seen).all()
    assert {parse(text) for text in told.instruction} == {Do("forward")}


def test_who_drives_around_a_thing_is_told_so_on_the_way():
    """Past a chair at 1.2 m, and then clockwise around it: left around it, and done after 120 degrees."""
    angle = np.pi / 2 - np.radians(6) * np.arange(25)
    arc = np.column_stack([1.2 * np.cos(angle), 1.2 * np.sin(angle), angle - np.pi / 2])
    straight_on = straight(17, 0.15) + np.array([-2.5, 1.2, 0.0])
    context = context_of({"red chair": (0.0, 0.0, 0.3)}, np.concatenate([straight_on, arc]))
    told, made = begun(context, Rule.ARC_AROUND, ("continuous",))
    assert set(told.asked.side[:, 0].tolist()) == {1}
    bearing = np.unwrap(np.arctan2(*context.track[:, 1::-1].T))
    swept = bearing[told.seen] - bearing[told.start]
    assert {made.reason[row] for row in np.flatnonzero(swept > np.radians(150)).tolist()} == {""}
    done = [not chunk.any() for chunk in made.action]
    assert np.array(done)[swept > np.radians(150)].all()
    assert not np.array(done)[swept < np.radians(115)].any()


def test_every_family_is_proposed_and_can_be_left_out():
    context = context_of(ROOM)
    found = goals(context)
    assert set(found.asked.family.tolist()) == {0, 1, 2, 3}
    per = np.unique(found.told * 4 + found.asked.family, return_counts=True)[1]
    assert per.max() <= 2
    for index, name in enumerate(FAMILIES):
        assert set(goals(context, (name,)).asked.family.tolist()) == {index}


@pytest.mark.parametrize(
    ("things", "rule"),
    [
        ({"red chair": (3.0, 0.5, 0.3), "blue box": (3.0, -0.5, 0.3)}, Rule.PASS_BETWEEN),  # 0.4 m wide
        ({"red chair": (4.0, 1.9, 0.3), "blue box": (4.0, -1.9, 0.3)}, Rule.PASS_BETWEEN),  # 3.2 m wide
        ({"red chair": (1.2, 0.0, 0.3)}, Rule.STOP_BESIDE),  # 0.9 m off
        ({"red chair": (7.5, 0.0, 0.3)}, Rule.ARC_AROUND),  # 7.2 m off
        ({"wooden spoon": (3.0, 0.0, 0.3)}, Rule.STOP_BESIDE),  # no word of the grammar
    ],
)
def test_what_makes_no_sense_is_not_proposed(things, rule):
    for seed in range(5):
        assert rule not in goals(context_of(things), seed=seed).asked.rule


def test_the_nearest_of_a_kind_is_told_by_what_it_is_near_to():
    things = {"red chair": (3.0, 1.2, 0.3), "green chair": (5.0, -2.0, 0.3), "blue box": (4.0, 2.0, 0.3)}
    context = context_of(things)
    texts = asyncio.run(GrammarProposer(families=("referential",)).propose(context, np.random.default_rng(0)))
    near = [read for read in map(parse, texts.instruction) if isinstance(read, GoTo)]
    assert near
    assert {(read.thing, read.near.kind) for read in near} == {(Thing("chair"), "box")}
    assert {context.landmarks.name[row] for row in
            texts.asked.landmark[texts.asked.rule[:, 0] == Rule.GO_TO, 0, 0].tolist()} == {"red chair"}  # fmt: skip


def test_texts_say_what_is_asked_in_training_words():
    proposals = asyncio.run(GrammarProposer().propose(context_of(ROOM), np.random.default_rng(1)))
    rows = np.flatnonzero(proposals.is_goal).tolist()
    names = [FAMILIES[index] for index in proposals.asked.family[rows].tolist()]
    assert [family(parse(proposals.instruction[row])) for row in rows] == names
    assert proposals.seen[rows].max() < 9
    assert (proposals.start >= proposals.seen).all()


def test_names_that_the_grammar_does_not_have_can_be_gone_to():
    context = context_of({"wooden spoon": (2.5, 0.0, 0.3)})
    proposals = asyncio.run(GrammarProposer().propose(context, np.random.default_rng(0)))
    rows = np.flatnonzero(proposals.asked.landmark[:, 0, 0] >= 0)
    assert len(rows)
    assert all("the wooden spoon" in proposals.instruction[row] for row in rows.tolist())
    made = SYNTHESIZER.synthesize(context, proposals.take(rows[:1]))
    assert judged(context, proposals.take(rows[:1]), made.action) == PASS


def test_families_take_turns_where_few_are_kept():
    proposals = asyncio.run(GrammarProposer().propose(context_of(ROOM), np.random.default_rng(0)))
    fresh = proposals.take(np.flatnonzero(proposals.start == proposals.seen))
    rows = chosen(fresh, np.ones(len(fresh), bool), 4)
    kept = fresh.take(rows)
    for step in range(9):
        there, taken = (set(part.asked.family[part.is_goal & (part.start == step)].tolist()) for part in (fresh, kept))
        assert taken == there


def test_the_same_seed_proposes_the_same():
    first, second = (
        asyncio.run(GrammarProposer().propose(context_of(ROOM), np.random.default_rng(3))) for _ in range(2)
    )
    assert first.instruction == second.instruction
    np.testing.assert_array_equal(first.asked.landmark, second.asked.landmark)


@pytest.mark.parametrize(
    "instruction",
    [StopBeside(CHAIR, "left"), ArcAround(BOX, "right"), FollowWall("left"), KeepSide("right"), PassBetween(CHAIR, BOX),
     Chain((Do("turn_left"), StopBeside(BOX, "right")))],
    ids=lambda instruction: type(instruction).__name__,
)  # fmt: skip
def test_mirrored_words_mean_the_mirrored_instruction(instruction):
    rng = np.random.default_rng(0)
    for held_out in (False, True):
        for _ in range(60):
            assert parse(mirror_text(phrase(instruction, rng, held_out))) == mirror(instruction)
