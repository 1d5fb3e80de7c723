"""The record codec against protobuf's own parser and serializer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_datasets.proto import tf_example_generated_pb2 as pb

from embodied_cf.datasets import wire

int64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(width=32, allow_nan=False)
values = st.one_of(
    st.lists(st.binary(max_size=300), min_size=1).map(lambda v: ("bytes", v)),
    st.lists(floats, min_size=1).map(lambda v: ("float", v)),
    st.lists(int64s, min_size=1).map(lambda v: ("int64", v)),
)
maps = st.dictionaries(st.text(max_size=12), values, max_size=6)


def _ours(features):
    encode = {
        "bytes": wire.bytes_feature,
        "float": lambda v: wire.float_feature(np.array(v, np.float32)),
        "int64": lambda v: wire.int64_feature(np.array(v, np.int64)),
    }
    return wire.encode_example({key: encode[kind](items) for key, (kind, items) in features.items()})


def _theirs(features):
    example = pb.Example()
    for key, (kind, items) in features.items():
        getattr(example.features.feature[key], f"{kind}_list").value.extend(items)
    return example


def _read(feature, kind):
    if kind == "bytes":
        return [bytes(item) for item in wire.bytes_values(feature)]
    return (wire.float_values if kind == "float" else wire.int64_values)(feature).tolist()


@given(maps)
def test_protobuf_reads_what_we_write(features):
    assert pb.Example.FromString(_ours(features)) == _theirs(features)


@given(maps)
def test_we_read_what_protobuf_writes(features):
    scanned = wire.scan_example(_theirs(features).SerializeToString())
    assert {key: (kind, _read(scanned[key], kind)) for key, (kind, _) in features.items()} == features
    assert set(scanned) == set(features)


@given(maps, maps)
def test_appending_is_protobuf_merge_and_the_last_of_equal_keys_wins(first, second):
    merged = _theirs(first).SerializeToString() + _ours(second)
    scanned = wire.scan_example(merged)
    expected = first | second
    assert {key: _read(scanned[key], kind) for key, (kind, _) in expected.items()} == {
        key: items for key, (_, items) in expected.items()
    }
    assert set(pb.Example.FromString(merged).features.feature) == set(expected)


@given(maps, maps)
def test_dropping_what_was_appended_gives_back_the_original_bytes(first, second):
    original = _theirs(first).SerializeToString()
    new = {f"labels/{key}": value for key, value in second.items()}
    appended = original + (_ours(new) if new else b"")
    kept = wire.without_keys(appended, lambda key: key.startswith("labels/"))
    assert pb.Example.FromString(kept) == pb.Example.FromString(
        wire.without_keys(original, lambda key: key.startswith("labels/"))
    )
    if not any(key.startswith("labels/") for key in first):
        assert kept == original


def test_unpacked_lists_are_read_too():
    assert wire.int64_values(b"\x1a\x05" + b"\x08\x01\x08\xac\x02").tolist() == [1, 300]
    assert wire.float_values(b"\x12\x0a" + b"\x0d\x00\x00\x80\x3f" * 2).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\x0a\x05\x0a", "runs past the end"),
        (b"\x0a", "ends inside a number"),
        (b"\x0a" + b"\xff" * 11, "more than 10 bytes"),
        (b"\x0b\x00", "wire type 3"),
        (b"\x0a\x04\x0a\x02\x0a\x01", "runs past the end"),
        (b"\x0a\x05\x0a\x03\x0a\x01\xff", "not UTF-8"),
    ],
)
def test_broken_bytes_are_named(raw, message):
    with pytest.raises(wire.WireError, match=message):
        wire.scan_example(raw)


def test_a_list_of_another_kind_is_named():
    with pytest.raises(wire.WireError, match="a float list where a bytes list belongs"):
        wire.bytes_values(wire.float_feature(np.ones(2, np.float32)))


@given(st.binary(max_size=200))
def test_noise_never_escapes_as_another_error(raw):
    try:
        for feature in wire.scan_example(raw).values():
            wire.bytes_values(feature)
    except wire.WireError:
        pass


@given(maps, st.data())
def test_a_cut_record_never_escapes_as_another_error(features, data):
    raw = _theirs(features).SerializeToString()
    cut = raw[: data.draw(st.integers(0, len(raw)))]
    try:
        for feature in wire.scan_example(cut).values():
            wire.int64_values(feature)
    except wire.WireError:
        pass
