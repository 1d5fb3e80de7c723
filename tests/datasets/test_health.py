"""Each fault alone, in data that is otherwise healthy: its code and no other, at the right place."""

import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tiny import flat_picture, picture, tiny_episode, tiny_features, write_records

from embodied_cf.datasets import health, health_issues, health_labels
from embodied_cf.datasets.contract import Labels
from embodied_cf.datasets.features import flatten, load_tree
from embodied_cf.datasets.health_issues import ISSUES, Finding, Findings, Hit
from embodied_cf.datasets.inspection import inspect_dataset
from embodied_cf.datasets.label_store import encode_labels, label_features
from embodied_cf.datasets.metadata import link_view
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.writer import encode_example
from embodied_cf.errors import DatasetError

FIRST, SECOND = "tiny/1.0.0/train/00000/00000", "tiny/1.0.0/train/00000/00001"


def found(directory, **options):
    return {finding.code: finding for finding in inspect_dataset(directory, strict=True, **options).findings}


def test_healthy_data_has_no_finding(write_tiny, tiny_spec):
    assert found(write_tiny([tiny_episode(0), tiny_episode(1)]), spec=tiny_spec) == {}


def _flags(key, *true):
    def change(steps):
        steps[key] = np.isin(np.arange(6), true)

    return change


def _put(key, step, value):
    def change(steps):
        steps[key][step] = value

    return change


def _image(step, encoded):
    def change(steps):
        steps["observation"]["image"][step] = encoded

    return change


@pytest.mark.parametrize(
    ("code", "count", "step", "change"),
    [
        ("W301", 1, None, _flags("is_last")),
        ("I302", 1, None, _flags("is_terminal")),
        ("W303", 1, None, _flags("is_first")),
        ("W303", 1, 3, _flags("is_first", 0, 3)),
        ("W303", 1, 2, _flags("is_first", 2)),
        ("W304", 1, 4, _flags("is_last", 4, 5)),
        ("W305", 1, 2, _flags("is_terminal", 2)),
        ("E403", 1, 0, _image(0, b"")),
        ("E403", 1, 4, _image(4, picture(0)[:-20])),
        ("E403", 1, 4, _image(4, b"\x89PNG\r\n\x1a\n no picture IEND")),
        ("W404", 1, 2, _image(2, picture(0, 32))),
        ("E501", 1, 3, _put("action", 3, (np.nan, 0.0))),
        ("E501", 1, 1, _put("reward", 1, np.inf)),
        ("W601", 1, 5, _put("language_instruction", 5, "")),
    ],
)
def test_a_fault_of_one_episode(write_tiny, code, count, step, change):
    broken = tiny_episode(1)
    change(broken["steps"])
    findings = found(write_tiny([tiny_episode(0), broken, tiny_episode(2)]))
    assert set(findings) == {code}
    assert (findings[code].count, findings[code].step, findings[code].episode_id) == (count, step, SECOND)


def _everywhere(key, value):
    def change(episode):
        episode["steps"][key][:] = value

    return change


def _only_text(episode):
    episode["steps"]["language_instruction"] = ["go"] * 6


def _no_text(episode):
    episode["steps"]["language_instruction"] = [""] * 6


def _blank(episode):
    episode["steps"]["observation"]["image"] = [flat_picture()] * 6


def _denied(episode):
    episode["episode_metadata"]["has_image"] = False


def _still(episode):
    episode["steps"]["observation"]["pose"][:] = 1.0


@pytest.mark.parametrize(
    ("codes", "count", "change"),
    [
        ({"I306"}, 12, _everywhere("reward", 0)),
        ({"W503"}, 1, _everywhere("action", 0)),
        ({"W502"}, 1, lambda episode: episode["steps"]["action"].__setitem__((slice(None), 1), 0.5)),
        ({"W603"}, 2, _only_text),
        ({"W602", "W601"}, 1, _no_text),
        ({"W401", "W402"}, 12, _blank),
        ({"W402"}, 2, _denied),
        ({"W704"}, 2, _still),
    ],
)
def test_a_fault_of_the_whole_dataset(write_tiny, tiny_spec, codes, count, change):
    episodes = [tiny_episode(0), tiny_episode(1)]
    for episode in episodes:
        change(episode)
    findings = found(write_tiny(episodes), spec=tiny_spec)
    assert set(findings) == codes
    assert findings[next(iter(sorted(codes, key=lambda code: code not in ("W401", "W602"))))].count == count


def test_metadata_that_promises_pictures_of_a_blank_camera(write_tiny):
    episodes = [tiny_episode(0), tiny_episode(1)]
    _blank(episodes[1])
    finding = found(write_tiny(episodes))["W402"]
    assert finding.details == ("has_image is True, observation/image is blank",)
    assert (finding.count, finding.episode_id) == (1, SECOND)


def test_jumps_and_still_episodes_need_a_spec(write_tiny, tiny_spec):
    jump, still = tiny_episode(1), tiny_episode(2)
    jump["steps"]["observation"]["pose"][4:, 0] += 50
    _still(still)
    directory = write_tiny([tiny_episode(0), jump, still])
    findings = found(directory, spec=tiny_spec)
    assert set(findings) == {"W703", "I705"}
    assert (findings["W703"].episode_id, findings["W703"].step, findings["W703"].count) == (SECOND, 3, 1)
    assert findings["W703"].details == ("501 times",)
    assert found(directory) == {}


def test_a_spec_that_names_what_is_not_there(write_tiny, tiny_spec):
    odd = replace(tiny_spec, cameras={"primary": "observation/front"})
    findings = found(write_tiny([tiny_episode(0), tiny_episode(1)]), spec=odd)
    assert set(findings) == {"E701"}
    assert "observation/front" in findings["E701"].details[0]


def test_an_episode_that_the_spec_cannot_read(write_tiny, tiny_spec):
    bad = tiny_episode(1)
    bad["steps"]["observation"]["pose"][2] = np.nan
    findings = found(write_tiny([tiny_episode(0), bad]), spec=tiny_spec)
    assert set(findings) == {"E501", "E702"}
    assert findings["E501"].count == 3


def test_duplicates_short_and_empty_episodes(write_tiny):
    episodes = [tiny_episode(0), tiny_episode(0), tiny_episode(1), tiny_episode(3, steps=1), tiny_episode(4, steps=0)]
    inspection = inspect_dataset(write_tiny(episodes))
    findings = {finding.code: finding for finding in inspection.findings}
    assert set(findings) == {"W103", "W107", "E106"}
    assert findings["W103"].episode_id == SECOND
    assert findings["E106"].episode_id.endswith("00004")
    assert (inspection.episodes, inspection.steps) == (5, 19)


def test_a_record_with_a_wrong_checksum_is_counted_and_passed_over(write_tiny):
    directory = write_tiny([tiny_episode(0), tiny_episode(1), tiny_episode(2)])
    shard = next(directory.glob("*.tfrecord-*"))
    raw = bytearray(shard.read_bytes())
    raw[100] ^= 1
    shard.write_bytes(raw)
    inspection = inspect_dataset(directory)
    assert [finding.code for finding in inspection.findings] == ["E101"]
    assert (inspection.splits[0].episodes, inspection.splits[0].broken) == (2, 1)
    assert inspection.findings[0].episode_id == FIRST


def test_a_cut_shard_and_a_record_that_is_no_example(tmp_path):
    good = encode_example(flatten(tiny_features()), tiny_episode(0))
    directory = write_records(tmp_path / "x", [good, b"\xff\xff\xff", good[:-9], good], tiny_features())
    shard = next(directory.glob("*.tfrecord-*"))
    shard.write_bytes(shard.read_bytes()[:-5])
    inspection = inspect_dataset(directory)
    assert (inspection.splits[0].episodes, inspection.splits[0].broken) == (1, 3)
    assert inspection.findings[0].details[-1] == "the file ends inside a record"


@pytest.mark.parametrize("promised", [1, 3])
def test_a_count_that_metadata_belies(write_tiny, promised):
    finding = found(write_tiny([tiny_episode(0), tiny_episode(1)], promised=promised))["E102"]
    assert finding.details == (f"train: 2 records, {promised} promised",)


def test_missing_shards_are_an_error_at_once(write_tiny):
    directory = write_tiny([tiny_episode(0)])
    next(directory.glob("*.tfrecord-*")).unlink()
    with pytest.raises(DatasetError, match="1 shards are missing"):
        inspect_dataset(directory)


def test_features_of_another_length_or_absent(tmp_path):
    longer = tiny_features(reward=np.float32)
    short, poor = tiny_episode(0), tiny_episode(1)
    short["steps"]["discount"] = np.ones(4, np.float32)
    records = [_encode_freely(longer, short), _encode_freely(longer, poor, without="steps/reward")]
    findings = {f.code: f for f in inspect_dataset(write_records(tmp_path / "x", records, longer)).findings}
    assert findings["E105"].details == ("steps/discount has 4 entries for 6 steps",)
    assert findings["E104"].count == 1
    assert "steps/reward" in findings["E104"].details[0]


def _encode_freely(tree, episode, without=""):
    """An Example that a careless writer made."""
    from embodied_cf.datasets import wire

    steps = episode["steps"]
    flat = {f"steps/{key}": value for key, value in steps.items() if key != "observation"}
    flat |= {f"steps/observation/{key}": value for key, value in steps["observation"].items()}
    flat["episode_metadata/has_image"] = np.array([True])
    encode = {"f": wire.float_feature, "b": lambda value: wire.int64_feature(value.astype(np.int64))}
    return wire.encode_example({
        key: encode[value.dtype.kind](value) if isinstance(value, np.ndarray)
        else wire.bytes_feature([item.encode() if isinstance(item, str) else item for item in value])
        for key, value in flat.items() if key != without
    })  # fmt: skip


def test_declarations(write_tiny):
    from tensorflow_datasets.core import features as tf

    tree = tiny_features(
        reward=np.float64,
        discount=None,
        action=tf.Tensor(shape=(2,), dtype=np.float32, doc="[7x joint velocities, 2x gripper, 1x end]"),
    )
    episodes = [tiny_episode(0), tiny_episode(1)]
    for episode in episodes:
        del episode["steps"]["discount"]
        episode["steps"]["reward"] = episode["steps"]["reward"].astype(np.float64)
    directory = write_tiny(episodes, tree)
    findings = found(directory)
    assert {code: finding.details for code, finding in findings.items()} == {
        "W202": ("discount",),
        "W203": ("steps/reward",),
        "W204": ("steps/action: the text counts 10, the shape is 2",),
    }
    assert "W202" not in [finding.code for finding in inspect_dataset(directory).findings]


def test_steps_without_action(write_tiny):
    episode = tiny_episode(0)
    del episode["steps"]["action"]
    assert found(write_tiny([episode], tiny_features(action=None)))["E201"].details == ("action",)


@pytest.mark.parametrize(
    ("text", "dimensions"),
    [
        ("[7x joint angles, 2x gripper position, 1x door opening angle]", 10),
        ("3 x position", 3),
        ("a 64x64 picture, x to the right", 0),
        ("", 0),
    ],
)
def test_dimensions_that_a_text_states(text, dimensions):
    assert health.stated_dimensions(text) == dimensions


def test_padding_slots_are_no_empty_instruction(write_tiny):
    from tensorflow_datasets.core import features as tf

    episodes = [tiny_episode(0), tiny_episode(1)]
    for episode in episodes:
        text = episode["steps"]["language_instruction"][0]
        episode["steps"]["language_instruction"] = [[text, "", ""]] * 6
    tree = tiny_features(language_instruction=tf.Tensor(shape=(3,), dtype=np.object_))
    assert found(write_tiny(episodes, tree)) == {}


def test_no_feature_that_reads_like_language(write_tiny):
    episodes = [tiny_episode(0), tiny_episode(1)]
    for episode in episodes:
        del episode["steps"]["language_instruction"]
    assert set(found(write_tiny(episodes, tiny_features(language_instruction=None)))) == {"W602"}


# --- label sets -----------------------------------------------------------------------------------------------

ROW = '{"kind": "counterfactual"}'
SOURCE = hashlib.sha256(ROW.encode()).hexdigest()[:16]


def _labels(**changes):
    table = Labels(
        kind=("hindsight", "counterfactual"), start=np.array([0, 4], np.int32), end=np.array([6, 7], np.int32),
        instruction=("go on", "turn left"), command=("", "turn_left"),
        action=np.zeros((2, 3, 2), np.float32), action_mask=np.ones((2, 3), bool),
        score=np.ones(2, np.float32), source=(SOURCE, SOURCE),
    )  # fmt: skip
    return replace(table, **changes)


def _labelled(directory, labels, texts=("go on",) * 6, provenance=ROW, broken=b""):
    from tensorflow_datasets.core import features as tf

    plain, added = tiny_features(), label_features("labels", 3, 2)
    steps = {**plain["steps"].feature, "language_instruction_hindsight": tf.Text()}
    tree = tf.FeaturesDict({"steps": tf.Dataset(steps), "episode_metadata": plain["episode_metadata"], **added})
    records = [encode_example(flatten(plain), tiny_episode(seed)) for seed in (0, 1)]
    write_records(directory, [record + encode_labels("labels", labels, texts) + broken for record in records], tree)
    if provenance:
        (directory / "labels").mkdir()
        line = json.dumps({"source": SOURCE, "row": provenance})
        (directory / "labels" / "provenance.jsonl").write_text(line + "\n")
    return directory


def test_a_sound_label_set_counts_and_has_no_finding(tmp_path):
    inspection = inspect_dataset(_labelled(tmp_path / "x", _labels()))
    assert inspection.findings == ()
    assert inspection.label_sets[0].kinds == {"counterfactual": 2, "hindsight": 2}
    assert inspection.label_sets[0].balance == ((1, 10), (2, 2))  # two texts at step 4 of both episodes


@pytest.mark.parametrize(
    ("code", "count", "options"),
    [
        ("E802", 2, {"labels": _labels(end=np.array([7, 7], np.int32))}),
        ("E802", 2, {"labels": _labels(start=np.array([0, 6], np.int32), end=np.array([6, 9], np.int32))}),
        ("E803", 2, {"labels": _labels(source=(SOURCE, "0" * 16))}),
        ("E804", 1, {"labels": _labels(), "provenance": '{"kind": "forged"}'}),
        ("E805", 2, {"labels": _labels(), "texts": ("go on",) * 5}),
        ("I807", 1, {"labels": _labels(), "provenance": ""}),
    ],
)
def test_a_fault_of_a_label_set(tmp_path, code, count, options):
    findings = inspect_dataset(_labelled(tmp_path / "x", **options)).findings
    assert [(finding.code, finding.count) for finding in findings] == [(code, count)]


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("kind", (b"hindsight", b"guess"), "a kind outside"),
        ("instruction", (b"", b"turn"), "an empty instruction"),
    ],
)
def test_label_rows_that_break_the_contract(tmp_path, column, values, reason):
    from embodied_cf.datasets import wire

    broken = wire.encode_example({f"labels/{column}": wire.bytes_feature(values)})
    (finding,) = inspect_dataset(_labelled(tmp_path / "x", _labels(), broken=broken)).findings
    assert (finding.code, finding.count) == ("E801", 2)
    assert reason in finding.details[0]


def test_a_counterfactual_that_ends_elsewhere(tmp_path):
    from embodied_cf.datasets import wire

    broken = wire.encode_example({"labels/end": wire.int64_feature(np.array([6, 5]))})
    (finding,) = inspect_dataset(_labelled(tmp_path / "x", _labels(), broken=broken)).findings
    assert "end is not start + mask.sum()" in finding.details[0]


def test_a_newer_schema_is_not_read(tmp_path):
    directory = _labelled(tmp_path / "x", _labels(end=np.array([7, 7], np.int32)))
    file = directory / "features.json"
    text, changed = re.subn(r"schema version \d+", "schema version 99", file.read_text())
    file.write_text(text)
    inspection = inspect_dataset(directory)
    assert changed == 1
    assert [finding.code for finding in inspection.findings] == ["E806"]
    assert inspection.label_sets == ()


def test_schema_version_of_a_description():
    assert health_labels.schema_version("embodied-cf label set, schema version 12.") == 12
    assert health_labels.schema_version("labels of mine") == 1


# --- strict ---------------------------------------------------------------------------------------------------


def test_step_keys_of_another_type(write_tiny):
    episode = tiny_episode(0)
    episode["steps"]["is_first"] = episode["steps"]["is_first"].astype(np.int64)
    episode["steps"]["reward"] = np.zeros((6, 2), np.float32)
    from tensorflow_datasets.core import features as tf

    tree = tiny_features(is_first=np.int64, reward=tf.Tensor(shape=(2,), dtype=np.float32))
    directory = write_tiny([episode], tree)
    assert found(directory)["W205"].details == (
        "steps/is_first is int64 of shape (), not one bool a step",
        "steps/reward is float32 of shape (2,), not one number a step",
    )
    assert "W205" not in [finding.code for finding in inspect_dataset(directory).findings]


def test_a_label_set_agrees_with_all_beside_it(tmp_path):
    directory = _labelled(tmp_path / "x", _labels())
    assert {code: f.details for code, f in found(directory).items()} == {"W810": ("no views/steps",)}
    dataset = open_dataset(directory)
    link_view(directory, load_tree(directory), [shard.name for shard in dataset.shards()])
    assert found(directory) == {}
    (directory / "labels" / "manifest.jsonl").write_text(
        json.dumps({"type": "shard", "shard": dataset.shards()[0].name, "sha256_out": "0" * 64}) + "\nnot json\n"
    )
    assert found(directory)["E811"].count == 2
    shutil.copy(directory / "features.json", directory / "views" / "steps")
    assert found(directory)["W810"].details == ("views/steps shows label sets",)


def test_a_step_text_that_no_label_says(tmp_path):
    directory = _labelled(tmp_path / "x", _labels(), texts=("go on", "go on", "fly", "go on", "go on", "go on"))
    finding = found(directory)["E809"]
    assert (finding.count, finding.step) == (2, 2)
    assert finding.details == ("steps/language_instruction_hindsight: 'fly'",)
    assert "E809" not in [f.code for f in inspect_dataset(directory).findings]


def test_label_columns_of_another_shape_are_not_read(tmp_path):
    directory = _labelled(tmp_path / "x", _labels())
    file = directory / "features.json"
    told = json.loads(file.read_text())
    columns = told["featuresDict"]["features"]["labels"]["sequence"]["feature"]["featuresDict"]["features"]
    del columns["score"]
    columns["start"]["tensor"]["dtype"] = "int64"
    file.write_text(json.dumps(told))
    inspection = inspect_dataset(directory)
    (finding,) = inspection.findings
    assert (finding.code, finding.details) == (
        "E808", ("no labels/score", "labels/start is int64 (None,), not int32 (None,)")
    )  # fmt: skip
    assert inspection.label_sets == ()


# --- the catalogue --------------------------------------------------------------------------------------------


def test_codes_are_unique_and_say_what_to_do():
    codes = [issue.code for issue in health_issues._CATALOGUE]
    assert len(set(codes)) == len(codes) == len(ISSUES)
    for issue in ISSUES.values():
        assert re.fullmatch(r"[EWI]\d{3}", issue.code)
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", issue.name)
        assert issue.meaning.endswith(".")
        assert issue.remedy.endswith(".")


def test_findings_add_up_and_keep_the_first_place():
    findings = Findings()
    findings.add([Hit("I302")], "a")
    findings.add([Hit("E501", "x", 2, 7)], "b")
    findings.add([Hit("E501", "x", 3, 1), Hit("E501", "y")], "c")
    assert findings.result() == (Finding("E501", 6, "b", 7, ("x", "y")), Finding("I302", 1, "a", None, ()))
    assert [(finding.amount, finding.place) for finding in findings.result()] == [
        ("6 values", "b step 7"),
        ("1 episode", "a"),
    ]
