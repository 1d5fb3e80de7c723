"""The row: who does what it is told passes, who is deaf follows nothing, and tables are counted as such."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from gl import drawing

from benchmarks.tabletop.compare import compared
from benchmarks.tabletop.row import RowPlan, outcomes
from benchmarks.tabletop.situations import place_of, trials
from benchmarks.tabletop.truth import Measure
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.randomness import generator
from embodied_cf.evaluate.demo import OURS, THEIRS
from embodied_cf.language import arm
from embodied_cf.language.meaning import ArmMeaning
from embodied_cf.language.scale import MotionScale
from embodied_cf.policies.contract import ActionChunk
from embodied_cf.relabel.profile import Profile

SCALE = MotionScale(step=0.04, turn=0.5)
MEASURE = Measure(Profile(SCALE, np.array([0.2, -0.3, 0.0]), np.array([0.6, 0.3, 0.25]), 1), ArmMeaning(SCALE), 8)
PLAN = RowPlan(steps=0, tables=1, split="test", bias=1.0, seed=3)


@dataclass(frozen=True)
class Puppet:
    """Goes straight where it is told; deaf, it goes up whatever it is told."""

    deaf: bool
    camera: tuple[int, int] = (16, 16)
    history: int = 1
    embodiment = load_embodiment("arm")

    def act(self, observation, instruction, rng):
        chunk = np.zeros((len(instruction), 8, 7), np.float32)
        for row, text in enumerate(instruction):
            (command,) = ("move_up",) if self.deaf else arm.VOCABULARY.parse(text)
            index = arm.VOCABULARY.index[command]
            if index < len(arm.MOVES):
                axis, sign = arm.MOVES[index]
                chunk[row, :, axis] = sign * SCALE.step * np.arange(1, 9)
        assert observation.image.shape == (len(instruction), 1, 16, 16, 3)
        return ActionChunk(chunk, np.ones(chunk.shape[:2], bool))


def test_who_listens_passes_and_who_is_deaf_does_not(tmp_path):
    known, policies = tmp_path / "trials.jsonl", {OURS: Puppet(deaf=False), THEIRS: Puppet(deaf=True)}
    with drawing():
        lines = list(outcomes(MEASURE, policies, PLAN, known))
        moves = [line for line in lines if line["command"].startswith("move")]
        assert {line["command"] for line in lines} >= {"move_left", "move_up", "hold", "rotate_left"}
        assert all(line[OURS]["told"]["passes"] and not line[OURS]["shuffled"]["passes"] for line in moves)
        assert all(line[THEIRS]["told"]["passes"] == (line["command"] == "move_up") for line in moves)
        assert not any(line["chance"] for line in lines)
        assert list(outcomes(MEASURE, {}, PLAN, known)) == lines, "what is known is not tried again"


def test_a_situation_is_a_function_of_its_number():
    one, same, other = (place_of("test", number, 0, 1.0) for number in (4, 4, 5))
    np.testing.assert_array_equal(one.state.vector, same.state.vector)
    assert len(other.state.vector) != len(one.state.vector) or (other.state.vector != one.state.vector).any()
    asked = list(trials(MEASURE, one, generator(0, "told")))
    assert all(trial.command != trial.other for trial in asked)


def line(table, ours, theirs, shuffled=False):
    """A trial: what came of it for either policy."""
    marks = {name: {"told": {"passes": told, "clean": told}, "shuffled": {"passes": shuffled, "clean": False}}
             for name, told in ((OURS, ours), (THEIRS, theirs))}  # fmt: skip
    return json.loads(json.dumps({"table": table, "command": "hold", "chance": False, **marks}))


def test_tables_count_the_same_whatever_can_be_done_on_them():
    lines = [line(0, True, False)] * 3 + [line(1, True, True)] * 9
    numbers = compared(lines, generator(0, "test"))
    assert numbers["arms"][THEIRS]["success"]["value"] == 0.75
    assert numbers["gain"]["value"] == 0.25
    assert numbers["by_table"]["value"] == 0.5
    assert numbers["arms"][OURS]["following"]["value"] == pytest.approx(1.0)
