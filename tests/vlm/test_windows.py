from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from embodied_cf.vlm.windows import described_steps, overlap, windows


@given(st.integers(0, 500), st.integers(1, 60), st.data())
def test_windows_cover_every_step(length: int, window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window))
    found = windows(length, window, stride)
    assert {step for start, end in found for step in range(start, end)} == set(range(length))
    assert all(end - start == min(window, length) for start, end in found)
    assert list(found) == sorted(set(found)), "in order, none twice"
    assert all(0 < later[0] - earlier[0] <= stride for earlier, later in pairwise(found))


def test_windows_by_hand() -> None:
    assert windows(0, 10, 5) == ()
    assert windows(1, 10, 5) == ((0, 1),)
    assert windows(10, 10, 5) == ((0, 10),)
    assert windows(11, 10, 10) == ((0, 10), (1, 11))
    assert windows(23, 10, 5) == ((0, 10), (5, 15), (10, 20), (13, 23))


@given(st.integers(0, 300), st.integers(1, 50))
def test_described_steps_end_with_the_last(length: int, every: int) -> None:
    steps = described_steps(length, every)
    assert list(steps) == sorted(set(steps))
    assert all(0 < later - earlier <= every for earlier, later in pairwise(steps))
    assert steps[:1] + steps[-1:] == ((0, length - 1) if length > 0 else ())


def test_overlap() -> None:
    assert overlap((0, 5), (3, 9)) == (3, 5)
    assert overlap((0, 3), (3, 9)) is None
