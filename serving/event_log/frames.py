"""What a segment consists of: a magic, then frames, each with its length and checksum, so that a cut is seen.

A frame is ``length: u32, checksum: u32, kind: u16, table: u16, payload``, little-endian. The checksum is the
CRC-32 (zlib) of kind, table and payload. The payload is an encapsulated message of Arrow's IPC format: a schema,
whose metadata names the table, or a record batch. ``table`` counts the schemas of the segment from 0, so that a
segment explains itself to a later version of this program with other columns.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"RECWAL01"
SCHEMA, ROWS = 1, 2

_LENGTHS = struct.Struct("<II")
_KIND = struct.Struct("<HH")
_HEADER_BYTES = _LENGTHS.size + _KIND.size


@dataclass(frozen=True)
class Frame:
    """One frame.

    Args:
        kind: ``SCHEMA`` or ``ROWS``.
        table: Which schema of the segment this is, or is of.
        payload: An Arrow IPC message.
        end: Where the frame ends, in bytes from the start of the segment.
    """

    kind: int
    table: int
    payload: memoryview
    end: int


def encode(kind: int, table: int, payload: bytes | memoryview) -> tuple[bytes, bytes | memoryview]:
    """A frame's header and its payload, to be written one after the other."""
    labels = _KIND.pack(kind, table)
    return _LENGTHS.pack(len(payload), zlib.crc32(payload, zlib.crc32(labels))) + labels, payload


def whole_frames(segment: memoryview) -> Iterator[Frame]:
    """The frames of a segment up to the first one that is cut or damaged; none where its magic is not whole."""
    if segment[: len(MAGIC)] != MAGIC:
        return
    start = len(MAGIC)
    while start + _HEADER_BYTES <= len(segment):
        length, checksum = _LENGTHS.unpack_from(segment, start)
        labels = segment[start + _LENGTHS.size : start + _HEADER_BYTES]
        end = start + _HEADER_BYTES + length
        payload = segment[start + _HEADER_BYTES : end]
        if end > len(segment) or zlib.crc32(payload, zlib.crc32(labels)) != checksum:
            return
        kind, table = _KIND.unpack(labels)
        yield Frame(kind, table, payload, end)
        start = end
