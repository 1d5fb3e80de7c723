"""How new wordings are read: most as one of their own kind."""

from benchmarks.new_wordings import heard_right, kinds


def test_most_new_wordings_are_read_as_one_of_their_own_kind():
    right, count = heard_right(kinds())
    assert count == 97
    assert right >= 80
