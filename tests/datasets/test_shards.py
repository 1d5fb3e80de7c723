"""Shards: round trips, broken files, all or nothing."""

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embodied_cf.datasets.shards import Broken, Record, ShardWriter, frame, read_at, read_records, read_shard
from embodied_cf.errors import OutputError, RecordError

FORMATS = ["tfrecord", "array_record"]


def _write(path, file_format, records):
    with ShardWriter(path, file_format) as writer:
        for record in records:
            writer.write(record)
    return writer


@pytest.mark.parametrize("file_format", FORMATS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(st.binary(min_size=1, max_size=2000), max_size=6))
def test_what_is_written_is_read(tmp_path, file_format, records):
    path = tmp_path / "shard"
    writer = _write(path, file_format, records)
    digest = hashlib.sha256()
    assert [record.data for record in read_shard(path, file_format, digest)] == records
    assert digest.hexdigest() == writer.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (writer.records, writer.num_bytes) == (len(records), sum(map(len, records)))
    wanted = range(0, len(records), 2)
    assert [record.data for record in read_at(path, file_format, wanted)] == records[::2]


def test_parts_are_one_record():
    assert b"".join(frame(b"ab", b"c")) == b"".join(frame(b"abc"))


def test_a_frame_is_what_tensorflow_specifies():
    """Length 3 little-endian, masked CRC-32C of it, data, masked CRC-32C of the data (as TensorFlow wrote it)."""
    assert b"".join(frame(b"abc")).hex() == "0300000000000000b099490e6162636e57f121"


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "shard"
    _write(path, "tfrecord", [b"first record", b"second record", b"third record"])
    return path


def test_a_flipped_bit_in_the_data_breaks_one_record_only(shard):
    raw = bytearray(shard.read_bytes())
    raw[12] ^= 1
    shard.write_bytes(raw)
    found = list(read_shard(shard, "tfrecord"))
    assert found[0] == Broken(0, "the data's checksum is wrong")
    assert [record.data for record in found[1:]] == [b"second record", b"third record"]
    with pytest.raises(RecordError, match="record 0: the data's checksum is wrong"):
        list(read_records(shard, "tfrecord"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda raw: raw[:-3], "the file ends inside a record"),
        (lambda raw: raw[: 28 + 29 + 5], "the file ends inside a record's header"),
        (lambda raw: raw[:57] + b"\xff" + raw[58:], "the length's checksum is wrong"),
    ],
)
def test_broken_framing_loses_the_rest_and_says_so(shard, change, problem):
    shard.write_bytes(change(shard.read_bytes()))
    found = list(read_shard(shard, "tfrecord"))
    assert [type(record) for record in found] == [Record, Record, Broken]
    assert found[2] == Broken(2, problem, rest_lost=True)
    assert "every record after it" in str(found[2].error(shard))


def test_a_length_that_lies_takes_no_memory(tmp_path):
    """A header that promises 2**60 bytes, with a right checksum, is refused before anything is allocated."""
    import struct

    from embodied_cf.datasets.shards import masked_crc

    length = struct.pack("<Q", 2**60)
    (tmp_path / "shard").write_bytes(length + struct.pack("<I", masked_crc(length)) + b"tiny")
    assert list(read_shard(tmp_path / "shard", "tfrecord")) == [Broken(0, "the file ends inside a record", True)]


def test_noise_is_not_an_array_record(tmp_path):
    (tmp_path / "shard").write_bytes(b"noise" * 100)
    (found,) = read_shard(tmp_path / "shard", "array_record")
    assert isinstance(found, Broken)
    assert found.rest_lost


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_exception_leaves_nothing_behind(tmp_path, file_format):
    with pytest.raises(ZeroDivisionError):
        _write(tmp_path / "shard", file_format, (b"half" if k else bytes(1 // k) for k in (1, 0)))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing_behind(tmp_path):
    (tmp_path / ".shard.tmp").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"cannot write \(No space left on device\). Free space"):
        _write(tmp_path / "shard", "tfrecord", [b"x" * (1 << 20)] * 3)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_named(tmp_path):
    with pytest.raises(OutputError, match="riegeli"):
        ShardWriter(tmp_path / "shard", "riegeli")
