"""Read fields of a flatbuffer and of a flexbuffer map without their libraries.

A .tflite and its metadata are flatbuffers. A device needs a dozen of their fields, for which it should not
have to carry a schema compiler's output. Layout: "FlatBuffer Internals" on
https://flatbuffers.dev/internals/. Slots are field numbers in the order of the schema.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

Number = Literal["b", "B", "h", "H", "i", "I", "f", "d", "q", "Q"]

_OFFSET = struct.Struct("<I")


class DamagedBufferError(ValueError):
    """Offsets out of range: the file is truncated or of another kind."""


@dataclass(frozen=True, slots=True)
class Table:
    """Table inside a flatbuffer.

    Attributes:
        data: The whole buffer.
        position: Offset of the table in bytes.
    """

    data: memoryview
    position: int

    def number(self, slot: int, kind: Number, default: float = 0) -> float:
        """Read a scalar field; return its default if it isn't stored."""
        at = self._field(slot)
        return default if at is None else self._read(at, kind)

    def text(self, slot: int) -> str:
        """Read a string field; "" if absent."""
        return bytes(self.block(slot)).decode("utf-8", errors="replace")

    def block(self, slot: int) -> memoryview:
        """Read a byte-vector field; empty if absent."""
        start, length = self._vector(slot)
        return self._slice(start, length)

    def numbers(self, slot: int, kind: Number) -> list[float]:
        """Read a vector of scalars; empty if absent."""
        start, length = self._vector(slot)
        size = struct.calcsize(kind)
        content = self._slice(start, length * size)
        return [value for (value,) in struct.iter_unpack(f"<{kind}", content)]

    def table(self, slot: int) -> Table | None:
        """Read a table field, also of a union; None if absent."""
        at = self._field(slot)
        return None if at is None else Table(self.data, at + self._read_offset(at))

    def tables(self, slot: int) -> list[Table]:
        """Read a vector of tables; empty if absent."""
        start, length = self._vector(slot)
        self._slice(start, length * 4)  # checks that the whole vector is inside the buffer
        places = range(start, start + 4 * length, 4)
        return [Table(self.data, place + self._read_offset(place)) for place in places]

    def _field(self, slot: int) -> int | None:
        vtable = self.position - int(self._read(self.position, "i"))
        entry = 4 + 2 * slot
        if entry >= self._read(vtable, "H"):
            return None
        offset = int(self._read(vtable + entry, "H"))
        return self.position + offset if offset else None

    def _vector(self, slot: int) -> tuple[int, int]:
        at = self._field(slot)
        if at is None:
            return 0, 0
        start = at + self._read_offset(at)
        return start + 4, self._read_offset(start)

    def _slice(self, start: int, size: int) -> memoryview:
        if start < 0 or start + size > len(self.data):
            raise DamagedBufferError(f"a vector of {size} bytes at {start} ends after the file")
        return self.data[start : start + size]

    def _read_offset(self, at: int) -> int:
        return int(self._read(at, "I"))

    def _read(self, at: int, kind: Number) -> float:
        content = self._slice(at, struct.calcsize(kind))
        (value,) = struct.unpack(f"<{kind}", content)
        return float(value) if kind in "fd" else int(value)


def root_table(data: memoryview) -> Table:
    """Return the root table of a flatbuffer."""
    if len(data) < 8:
        raise DamagedBufferError(f"{len(data)} bytes aren't a flatbuffer")
    return Table(data, _OFFSET.unpack_from(data)[0])


def flexbuffer_numbers(data: memoryview) -> dict[str, float]:
    """Read the scalar entries of a flexbuffer map, the form of options of TFLite's custom operators.

    Entries other than integers, floats and booleans are left out. Layout: "FlexBuffers" on the
    page above: root value, its packed type, its byte width from the end backwards; a map's values are
    followed by their packed types and preceded by its length, the width of its keys and their offset.
    """
    try:
        return _flexbuffer_map(bytes(data))
    except (struct.error, IndexError, ValueError) as error:
        raise DamagedBufferError(f"the options of an operator can't be read: {error}") from error


def _flexbuffer_map(data: bytes) -> dict[str, float]:
    root_width, root_type = data[-1], data[-2]
    if root_type >> 2 != 9:  # a map
        return {}
    root_at = len(data) - 2 - root_width
    values_at = root_at - _unsigned(data, root_at, root_width)
    width = 1 << (root_type & 3)
    count = _unsigned(data, values_at - width, width)
    keys_width = _unsigned(data, values_at - 2 * width, width)
    keys_at = values_at - 3 * width - _unsigned(data, values_at - 3 * width, width)
    numbers = {}
    for index in range(count):
        key_place = keys_at + index * keys_width
        key_at = key_place - _unsigned(data, key_place, keys_width)
        key = data[key_at : data.index(0, key_at)].decode()
        kind = data[values_at + count * width + index] >> 2
        place = values_at + index * width
        content = data[place : place + width]
        if kind == 1:
            numbers[key] = float(int.from_bytes(content, "little", signed=True))
        elif kind in (2, 26):  # unsigned, boolean
            numbers[key] = float(int.from_bytes(content, "little"))
        elif kind == 3:
            form = {2: "<e", 4: "<f", 8: "<d"}[width]
            (numbers[key],) = struct.unpack(form, content)
    return numbers


def _unsigned(data: bytes, at: int, width: int) -> int:
    if at < 0 or at + width > len(data) or width not in (1, 2, 4, 8):
        raise ValueError(f"no {width}-byte number at {at} of {len(data)}")
    return int.from_bytes(data[at : at + width], "little")
