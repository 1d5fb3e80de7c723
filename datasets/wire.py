"""`tf.train.Example` at wire level: zero-copy reading, encoding, and editing by whole keys.

An Example is a map from key to Feature (bytes, float or int64 list). Protobuf merges concatenated messages,
and the last of equal keys wins, which is what makes appending to a record possible without touching a byte of
it: `record + encode_example({"new": ...})`. Wire types and the packed encoding follow
https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float32, Int64, Integer, UInt8

Buffer = bytes | memoryview
_VARINT, _FIXED64, _LEN, _FIXED32 = 0, 1, 2, 5
_BYTES, _FLOAT, _INT64 = 1, 2, 3
_ITEM_TAG = 1 << 3 | _LEN
_MOST_FIELDS = 1 << 22
"""Fields of one message. Two bytes can be a field and cost a hundred times that in memory; no episode has so many."""
_BLOCK = 1 << 20
"""Bytes of packed integers that are decoded at once: what lies between takes forty times as much."""


class WireError(ValueError):
    """The bytes are not the protobuf message that they should be."""


def scan_example(record: Buffer) -> dict[str, memoryview]:
    """Return each key's Feature message, unparsed. Raises WireError if the framing of the map is broken."""
    view = memoryview(record)
    found: dict[str, memoryview] = {}
    for features in _children(view, 1):
        for entry in _children(features, 1):
            key, feature = _entry(entry)
            found[key] = feature
    return found


def bytes_values(feature: Buffer) -> list[memoryview]:
    """Return the items of a bytes list, as views into the record."""
    payload = _payload(feature, _BYTES)
    items: list[memoryview] = []
    at, size = 0, len(payload)
    # the inner loop of reading: one pass without the generality of _walk, which takes over at anything unusual
    while at < size:
        if payload[at] != _ITEM_TAG or len(items) > _MOST_FIELDS:
            return _children(payload, 1)
        if at + 1 < size and payload[at + 1] < 0x80:
            length, at = payload[at + 1], at + 2
        else:
            length, at = _varint(payload, at + 1)
        items.append(payload[at : at + length])
        at += length
    if at != size:
        raise WireError("a field runs past the end of its message")
    return items


def float_values(feature: Buffer) -> Float32[np.ndarray, " n"]:
    """Return the items of a float list."""
    payload = _payload(feature, _FLOAT)
    runs = [value for _, value in _fields(payload, 1)]
    if any(len(run) % 4 for run in runs):
        raise WireError("a float list whose length is no multiple of 4 bytes")
    return np.frombuffer(runs[0] if len(runs) == 1 else b"".join(runs), "<f4")


def int64_values(feature: Buffer) -> Int64[np.ndarray, " n"]:
    """Return the items of an int64 list."""
    payload = _payload(feature, _INT64)
    runs = [value for _, value in _fields(payload, 1)]
    return _decode_varints(np.frombuffer(runs[0] if len(runs) == 1 else b"".join(runs), np.uint8))


def encode_example(features: Mapping[str, bytes]) -> bytes:
    """Return a serialized Example of already encoded features, keys sorted so that equal maps are equal bytes."""
    entries = b"".join([_length_delimited(1, _entry_bytes(key, features[key])) for key in sorted(features)])
    return _length_delimited(1, entries) if entries else b""


def bytes_feature(values: Sequence[bytes]) -> bytes:
    """Return a Feature that holds a bytes list."""
    encoded = {value: _length_delimited(1, value) for value in set(values)}
    return _length_delimited(_BYTES, b"".join([encoded[value] for value in values]))


def text_feature(values: Sequence[str]) -> bytes:
    """Return a Feature that holds a list of UTF-8 texts."""
    encoded = {value: _length_delimited(1, value.encode()) for value in set(values)}
    return _length_delimited(_BYTES, b"".join([encoded[value] for value in values]))


def float_feature(values: Float[np.ndarray, "..."]) -> bytes:
    """Return a Feature that holds a packed float list, flattened in C order."""
    packed = np.ascontiguousarray(values, "<f4").tobytes()
    return _length_delimited(_FLOAT, _length_delimited(1, packed) if packed else b"")


def int64_feature(values: Integer[np.ndarray, "..."]) -> bytes:
    """Return a Feature that holds a packed int64 list, flattened in C order."""
    packed = _encode_varints(np.ascontiguousarray(values, np.int64).ravel())
    return _length_delimited(_INT64, _length_delimited(1, packed) if packed else b"")


def without_keys(record: Buffer, dropped: Callable[[str], bool]) -> bytes:
    """Return the record less the keys for which `dropped` is true; what stays keeps its bytes and order.

    A Features message that loses every entry goes too, so dropping what was appended gives back the original.
    """
    kept: list[Buffer] = []
    for start, end, features in _spans(memoryview(record)):
        entries = [(raw, _entry(entry)[0]) for raw, entry in _raw_children(features)] if features is not None else []
        stay = [raw for raw, key in entries if not dropped(key)]
        if len(stay) == len(entries):
            kept.append(memoryview(record)[start:end])
        elif stay:
            kept.append(_length_delimited(1, b"".join(stay)))
    return b"".join(kept)


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    try:
        while (byte := view[at]) >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            if shift > 63:
                raise WireError("a number of more than 10 bytes")
    except IndexError:
        raise WireError("the message ends inside a number") from None
    return value | byte << shift, at + 1


def _walk(view: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """Yield (field number, start, end, value) of each field; a varint's value is its own bytes."""
    at, size, fields = 0, len(view), 0
    while at < size:
        start = at
        if (fields := fields + 1) > _MOST_FIELDS:
            raise WireError(f"more than {_MOST_FIELDS} fields")
        tag, at = _varint(view, at)
        wire = tag & 7
        if wire == _LEN:
            length, at = _varint(view, at)
            end = at + length
        elif wire == _VARINT:
            _, end = _varint(view, at)
        elif wire in (_FIXED32, _FIXED64):
            end = at + (4 if wire == _FIXED32 else 8)
        else:
            raise WireError(f"wire type {wire}")
        if end > size:
            raise WireError("a field runs past the end of its message")
        yield tag >> 3, start, end, view[at:end]
        at = end


def _fields(view: memoryview, *numbers: int) -> list[tuple[int, memoryview]]:
    return [(number, value) for number, _, _, value in _walk(view) if number in numbers]


def _children(view: memoryview, number: int) -> list[memoryview]:
    return [value for found, _, _, value in _walk(view) if found == number]


def _raw_children(view: memoryview) -> list[tuple[memoryview, memoryview]]:
    return [(view[start:end], value) for number, start, end, value in _walk(view) if number == 1]


def _spans(view: memoryview) -> Iterator[tuple[int, int, memoryview | None]]:
    for number, start, end, value in _walk(view):
        yield start, end, value if number == 1 else None


def _entry(entry: memoryview) -> tuple[str, memoryview]:
    key, feature = "", memoryview(b"")
    for number, value in _fields(entry, 1, 2):
        if number == 1:
            key = _text(value)
        else:
            feature = value
    return key, feature


def _text(raw: memoryview) -> str:
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        raise WireError("a key that is not UTF-8") from None


def _payload(feature: Buffer, kind: int) -> memoryview:
    """Return the list inside a Feature; an absent list is an empty one, another kind of list an error."""
    parts = _fields(memoryview(feature), _BYTES, _FLOAT, _INT64)
    if not parts:
        return memoryview(b"")
    if parts[-1][0] != kind:
        names = {_BYTES: "bytes", _FLOAT: "float", _INT64: "int64"}
        raise WireError(f"a {names[parts[-1][0]]} list where a {names[kind]} list belongs")
    if len(parts) == 1:
        return parts[0][1]
    same = [value for number, value in parts if number == kind]
    return memoryview(b"".join(same))


def _entry_bytes(key: str, feature: bytes) -> bytes:
    return _length_delimited(1, key.encode()) + _length_delimited(2, feature)


def _length_delimited(field: int, payload: bytes) -> bytes:
    return bytes((field << 3 | _LEN,)) + encode_varint(len(payload)) + payload


def encode_varint(value: int) -> bytes:
    """Return a non-negative number as a protobuf varint."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _decode_varints(raw: UInt8[np.ndarray, " n"]) -> Int64[np.ndarray, " m"]:
    if len(raw) <= _BLOCK:
        return _decode_block(raw)
    found: list[np.ndarray] = []
    at = 0
    while len(raw) - at > _BLOCK:
        ends = np.flatnonzero(raw[at : at + _BLOCK] < 0x80)
        if not len(ends):
            raise WireError("a number of more than 10 bytes")
        found.append(_decode_block(raw[at : at + int(ends[-1]) + 1]))
        at += int(ends[-1]) + 1
    found.append(_decode_block(raw[at:]))
    return np.concatenate(found)


def _decode_block(raw: UInt8[np.ndarray, " n"]) -> Int64[np.ndarray, " m"]:
    last = raw < 0x80
    if last.all():
        return raw.astype(np.int64)
    ends = np.flatnonzero(last)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise WireError("an int64 list ends inside a number")
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(raw)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 9:
        raise WireError("a number of more than 10 bytes")
    parts = (raw & 0x7F).astype(np.uint64) << (place * 7).astype(np.uint64)
    return np.bitwise_or.reduceat(parts, starts).astype(np.int64)


def _encode_varints(values: Int64[np.ndarray, " n"]) -> bytes:
    if not len(values):
        return b""
    unsigned = values.astype(np.uint64)
    if unsigned.max() < 0x80:
        return unsigned.astype(np.uint8).tobytes()
    places = np.arange(10, dtype=np.uint64) * np.uint64(7)
    digits = unsigned[:, None] >> places  # (n, 10)
    used = np.concatenate([np.ones((len(values), 1), bool), digits[:, 1:] > 0], axis=1)
    more = np.concatenate([used[:, 1:], np.zeros((len(values), 1), bool)], axis=1)
    encoded = (digits & np.uint64(0x7F)).astype(np.uint8) | (more.astype(np.uint8) << 7)
    return encoded[used].tobytes()
