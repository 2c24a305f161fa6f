"""The one canonical encoding of everything that has no fixed layout.

A value is an unsigned integer, a byte string, a text or an array of values,
written as CBOR (RFC 8949 majors 0, 2, 4 and 3) with every length and integer in
its shortest form, so that equal values have equal bytes and different bytes are
different values. One pass, each length held against what is left before
anything is made of it (docs/spec/encoding.md). :func:`framed` is the other
half: the unambiguous concatenation that goes into hashes and key derivations.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from backchannel.errors import MalformedError

# Specification constants (docs/spec/encoding.md §2).
MAX_DEPTH: Final = 16
MAX_INTEGER: Final = 2**64 - 1
UNSIGNED, BYTES, TEXT, ARRAY = 0, 2, 3, 4

Value: TypeAlias = "int | bytes | str | tuple[Value, ...]"


def encode(value: Value) -> bytes:
    """Encode *value*; the inverse of :func:`decode`.

    Raises:
        ValueError: If *value* holds what the encoding cannot express: a negative
            or too large integer, a text with lone surrogates, another type, or
            more than 16 levels. That is a fault of ours, never of the outside.
    """
    out = bytearray()
    _encode(value, out, MAX_DEPTH)
    return bytes(out)


def decode(data: bytes, *, values: int = MAX_INTEGER) -> Value:
    """Decode exactly one value from *data*, with at most *values* others inside it.

    Nothing is allocated that *data* does not itself pay for: a length larger
    than what is left is refused before use, so the cost is linear in ``len(data)``.
    It is steep, though: a value of one byte takes 16 bytes and half a
    microsecond, so a format of many megabytes also says how many values it has.

    Raises:
        MalformedError: For each reason in docs/spec/encoding.md §3.
    """
    value, end, _ = _decode(data, 0, MAX_DEPTH, values)
    if end != len(data):
        raise MalformedError("encoding has bytes after its end")
    return value


def framed(*parts: bytes | str | int) -> bytes:
    """Concatenate *parts* so that no two lists of parts give the same bytes.

    Each part is its length as u32 and its bytes; a text is its UTF-8, a number
    its eight bytes, big-endian (docs/spec/encoding.md §4).
    """
    out = bytearray()
    for part in parts:
        if isinstance(part, int):
            raw = part.to_bytes(8)
        elif isinstance(part, str):
            raw = part.encode()
        else:
            raw = part
        out += len(raw).to_bytes(4)
        out += raw
    return bytes(out)


def _encode(value: Value, out: bytearray, depth: int) -> None:
    match value:
        case bytes():
            _head(BYTES, len(value), out)
            out += value
        case bool():
            raise ValueError("a bool has no encoding")
        case int():
            _head(UNSIGNED, value, out)
        case str():
            raw = value.encode()
            _head(TEXT, len(raw), out)
            out += raw
        case tuple():
            if depth == 0:
                raise ValueError(f"more than {MAX_DEPTH} levels")
            _head(ARRAY, len(value), out)
            for item in value:
                _encode(item, out, depth - 1)
        case _:
            raise ValueError(f"{type(value).__name__} has no encoding")


def _head(major: int, argument: int, out: bytearray) -> None:
    if not 0 <= argument <= MAX_INTEGER:
        raise ValueError("integer out of range")
    if argument < _ONE_BYTE:
        out.append(major << 5 | argument)
        return
    code, size = _BY_BITS[argument.bit_length()]
    out.append(major << 5 | code)
    out += argument.to_bytes(size)


def _decode(data: bytes, at: int, depth: int, values: int) -> tuple[Value, int, int]:
    major, argument, at = _decode_head(data, at)
    if major == UNSIGNED:
        return argument, at, values
    # Every item of an array takes at least one byte, so one comparison bounds
    # byte strings, texts and arrays alike before anything is made of them.
    if argument > len(data) - at:
        raise MalformedError("encoding is shorter than it says")
    if major == BYTES:
        return data[at : at + argument], at + argument, values
    if major == TEXT:
        try:
            return data[at : at + argument].decode(), at + argument, values
        except UnicodeDecodeError:
            raise MalformedError("text is not UTF-8") from None
    if depth == 0:
        raise MalformedError(f"encoding is more than {MAX_DEPTH} levels deep")
    if argument > values:
        raise MalformedError("encoding has more values than its format")
    values -= argument
    items = []
    for _ in range(argument):
        item, at, values = _decode(data, at, depth - 1, values)
        items.append(item)
    return tuple(items), at, values


def _decode_head(data: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(data):
        raise MalformedError("encoding is shorter than it says")
    major, code = data[at] >> 5, data[at] & 0x1F
    if major not in (UNSIGNED, BYTES, TEXT, ARRAY):
        raise MalformedError("encoding has a type that is not used")
    if code < _ONE_BYTE:
        return major, code, at + 1
    size = _SIZES.get(code)
    if size is None:
        raise MalformedError("encoding has an unused or indefinite length")
    raw = data[at + 1 : at + 1 + size]
    if len(raw) != size:
        raise MalformedError("encoding is shorter than it says")
    argument = int.from_bytes(raw)
    if argument < _ONE_BYTE or (size > 1 and argument < 1 << (4 * size)):
        raise MalformedError("encoding is not the shortest")
    return major, argument, at + 1 + size


_ONE_BYTE: Final = 24  # RFC 8949 §3: smaller arguments stand in the first byte
_SIZES: Final = {24: 1, 25: 2, 26: 4, 27: 8}  # the code, and the bytes of argument that follow
_BY_BITS: Final = tuple(next(each for each in _SIZES.items() if bits <= 8 * each[1]) for bits in range(65))
