"""What does not fit is named when a stream is opened, with the remedy."""

from pathlib import Path

import pytest
from labelled import SPEC, labelled
from tiny import tiny_episode, tiny_features, write_records

from embodied_cf.datasets.features import flatten
from embodied_cf.datasets.streams import HorizontalShift, Mirror, Source, Stream
from embodied_cf.datasets.writer import encode_example
from embodied_cf.errors import DatasetError, SpecError, UsageError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rows = [[("hindsight", 0, 5, "a"), ("counterfactual", 0, 2, "b")]] * 2
    return labelled(tmp_path_factory.mktemp("tiny") / "1.0.0", {"labels": rows}, episodes=2)


def stream(*sources, **options):
    return Stream(sources, **{"size": (16, 16), "batch_size": 4, "holdout": 0.0, **options})


def test_a_dataset_without_labels(tmp_path):
    tree = tiny_features()
    write_records(tmp_path / "bare", [encode_example(flatten(tree), tiny_episode(0))], tree)
    (tmp_path / "bare" / "spec.toml").write_text(SPEC)
    with pytest.raises(DatasetError, match=r"no labels in this dataset\. Make some: embodied-cf relabel .*bare OUT"):
        stream(Source(tmp_path / "bare"))


def test_a_kind_that_is_absent(data):
    with pytest.raises(UsageError, match=r"no label of kind 'atomic'.*that pass the filters: hindsight, counterfact"):
        stream(Source(data), kinds={"atomic": 1.0, "hindsight": 1.0})
    with pytest.raises(UsageError, match="no label of kind 'atomic'"):
        stream(Source(data, kinds=("hindsight", "atomic")))
    with pytest.raises(UsageError, match=r"unknown kinds dream \(known: hindsight, atomic, counterfactual\)"):
        stream(Source(data), kinds={"dream": 1.0})
    with pytest.raises(UsageError, match="unknown kinds dream"):
        Source(data, kinds=("dream",))


def test_a_source_that_has_none_of_the_kinds(data, tmp_path):
    only = labelled(tmp_path / "d" / "1.0.0", {"labels": [[("hindsight", 0, 5, "a")]]}, episodes=1)
    with pytest.raises(UsageError, match=r"d/1\.0\.0: no label of the kinds asked for"):
        stream(Source(data), Source(only), kinds={"counterfactual": 1.0})


def test_a_score_that_nothing_reaches(tmp_path):
    low = labelled(tmp_path / "d" / "1.0.0", score=0.25)
    with pytest.raises(UsageError, match=r"has a score of 0\.5 or more\. Lower the minimal score"):
        stream(Source(low, min_score=0.5))


def test_an_unknown_label_set(data):
    with pytest.raises(UsageError, match=r"no label set 'mine'\. It has: labels\."):
        stream(Source(data, label_sets=("mine",)))


def test_a_spec_that_does_not_fit(data, tmp_path):
    with pytest.raises(SpecError, match=r"the dataset has no cameras\.primary = 'steps/observation/image_0'"):
        stream(Source(data, "bridge"))
    spec = tmp_path / "spec.toml"
    spec.write_text(SPEC.replace('primary = "observation/image"', ""))
    with pytest.raises(SpecError, match=r"no camera is named.*under \[cameras\]"):
        stream(Source(data, str(spec)))
    spec.write_text(SPEC.replace("observation/image", "observation/pose"))
    with pytest.raises(SpecError, match="are no image features"):
        stream(Source(data, str(spec)))


def test_a_spec_of_another_embodiment(data, tmp_path):
    (tmp_path / "long.toml").write_text(
        'name = "long"\nkind = "nav"\nchunk_length = 16\n'
        + "".join(f'[[dimensions]]\nname = "{n}"\nunit = "m"\nframe = "robot"\nform = "cumulative"\n' for n in "xy")
    )
    spec = tmp_path / "spec.toml"
    spec.write_text(SPEC.replace('"nav"', f'"{tmp_path / "long.toml"}"'))
    with pytest.raises(SpecError, match=r"chunks of shape \(8, 2\), embodiment 'long' has \(16, 2\)"):
        stream(Source(data, str(spec)))


def test_sources_that_do_not_go_together(data, relabelled):
    *_, out, _ = relabelled
    other = Source(out, None if (out / "spec.toml").is_file() else "bridge")
    if other.spec:
        with pytest.raises(SpecError, match="embodiment 'nav' and 'arm' do not go together"):
            stream(Source(data), other)
    else:
        assert stream(Source(data), other, cache=out.parent / "cache").embodiment.name == "nav"


def test_augmentation_that_the_data_does_not_carry(data, tmp_path):
    blind = SPEC.partition("[camera_model]")[0]
    (tmp_path / "spec.toml").write_text(blind)
    with pytest.raises(SpecError, match="no camera model that all sources share"):
        stream(Source(data), Source(data, str(tmp_path / "spec.toml")), augment=(HorizontalShift(),))
    assert stream(Source(data), augment=(HorizontalShift(), Mirror())).view.camera.horizontal_fov_deg == 90


def test_impossible_options(data):
    with pytest.raises(UsageError, match="no source is named"):
        stream()
    with pytest.raises(UsageError, match="batch_size 4 is not a multiple of per_observation 3"):
        stream(Source(data), per_observation=3)
    with pytest.raises(UsageError, match="history -1 is negative"):
        stream(Source(data), history=-1)
    with pytest.raises(UsageError, match=r"holdout 1\.0 is not in \[0, 1\)"):
        stream(Source(data), holdout=1.0)
    with pytest.raises(UsageError, match="kinds need weights of 0 or more, and one above"):
        stream(Source(data), kinds={"hindsight": 0.0})
    with pytest.raises(UsageError, match=r"rank 0 of 3 cannot have an equal share of batches of 4.*multiple of 3"):
        stream(Source(data)).batches(0, world=3)
    for wrong in ({"weight": 0.0}, {"weight": float("nan")}, {"label_sets": ()}, {"kinds": ()}, {"min_score": 2.0}):
        with pytest.raises(UsageError):
            Source(data, **wrong)


def test_nothing_to_hold_out(data):
    with pytest.raises(DatasetError, match=r"nothing is held out of 2 labelled episodes at holdout 0\.0"):
        stream(Source(data)).heldout()


@pytest.mark.parametrize(
    ("text", "directory", "weight"),
    [("a/b", "a/b", 1.0), ("a/b:0.5", "a/b", 0.5), ("a:b", "a:b", 1.0), ("a:b:2", "a:b", 2.0)],
)
def test_sources_are_read_from_text(text, directory, weight):
    source = Source.parse(text)
    assert (source.directory, source.weight) == (Path(directory), weight)


def test_a_weight_of_zero_is_not_read_as_a_path():
    with pytest.raises(UsageError, match=r"weight 0\.0 is not a positive number"):
        Source.parse("a:0")
