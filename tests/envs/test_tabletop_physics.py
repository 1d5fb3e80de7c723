import numpy as np
import pytest
from tables import table

from embodied_cf.envs.tabletop.dynamics import MAX_MOVE, Table, checked_row, rows_of
from embodied_cf.envs.tabletop.layout import Layout, draw_layout
from embodied_cf.errors import UsageError

OPEN, CLOSED = 1.0, 0.0


def row(x=0.0, y=0.0, z=0.0, yaw=0.0, gripper=OPEN):
    return np.array([x, y, z, 0.0, 0.0, yaw, gripper])


@pytest.fixture(scope="module")
def cube_table():
    return Table(table(("cube", "red", 0.4, 0.0), ("ball", "blue", 0.5, 0.2)))


def random_rows(rng, steps):
    return rng.uniform([-0.05] * 3 + [-0.3] * 3 + [0], [0.05] * 3 + [0.3] * 3 + [1], (steps, 7))


def test_a_row_moves_the_fingertips_by_what_it_says(cube_table):
    begin = cube_table.initial
    end = cube_table.step(begin, np.array([0.03, -0.04, 0.02, 0.1, -0.1, 0.3, 0.5]))
    moved = cube_table.instant(end).effector - cube_table.instant(begin).effector
    np.testing.assert_allclose(moved, [0.03, -0.04, 0.02, 0.1, -0.1, 0.3, -0.5], atol=2e-3)


def test_more_than_one_row_can_do_is_cut_off(cube_table):
    moved = cube_table.instant(cube_table.step(cube_table.initial, row(x=1.0))).effector[0] - 0.4
    assert moved == pytest.approx(MAX_MOVE, abs=1e-3)


def test_the_hand_stays_over_the_table(cube_table):
    run = cube_table.branch(cube_table.initial, np.tile(row(x=-0.05, z=-0.05), (12, 1)))
    x, _, z = run.instants[-1].effector[:3]
    assert x == pytest.approx(0.12, abs=0.005)
    assert 0.0 <= z <= 0.01


def test_things_rest_where_the_layout_puts_them(cube_table):
    now = cube_table.instant(cube_table.initial)
    np.testing.assert_allclose(now.position, [[0.4, 0.0, 0.02], [0.5, 0.2, 0.022]], atol=1e-3)
    np.testing.assert_allclose(now.yaw, 0.0, atol=1e-3)


def test_fingers_hold_and_lift_a_cube(cube_table):
    down, grasp, up = [row(z=-0.05)] * 3 + [row(z=-0.02)], [row(gripper=CLOSED)], [row(z=0.05, gripper=CLOSED)] * 2
    aside = [row(y=0.05, gripper=CLOSED)] * 3
    run = cube_table.branch(cube_table.initial, np.array([*down, *grasp, *up, *aside]))
    assert run.instants[5].effector[6] == pytest.approx(0.5, abs=0.04), "0.02 m of 0.04 m: closed on the cube"
    np.testing.assert_allclose(run.instants[-1].position[0], [0.4, 0.15, 0.12], atol=0.006)


def test_a_closed_hand_pushes(cube_table):
    start = np.array([*[row(x=-0.05, z=-0.05, gripper=0.3)] * 3, row(z=-0.02, gripper=0.3)])
    run = cube_table.branch(cube_table.initial, np.concatenate([start, np.tile(row(x=0.05, gripper=0.3), (4, 1))]))
    x, y, z = run.instants[-1].position[0]
    assert x > 0.44
    assert y == pytest.approx(0.0, abs=0.01)
    assert z == pytest.approx(0.02, abs=0.002)


@pytest.mark.parametrize("seed", range(12))
def test_a_branch_with_the_factual_rows_is_bit_equal(seed):
    rng = np.random.default_rng(seed)
    pairs = np.array([(kind, colour) for kind in range(6) for colour in range(8)], np.int32)
    here = Table(draw_layout(pairs, rng))
    rows = random_rows(rng, 8)
    run = here.branch(here.initial, rows)
    at = int(rng.integers(1, 7))
    here.branch(run.states[3], random_rows(rng, 2))  # what was simulated in between must not matter
    again, elsewhere = here.branch(run.states[at], rows[at:]), Table(here.layout).branch(run.states[at], rows[at:])
    for step, factual in enumerate(run.states[at:]):
        np.testing.assert_array_equal(again.states[step].vector, factual.vector)
        np.testing.assert_array_equal(elsewhere.states[step].vector, factual.vector)
    other = here.branch(run.states[at], rows[at:] * 0.5)
    assert not np.array_equal(other.states[-1].vector, run.states[-1].vector)


def test_rows_carry_out_a_chunk():
    chunk = np.zeros((8, 7))
    chunk[:, 0], chunk[:, 5], chunk[:, 6] = 0.02 * np.arange(1, 9), -0.1 * np.arange(1, 9), np.arange(8) % 2
    expected = np.tile([0.02, 0, 0, 0, 0, -0.1, 0], (8, 1))
    expected[:, 6] = np.arange(8) % 2
    np.testing.assert_allclose(rows_of(chunk), expected, atol=1e-12)


def test_broken_rows_are_refused(cube_table):
    with pytest.raises(UsageError, match=r"row of shape \(6,\) where \(7,\) belongs"):
        checked_row(np.zeros(6))
    with pytest.raises(UsageError, match="not finite"):
        cube_table.step(cube_table.initial, row(x=np.nan))


def test_a_table_holds_one_to_six_things():
    with pytest.raises(UsageError, match="0 things"):
        table()
    with pytest.raises(UsageError, match="7 things"):
        table(*[("can", "red", 0.1 * k, 0.0) for k in range(7)])


def test_things_stand_apart():
    rng = np.random.default_rng(5)
    pairs = np.array([(kind, colour) for kind in range(6) for colour in range(8)], np.int32)
    for _ in range(50):
        layout: Layout = draw_layout(pairs, rng)
        count = len(layout.kind)
        assert 3 <= count <= 6
        gaps = (
            np.linalg.norm(layout.position[:, None] - layout.position, axis=2) - layout.radius - layout.radius[:, None]
        )
        assert gaps[~np.eye(count, dtype=bool)].min() > 0.06
        assert len(set(zip(layout.kinds, layout.colours, strict=True))) == count
