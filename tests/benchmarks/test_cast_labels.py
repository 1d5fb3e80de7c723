import numpy as np

from benchmarks.cast.labels import decision_rows, matched_rows, told_rows
from embodied_cf.datasets.contract import EncodedImages, Episode, Labels, Span
from embodied_cf.datasets.embodiment import load_embodiment
from embodied_cf.datasets.randomness import generator

BODY = load_embodiment("nav")
STEPS = 12
CHUNK = 0.1 * np.arange(1, 9)[:, None] * [1.0, 0.0]


def table(rows):
    """Labels of (kind, start, end, instruction)."""
    count = len(rows)
    kinds, start, end, texts = zip(*rows, strict=True)
    action = np.zeros((count, 8, 2), np.float32)
    mask = np.arange(8) < np.subtract(end, start)[:, None]
    return Labels(kinds, np.array(start, np.int32), np.array(end, np.int32), texts, ("",) * count, action, mask,
                  np.ones(count, np.float32), ("0" * 16,) * count)  # fmt: skip


def straight(labels=(), language=()):
    """A robot that drives straight on, 0.1 m a step."""
    pose = np.stack([0.1 * np.arange(STEPS), np.zeros(STEPS), np.zeros(STEPS)], axis=1)
    return Episode(
        "logs/1.0.0/train/00000/00000",
        {"primary": EncodedImages([b""] * STEPS)},
        np.zeros((STEPS, 3)),
        np.tile([0.4, 0.0], (STEPS, 1)),
        np.ones(STEPS, bool),
        0.25 * np.arange(STEPS),
        pose,
        language=language,
        labels={"labels": table(labels)} if labels else {},
    )


def test_decision_rows_are_where_something_begins():
    episode = straight([("hindsight", 0, 9, "go to the red box"), ("atomic", 0, 4, "go straight"),
                        ("atomic", 4, 11, "turn left"), ("counterfactual", 7, 11, "stop")])  # fmt: skip
    rows = decision_rows(episode, BODY, generator(0, "test"))
    assert list(rows.start) == [0, 4]
    assert list(rows.instruction) == ["go to the red box"] * 2
    np.testing.assert_allclose(rows.action[0], CHUNK, atol=1e-6)
    np.testing.assert_allclose(rows.action[1], np.minimum(CHUNK, [0.5, 0.0]), atol=1e-6)  # stands from step 9 on
    assert rows.mask.all()
    assert rows.labels("0" * 16).end.tolist() == [8, 12]
    assert rows.labels("0" * 16).told.tolist() == [0, 0]  # when what holds there began


def test_matched_rows_say_what_was_done_as_often_as_counterfactuals_say_otherwise():
    episode = straight([("hindsight", 2, 6, "go to the red box"), ("atomic", 0, 8, "go straight"),
                        *(("counterfactual", at, at + 1, f"word {at}") for at in (1, 3, 3, 7, 9, 11))])  # fmt: skip
    rows = matched_rows(episode, BODY, generator(0, "test"))
    assert list(zip(rows.start, rows.instruction, strict=True)) == [
        (1, "go straight"), (3, "go to the red box"), (3, "go to the red box"), (7, "go straight")
    ]  # fmt: skip
    assert rows.mask.sum(axis=1).tolist() == [7, 8, 8, 1]  # after what hindsight says, it stands
    assert rows.labels("0" * 16).told.tolist() == [0, 2, 2, 0]  # robots are told before, and remember it
    assert set(rows.labels("0" * 16).kind) == {"counterfactual"}


def test_who_has_done_what_hindsight_says_stands():
    episode = straight([("hindsight", 2, 6, "go to the red box"), ("atomic", 6, 8, "go straight"),
                        ("counterfactual", 6, 11, "stop")])  # fmt: skip
    for derive in (decision_rows, matched_rows):
        rows = derive(episode, BODY, generator(0, "test"))
        assert (rows.start[-1], rows.instruction[-1]) == (6, "go to the red box")
        assert not rows.action[-1].any()
        assert rows.mask[-1].all()


def test_told_rows_are_the_datasets_own_words():
    rows = told_rows(straight(language=(Span(0, STEPS, "go to the red box", "key"),)), BODY, generator(0, "test"))
    assert (rows.start, rows.end, rows.instruction) == ([0], [11], ["go to the red box"])
    assert told_rows(straight(), BODY, generator(0, "test")).labels("0" * 16).kind == ()
