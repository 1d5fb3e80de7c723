"""Output directories made part by part: what is done stays, one writer at a time, no other recipe."""

import pytest

from embodied_cf.datasets.parts import parts
from embodied_cf.errors import OutputError


def make(out, fail=False):
    with parts(out, {"seed": 1}) as state:
        before = state.result("a")
        (out / "a.txt").write_text("made")
        state.finish("a", [1, 2])
        if fail:
            raise KeyboardInterrupt
    return before


def test_a_finished_part_is_remembered_until_the_whole_is_done(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        make(out, fail=True)
    assert make(out) == [1, 2]
    assert [path.name for path in out.iterdir()] == ["a.txt"]
    with pytest.raises(OutputError, match="the directory is not empty"):
        make(out)


def test_another_recipe_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, fail=True)
    with pytest.raises(OutputError, match="another unfinished dataset"), parts(tmp_path, {"seed": 2}):
        pass


def test_two_at_once_exclude_each_other(tmp_path):
    with (
        parts(tmp_path, {"seed": 1}),
        pytest.raises(OutputError, match="another run is writing here"),
        parts(tmp_path, {"seed": 1}),
    ):
        pass


def test_a_directory_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="not empty"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
