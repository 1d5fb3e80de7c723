"""Records that lie: whatever a shard or a tf.train.Example holds, it is read, or refused by a named error."""

import io
import struct
import zlib
from types import MappingProxyType

import makers
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from tensorflow_datasets.proto import tf_example_generated_pb2 as pb

from embodied_cf.datasets import columns, shards, wire
from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.episode_view import view_episode
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.features import Leaf, flatten
from embodied_cf.datasets.shards import Broken, Record, frame, masked_crc, read_at, read_shard
from embodied_cf.datasets.spec import load_spec
from embodied_cf.datasets.writer import encode_example
from embodied_cf.errors import EmbodiedError, RecordError

RECORDS = (b"first record", b"", b"third record" * 9)
WHOLE = b"".join(b"".join(frame(record)) for record in RECORDS)
FEATURES = flatten(makers.arm_features())
EPISODE = encode_example(FEATURES, makers.arm_episode(5, 1))
KEYS = sorted(wire.scan_example(EPISODE))
in_one_file = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _promise(length: int) -> bytes:
    """A header, its checksum right."""
    told = struct.pack("<Q", length)
    return told + struct.pack("<I", masked_crc(told))


damage = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, len(WHOLE)), st.just(0)),
    st.tuples(st.just("flip"), st.integers(0, len(WHOLE) - 1), st.integers(0, 7)),
    st.tuples(st.just("promise"), st.sampled_from((0, 28)), st.integers(0, 2**64 - 1)),
)


def _damaged(kind: str, at: int, how: int) -> bytes:
    raw = bytearray(WHOLE)
    if kind == "cut":
        return bytes(raw[:at])
    if kind == "flip":
        raw[at] ^= 1 << how
    else:
        raw[at : at + 12] = _promise(how)
    return bytes(raw)


@in_one_file
@given(damages=damage)
@example(damages=("promise", 0, 2**60))
@example(damages=("promise", 28, 2**64 - 1))
def test_a_damaged_shard_gives_true_records_or_broken_ones(tmp_path, damages):
    """No record is ever made up: what comes out is one that was written, and nothing follows where all is lost."""
    path = tmp_path / "shard"
    path.write_bytes(_damaged(*damages))
    found = list(read_shard(path, "tfrecord"))
    assert all(record.data in RECORDS for record in found if isinstance(record, Record))
    assert [record.index for record in found] == list(range(len(found)))
    assert not any(isinstance(record, Broken) and record.rest_lost for record in found[:-1])
    again = {record.index: record.data for record in read_at(path, "tfrecord", range(9))}
    assert again == {record.index: record.data for record in found if isinstance(record, Record)}


@in_one_file
@given(raw=st.binary(max_size=300))
def test_noise_is_no_shard(tmp_path, raw):
    (tmp_path / "shard").write_bytes(raw)
    assert all(isinstance(found, Broken) for found in read_shard(tmp_path / "shard", "tfrecord"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_array_record_gives_true_records_or_broken_ones(tmp_path, data):
    path = tmp_path / "shard"
    with shards.ShardWriter(path, "array_record") as writer:
        for record in (b"first record", b"second record" * 9):
            writer.write(record)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw[: data.draw(st.sampled_from((len(raw), len(raw) // 2, 7)))])
    for record in read_shard(path, "array_record"):
        assert isinstance(record, Broken) or record.data in (b"first record", b"second record" * 9)


def test_a_record_beyond_the_limit_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_LARGEST", 20)
    path = tmp_path / "shard"
    path.write_bytes(WHOLE + b"".join(frame(b"last")))
    found = list(read_shard(path, "tfrecord"))
    assert found[2] == Broken(2, "a record of 108 bytes, more than 20")
    assert found[3] == Record(3, b"last"), "what follows is still there"
    assert [record.index for record in read_at(path, "tfrecord", (0, 2, 3))] == [0, 3]


def _read_all(record: bytes) -> None:
    """Read a record in every way there is."""
    found = Columns(record, FEATURES, "here")
    view_episode(found, FEATURES)
    episode = EpisodeReader(FEATURES, load_spec("bridge")).read(record, "here")
    for step in range(min(3, len(episode))):
        episode.cameras["primary"].decode(step)


def _named_or_fine(record: bytes) -> None:
    try:
        _read_all(record)
    except (EmbodiedError, TypeCheckError) as error:
        # the tests' check of types looks into a list of frames, and meets the named error there
        named = [one for one in _chain(error) if isinstance(one, EmbodiedError)]
        assert "here" in str(named[0])


def _chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_example_is_read_or_refused_by_name(data):
    raw = bytearray(EPISODE)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    _named_or_fine(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


lists = st.one_of(
    st.none(),
    st.lists(st.binary(max_size=40), max_size=6).map(lambda v: ("bytes", v)),
    st.lists(st.floats(width=32), max_size=40).map(lambda v: ("float", v)),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40).map(lambda v: ("int64", v)),
)


@settings(max_examples=60, deadline=None)
@example(changes={"steps/action": ("float", [])}, junk="")
@given(changes=st.dictionaries(st.sampled_from(KEYS), lists, min_size=1, max_size=3), junk=st.text(max_size=9))
def test_features_of_wrong_type_length_or_none_are_refused_by_name(changes, junk):
    """Each key's list is replaced by one of any kind and length, or left out; and a key of any name is added."""
    message = pb.Example.FromString(EPISODE)
    for key, change in changes.items():
        del message.features.feature[key]
        if change is not None:
            getattr(message.features.feature[key], f"{change[0]}_list").value.extend(change[1])
    message.features.feature[junk].int64_list.value.append(1)
    _named_or_fine(message.SerializeToString())


@pytest.mark.parametrize("depth", [10, 100_000])
@pytest.mark.parametrize("field", [2, 15])
def test_groups_and_messages_within_unknown_fields_are_not_followed(depth, field):
    """Nesting costs a parser that follows it its stack; here unknown fields are passed over by length."""
    groups = bytes((field << 3 | 3,)) * depth + bytes((field << 3 | 4,)) * depth
    with pytest.raises(RecordError, match=r"here: not a tf.train.Example \(wire type 3\)"):
        Columns(EPISODE + groups, FEATURES, "here")
    nested = io.BytesIO()
    inner = b""
    for _ in range(min(depth, 2000)):
        inner = bytes((field << 3 | 2,)) + wire.encode_varint(len(inner)) + inner
    nested.write(EPISODE + inner)
    _read_all(nested.getvalue())


def test_more_fields_than_any_episode_has_are_refused(monkeypatch):
    """Two bytes are an empty item and a hundred in memory, so a record could cost fifty times its size."""
    monkeypatch.setattr(wire, "_MOST_FIELDS", 100)
    assert len(wire.bytes_values(wire.bytes_feature([b""] * 100))) == 100
    for read, feature in (
        (wire.bytes_values, wire.bytes_feature([b""] * 102)),
        (wire.float_values, b"\x12\xff\x03" + b"\x0d\x00\x00\x80\x3f" * 102 + b"\x08"),
        (wire.scan_example, b"\x0a\x00" * 102),
        (wire.scan_example, wire.encode_example({str(key): b"" for key in range(102)})),
    ):
        with pytest.raises(wire.WireError, match="more than 100 fields"):
            read(feature)


@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=60), block=st.integers(10, 40))
def test_integers_are_the_same_in_blocks(numbers, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "_BLOCK", block)
        assert wire.int64_values(wire.int64_feature(np.array(numbers, np.int64))).tolist() == numbers
        with pytest.raises(wire.WireError, match="10 bytes"):
            wire.int64_values(b"\x1a\x32\x0a\x30" + b"\xff" * 48)


def _bomb(items: int, size: int) -> bytes:
    return wire.encode_example({"steps/depth": wire.bytes_feature([zlib.compress(bytes(size))] * items)})


def test_compressed_tensors_inflate_to_so_much_together(monkeypatch):
    monkeypatch.setattr(columns, "_MAX_INFLATED", 1000)
    leaf = Leaf("steps/depth", "string", (None,), 1, "encoded", "uint8", (None,), "zlib")
    for items, size in ((1, 1000), (10, 100)):
        assert len(Columns(_bomb(items, size), {leaf.key: leaf}, "here").array(leaf.key)) == items
    for items, size in ((1, 1001), (11, 100), (1, 10**7)):
        with pytest.raises(RecordError, match="inflates to more than 1000 bytes"):
            Columns(_bomb(items, size), {leaf.key: leaf}, "here").array(leaf.key)


shapes = st.lists(st.sampled_from((None, 0, 1, 3, -1, 2**31, 2**32, 2**63, 2**70)), max_size=4).map(tuple)


@settings(max_examples=80, deadline=None)
@given(
    shape=shapes, inner=shapes, rank=st.integers(0, 4), role=st.sampled_from(("text", "image", "tensor", "encoded")),
    dtype=st.sampled_from(("string", "float32", "int64", "bool", "uint8")), zipped=st.sampled_from(("", "zlib")),
    feature=lists, lengths=st.none() | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
)  # fmt: skip
def test_shapes_that_cannot_be_are_refused_by_name(shape, inner, rank, role, dtype, zipped, feature, lengths):
    """features.json may declare anything; nothing is allotted by it."""
    leaf = Leaf("steps/x", dtype, shape, rank, role, "float32" if role == "encoded" else "", inner, zipped)
    message = pb.Example()
    if feature is not None:
        name = "steps/x" if lengths is None else "steps/x/ragged_flat_values"
        getattr(message.features.feature[name], f"{feature[0]}_list").value.extend(feature[1])
    if lengths is not None:
        message.features.feature["steps/x/ragged_row_lengths_0"].int64_list.value.extend(lengths)
    found = Columns(message.SerializeToString(), MappingProxyType({leaf.key: leaf}), "here")
    try:
        view_episode(found, {leaf.key: leaf})
        assert found.steps >= 0
    except RecordError as error:
        assert "steps/x" in str(error)  # noqa: PT017 (either outcome is right)
