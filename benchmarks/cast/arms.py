"""The arms: which labels each policy is trained on, in which shares, and with which settings.

All arms have the same network, number of steps and batch, and learn from the same logs, except where it says
otherwise. One set of captioner answers (the honest `scene` captioner) serves all that need any; that of `oracle` knows
exactly what each frame shows.
"""

from collections.abc import Iterable

from benchmarks.cast.ablations import ABLATIONS
from benchmarks.cast.arm import (
    CAST,
    DECISION,
    DEMOS,
    EXACT,
    EXACT_DEMOS,
    LABELLED,
    LEARNED,
    MATCHED,
    Arm,
    Share,
    mix,
)
from embodied_cf.evaluate.demo import ARMS as DEMO
from embodied_cf.evaluate.demo import OURS, THEIRS

FRAME, ORACLE, PLANNER, BLIND, ATOMIC = "hindsight-frame", "oracle", "planner", "blind", "atomic"
_PUBLISHED = {"hindsight": 4, "atomic": 6, "counterfactual": 4}
"""Shares of the published recipe: what was done, six sets of atomic commands, counterfactual rows."""
_ONE_FRAME = ("model.history=1",)
"""For who learns from what was done: a memory harms them, see `hindsight-frame`. The published recipe has none."""

ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(
            THEIRS,
            "what was done, in words of every family, and that it stands where it is done, though robots drove on: a "
            "standard policy's data, as in the demonstration",
            (Share(LABELLED, "hindsight", DEMO[THEIRS][0], stop_at_end=True),),
        ),
        Arm(
            FRAME,
            "`hindsight` of the present frame alone: what was done goes on as it went before, and who remembers that "
            "needs not listen (arXiv 1905.11979)",
            (Share(LABELLED, "hindsight", 1, stop_at_end=True),),
            _ONE_FRAME,
        ),
        Arm(
            OURS,
            "at every frame what could be told there, driven by the synthesizer and verified; not what was done",
            mix(LABELLED),
        ),
        Arm(
            ORACLE,
            "`embodied-cf` with a captioner that makes no faults: whatever can be told at states of the logs and of an "
            "expert, half of the samples each. It works out where things and walls are from exact boxes and the floor, "
            "as `embodied-cf` does, and reads no map",
            (*mix(EXACT), *mix(EXACT_DEMOS)),
        ),
        Arm(
            "hindsight+",
            "`hindsight-frame`, half of the samples where a decision is made (first frames, and where an atomic "
            "segment or an arrival's range begins), instruction dropout 15 %",
            (Share(LABELLED, "hindsight", 1, stop_at_end=True), Share(LABELLED, "counterfactual", 1, DECISION)),
            ("loss.instruction_dropout=0.15", *_ONE_FRAME),
        ),
        Arm(
            "matched",
            "`embodied-cf` with each counterfactual row replaced by what was really done at its frame, under "
            "hindsight's words and with its stops (or the atomic command's words, where it has none): as many rows, in "
            "the same shares, of the present frame alone",
            mix(LABELLED, extra=MATCHED),
            _ONE_FRAME,
        ),
        Arm(
            "demos",
            "an expert who was told one instruction an episode, chains part by part; as many episodes as logs",
            (Share(DEMOS, "hindsight", 1, stop_at_end=True),),
        ),
        Arm(
            "demos-frame",
            "`demos` of the present frame alone",
            (Share(DEMOS, "hindsight", 1, stop_at_end=True),),
            _ONE_FRAME,
        ),
        Arm(
            "cast",
            "the published recipe: counterfactual words at segment starts, driven as the one atomic command that comes "
            "nearest, not verified, beside what was done and atomic commands in the published shares; present frame "
            "alone. Commands are driven as arcs, not by a learned atomic policy (`benchmarks/cast/published.py`)",
            tuple(Share(CAST, kind, weight, stop_at_end=kind == "hindsight") for kind, weight in _PUBLISHED.items()),
            _ONE_FRAME,
        ),
        Arm(
            BLIND,
            "`embodied-cf`, told nothing in training and in driving: the language-blind twin",
            mix(LABELLED),
            ("loss.instruction_dropout=1.0",),
            driver="deaf",
        ),
        Arm(PLANNER, "the expert, who knows the map; not trained", ()),
        Arm(
            "learned-captions",
            "`embodied-cf` with the learned captioner's answers, which come from pixels alone",
            mix(LEARNED),
        ),
        Arm(
            ATOMIC,
            "the motion of each segment under the words of its atomic command and nothing else; told the instruction "
            "as it is, which names no command unless a chain begins with one",
            (Share(LABELLED, "atomic", 1),),
        ),
        Arm(
            "atomic+captioner",
            "the policy of `atomic`, told at every decision which command comes next, by the learned captioner, which "
            "understands every wording",
            (Share(LABELLED, "atomic", 1),),
            driver="captioned",
            trained_as=ATOMIC,
        ),
        *ABLATIONS,
    )
}
"""By name, in order of worth."""


def datasets(arms: Iterable[Arm]) -> tuple[str, ...]:
    """Return the datasets that arms need, each once."""
    return tuple(dict.fromkeys(share.data for arm in arms for share in arm.shares))
