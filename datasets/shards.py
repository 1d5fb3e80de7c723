"""Shards: the files that hold records, read with every checksum verified and written all or nothing.

Two formats that TFDS writes: `tfrecord` (length, masked CRC-32C of the length, data, masked CRC-32C of the
data: https://www.tensorflow.org/tutorials/load_data/tfrecord) and `array_record`.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, runtime_checkable

import google_crc32c

from embodied_cf.datasets.files import atomic_path
from embodied_cf.errors import DatasetError, OutputError, RecordError

FORMATS = ("tfrecord", "array_record")
_HEADER = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_LARGEST = (1 << 31) - 1
"""Bytes of a record: protobuf's own limit. A sparse file that claims a terabyte costs its sender nothing."""
_READ_BUFFER = 1 << 20
_HOP_BUFFER = 1 << 12
"""Small, because a hop to a header must not read what it passes over; whole records are read past the buffer."""


@dataclass(frozen=True)
class Record:
    """One record as it lies in its shard."""

    index: int
    data: bytes


@dataclass(frozen=True)
class Broken:
    """A record that cannot be read. `rest_lost`: nothing after it can be found either."""

    index: int
    problem: str
    rest_lost: bool = False

    def error(self, path: Path) -> RecordError:
        """Return the error that names this record."""
        lost = " and every record after it" if self.rest_lost else ""
        return RecordError(
            f"{self.problem}; this record{lost} cannot be read",
            where=f"{path}, record {self.index}",
            remedy="Restore the file from its source, or relabel: the runner drops and counts such records.",
        )


@runtime_checkable
class Hasher(Protocol):
    """What sees the bytes of a file as they are read, such as `hashlib.sha256()`."""

    def update(self, data: bytes, /) -> None: ...


class _NoHash:
    def update(self, data: bytes, /) -> None:
        del data


_NO_HASH = _NoHash()


def read_shard(path: Path, file_format: str, hasher: Hasher = _NO_HASH) -> Iterator[Record | Broken]:
    """Yield the records of a shard in order, one in memory at a time; broken ones as `Broken`.

    `hasher` sees every byte of the file once the iterator is exhausted.
    """
    if file_format == "tfrecord":
        return _read_tfrecord(path, hasher)
    if file_format == "array_record":
        return _read_array_record(path, hasher)
    raise DatasetError(
        f"file format {file_format!r} is not one of {FORMATS}", where=path, remedy="Convert it with tfds to tfrecord."
    )


def read_records(path: Path, file_format: str) -> Iterator[Record]:
    """Yield the records of a shard. Raises RecordError at the first one that is broken."""
    for record in read_shard(path, file_format):
        if isinstance(record, Broken):
            raise record.error(path)
        yield record


def read_at(path: Path, file_format: str, wanted: Sequence[int]) -> Iterator[Record]:
    """Yield some records of a shard by index, rising; the others are passed over unread, broken ones left out."""
    if file_format == "array_record":
        return (record for record in _read_array_record(path, _NO_HASH, wanted) if isinstance(record, Record))
    return _hop_tfrecord(path, wanted)


def masked_crc(data: bytes) -> int:
    """Return TFRecord's masked CRC-32C."""
    return _masked(google_crc32c.value(data))


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(*parts: bytes) -> tuple[bytes, ...]:
    """Return a record of concatenated parts as it stands in a tfrecord file: header, parts, footer."""
    crc = 0
    for part in parts:
        crc = google_crc32c.extend(crc, part)
    length = struct.pack("<Q", sum(map(len, parts)))
    return length + _CRC.pack(masked_crc(length)), *parts, _CRC.pack(_masked(crc))


def _read_tfrecord(path: Path, hasher: Hasher) -> Iterator[Record | Broken]:
    with open(path, "rb", buffering=_READ_BUFFER) as file:
        left, index = os.fstat(file.fileno()).st_size, 0
        while left:
            header = file.read(_HEADER.size)
            hasher.update(header)
            left -= len(header)
            problem = _header_problem(header, left)
            if problem:
                _hash_next(file, hasher, left)
                yield Broken(index, problem, rest_lost=True)
                return
            length = _HEADER.unpack(header)[0]
            left -= length + _CRC.size
            if length > _LARGEST:
                _hash_next(file, hasher, length + _CRC.size)
                yield Broken(index, f"a record of {length} bytes, more than {_LARGEST}")
                index += 1
                continue
            data, footer = file.read(length), file.read(_CRC.size)
            hasher.update(data)
            hasher.update(footer)
            if _CRC.unpack(footer)[0] == masked_crc(data):
                yield Record(index, data)
            else:
                yield Broken(index, "the data's checksum is wrong")
            index += 1


def _hop_tfrecord(path: Path, wanted: Sequence[int]) -> Iterator[Record]:
    with open(path, "rb", buffering=_HOP_BUFFER) as file:
        left = os.fstat(file.fileno()).st_size
        for index in range(max(wanted, default=-1) + 1):
            header = file.read(_HEADER.size)
            left -= len(header)
            if _header_problem(header, left):
                return
            length = _HEADER.unpack(header)[0]
            left -= length + _CRC.size
            if index in wanted and length <= _LARGEST:
                data, footer = file.read(length), file.read(_CRC.size)
                if _CRC.unpack(footer)[0] == masked_crc(data):
                    yield Record(index, data)
            else:
                file.seek(length + _CRC.size, os.SEEK_CUR)


def _header_problem(header: bytes, left: int) -> str:
    if len(header) < _HEADER.size:
        return "the file ends inside a record's header"
    length, crc = _HEADER.unpack(header)
    if crc != masked_crc(header[:8]):
        return "the length's checksum is wrong"
    return "the file ends inside a record" if length + _CRC.size > left else ""


def _hash_next(file: BinaryIO, hasher: Hasher, count: int) -> None:
    if hasher is _NO_HASH:
        file.seek(count, os.SEEK_CUR)
        return
    while count > 0 and (chunk := file.read(min(count, _READ_BUFFER))):
        hasher.update(chunk)
        count -= len(chunk)


def _read_array_record(path: Path, hasher: Hasher, wanted: Sequence[int] | None = None) -> Iterator[Record | Broken]:
    from array_record.python.array_record_module import ArrayRecordReader

    if hasher is not _NO_HASH:
        with open(path, "rb") as file:
            _hash_next(file, hasher, os.fstat(file.fileno()).st_size)
    reader = ArrayRecordReader(str(path))
    try:
        if not reader.ok():
            yield Broken(0, "not a whole array_record file", rest_lost=True)
            return
        count = reader.num_records()
        for index in range(count) if wanted is None else [i for i in wanted if i < count]:
            try:
                yield Record(index, reader.read([index])[0])
            except (RuntimeError, ValueError, IndexError) as error:
                yield Broken(index, _first_line(error))
    finally:
        with suppress(RuntimeError):  # it repeats what was wrong with the file
            reader.close()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0][:200]


class ShardWriter:
    """Writes one shard under a temporary name; on leaving the `with` block it is synced and renamed.

    An exception inside the block leaves nothing behind. After the block `sha256`, `records` and `num_bytes`
    (of record data, as dataset_info.json counts) describe the file.
    """

    def __init__(self, path: Path, file_format: str) -> None:
        if file_format not in FORMATS:
            raise OutputError(f"cannot write file format {file_format!r}", where=path, remedy=f"Use one of {FORMATS}.")
        self.records = self.num_bytes = 0
        self.sha256 = ""
        self._target = atomic_path(path)
        self._make = _TFRecordFile if file_format == "tfrecord" else _ArrayRecordFile

    def __enter__(self) -> "ShardWriter":
        self._file = self._make(self._target.__enter__())
        return self

    def write(self, *parts: bytes) -> None:
        """Append one record, given in parts that are joined without copying."""
        self._file.write(*parts)
        self.records += 1
        self.num_bytes += sum(map(len, parts))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.sha256 = self._file.close()
        except BaseException as failure:
            self._target.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._target.__exit__(kind, error, trace)


class _TFRecordFile:
    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb", buffering=_READ_BUFFER)  # noqa: SIM115 (closed by close)
        self._hash = hashlib.sha256()

    def write(self, *parts: bytes) -> None:
        for part in frame(*parts):
            self._hash.update(part)
            self._file.write(part)

    def close(self) -> str:
        self._file.close()
        return self._hash.hexdigest()


class _ArrayRecordFile:
    def __init__(self, path: Path) -> None:
        from array_record.python.array_record_module import ArrayRecordWriter

        self._path = path
        with _disk_trouble():
            self._file = ArrayRecordWriter(str(path), "group_size:1")

    def write(self, *parts: bytes) -> None:
        with _disk_trouble():
            self._file.write(b"".join(parts))

    def close(self) -> str:
        with _disk_trouble():
            self._file.close()
        with open(self._path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _disk_trouble() -> Iterator[None]:
    """Turn what the array_record library raises when the disk fails into the OSError that it was."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(_first_line(error)) from error
