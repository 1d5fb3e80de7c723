import pytest
from tables import instant, table

from embodied_cf.envs.tabletop.goals import HOLD_STEPS, Tracker, advance, goal_of, judge
from embodied_cf.errors import UsageError
from embodied_cf.language.instruction import Thing
from embodied_cf.language.tabletop import Place, Push, PushTo, Reach

CUBE, BOWL, PLATE = Thing("cube", "red"), Thing("bowl"), Thing("plate")
TABLE = table(("cube", "red", 0.40, 0.00), ("bowl", "blue", 0.50, 0.20), ("plate", "white", 0.30, -0.20))


def judged(instruction, *instants):
    return judge(instruction, TABLE, [instant(TABLE), *instants])


def held(instruction, **now):
    lifted = [instant(TABLE, t0=(0.4, 0.0, 0.12))] if isinstance(instruction, Place) else []
    return judged(instruction, *lifted, *[instant(TABLE, **now)] * HOLD_STEPS)


# a cube's half height is 0.02, its radius 0.0283; the bowl is 0.062 wide and 0.03 high, the plate 0.06 and 0.008
@pytest.mark.parametrize(
    ("instruction", "now", "success"),
    [
        (Reach(CUBE), {"tip": (0.40, 0.015, 0.055)}, True),
        (Reach(CUBE), {"tip": (0.40, 0.025, 0.055)}, False),  # too far aside
        (Reach(CUBE), {"tip": (0.40, 0.00, 0.065)}, False),  # 0.025 above its top
        (Push(CUBE, "left"), {"t0": (0.40, 0.081, 0.02)}, True),
        (Push(CUBE, "left"), {"t0": (0.40, 0.079, 0.02)}, False),
        (Push(CUBE, "left"), {"t0": (0.46, 0.10, 0.02)}, False),  # askew
        (Push(CUBE, "right"), {"t0": (0.40, 0.081, 0.02)}, False),  # the wrong way
        (Push(CUBE, "forward"), {"t0": (0.49, 0.0, 0.02)}, True),
        (Push(CUBE, "back"), {"t0": (0.31, 0.0, 0.02)}, True),
        (PushTo(CUBE, BOWL), {"t0": (0.50, 0.20 - 0.062 - 0.0283 - 0.019, 0.02)}, True),
        (PushTo(CUBE, BOWL), {"t0": (0.50, 0.20 - 0.062 - 0.0283 - 0.021, 0.02)}, False),
        (Place(CUBE, "in", BOWL), {"t0": (0.51, 0.19, 0.024)}, True),
        (Place(CUBE, "in", BOWL), {"t0": (0.51, 0.19, 0.05)}, False),  # above it
        (Place(CUBE, "in", BOWL), {"t0": (0.51, 0.19, 0.024), "gripper": 0.3}, False),  # not let go
        (Place(CUBE, "in", BOWL), {"t0": (0.51, 0.19, 0.024), "tip": (0.51, 0.19, 0.03)}, False),  # still around it
        (Place(CUBE, "on", PLATE), {"t0": (0.30, -0.20, 0.028)}, True),
        (Place(CUBE, "on", PLATE), {"t0": (0.37, -0.20, 0.02)}, False),  # beside it
        (Place(CUBE, "left", PLATE), {"t0": (0.33, -0.05, 0.02)}, True),
        (Place(CUBE, "right", PLATE), {"t0": (0.33, -0.05, 0.02)}, False),  # the mirrored side
        (Place(CUBE, "left", PLATE), {"t0": (0.37, -0.05, 0.02)}, False),  # not abreast
        (Place(CUBE, "right", PLATE), {"t0": (0.30, -0.35, 0.02)}, True),
    ],
)
def test_what_counts_as_done(instruction, now, success):
    assert held(instruction, **now).success == success


def test_it_must_hold_for_some_steps_in_a_row():
    there, away = instant(TABLE, tip=(0.4, 0.0, 0.05)), instant(TABLE)
    assert not judged(Reach(CUBE), there, there, away, there, there).success
    assert judged(Reach(CUBE), there, there, away, there, there, there).success


def test_a_push_may_not_lift():
    lifted, pushed = instant(TABLE, t0=(0.4, 0.05, 0.06)), instant(TABLE, t0=(0.4, 0.10, 0.02))
    assert judged(Push(CUBE, "left"), *[pushed] * 3).success
    assert not judged(Push(CUBE, "left"), lifted, *[pushed] * 3).success


def test_what_is_placed_was_picked_up():
    beside = instant(TABLE, t2=(0.4, -0.15, 0.004))  # the plate was brought to the cube's right
    assert not judged(Place(CUBE, "left", PLATE), *[beside] * HOLD_STEPS).success
    assert held(Place(CUBE, "left", PLATE), t2=(0.4, -0.15, 0.004)).success


def test_a_thing_that_falls_ends_the_episode():
    tracker = judged(Reach(CUBE), instant(TABLE, t1=(0.9, 0.2, -0.3)))
    assert tracker.fallen
    assert tracker.done
    assert not tracker.success


def test_progress_is_the_best_share_of_the_way_and_one_only_with_success():
    half = judged(Push(CUBE, "left"), instant(TABLE, t0=(0.4, 0.04, 0.02)), instant(TABLE, t0=(0.4, 0.02, 0.02)))
    assert half.progress == pytest.approx(0.5)
    assert judged(Push(CUBE, "left"), instant(TABLE, t0=(0.4, 0.09, 0.02))).progress == 0.99
    assert held(Push(CUBE, "left"), t0=(0.4, 0.09, 0.02)).progress == 1.0


def test_a_finished_tracker_stays():
    done = Tracker(success=True, progress=1.0)
    assert advance(goal_of(Reach(CUBE), TABLE, instant(TABLE)), done, instant(TABLE)) is done


def test_words_must_name_something_here():
    with pytest.raises(UsageError, match="'the green can' names 0 things"):
        goal_of(Reach(Thing("can", "green")), TABLE, instant(TABLE))
