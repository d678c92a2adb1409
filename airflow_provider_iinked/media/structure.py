"""
Does each part of a file begin where the one before it ends, up to the last byte?

FFmpeg goes on behind damage to whatever it can read next, and says so in its log only, in words that differ between
versions. So the parts are walked along by their headers; what is in them is for FFmpeg to read. A part that cannot be
where it stands raises :class:`BrokenStructureError`.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import BinaryIO, Final

_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_PRINTABLE: Final = frozenset(range(32, 127)) | {0xA9}
_LARGEST_INFO: Final = 1 << 20


class BrokenStructureError(ValueError):
    """The file is not whole. Its text is a problem in plain words."""


@dataclass
class Structure:
    """
    What a walk along a file found.

    :param header_seconds: the play length that the file's header claims; None where it claims none.
    :param fragmented: True for an MP4 whose media lies in fragments.
    :param sealed: True for a Matroska whose segment and clusters all end where they say: nothing was taken out of it.
    :param media: first byte, and the byte behind the last, of each part that holds media; empty when not known.
    """

    header_seconds: float | None = None
    fragmented: bool = False
    sealed: bool = False
    media: list[tuple[int, int]] = field(default_factory=list)

    def holds(self, start: int, end: int) -> bool:
        """
        Tell whether media can lie somewhere.

        :param start: first byte.
        :param end: the byte behind the last.
        :return: False when some of these bytes belong to no part that holds media.
        """
        if not self.media:
            return True
        at = bisect_right(self.media, (start, float("inf"))) - 1
        return at >= 0 and self.media[at][0] <= start and end <= self.media[at][1]


def walk(file: BinaryIO, size: int, demuxer: str) -> Structure:
    """
    Walk along a whole file.

    :param file: the file; it is read with seeks.
    :param size: its bytes.
    :param demuxer: FFmpeg's name for its container.
    :return: what was found on the way.
    :raises BrokenStructureError: when it is not whole.
    """
    walkers = {"mov": _walk_mp4, "matroska": _walk_matroska, "ogg": _walk_ogg, "flv": _walk_flv}
    return walkers.get(demuxer, _walk_riff)(file, size)


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _only_zeros(file: BinaryIO, at: int, end: int) -> bool:
    """Whether a file goes on with zeros alone, as where it was stored in whole blocks."""
    file.seek(at)
    while at < end:
        piece = file.read(min(end - at, 1 << 20))
        if not piece or piece.strip(b"\0"):
            return False
        at += len(piece)
    return True


def _beyond(what: str, at: int, end: int, size: int) -> BrokenStructureError:
    return BrokenStructureError(f"its {what} at byte {at} goes on to byte {end}, but the file ends at byte {size}")


# --- MP4, QuickTime, 3GP ----------------------------------------------------------------------------------------------

_BOXES_OF_BOXES: Final = frozenset({b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf"})


def _walk_mp4(file: BinaryIO, size: int) -> Structure:
    found, seen, at = Structure(), set[bytes](), 0
    while at < size:
        head = _read(file, at, 16)
        if head[0] == 0 and {b"moov", b"mdat"} <= seen and b"moof" not in seen and _only_zeros(file, at, size):
            break  # the index says where all media lies, and it is there: padding
        if len(head) < 8:
            raise BrokenStructureError(f"it ends inside the header of a box, at byte {size}")
        length, kind = struct.unpack_from(">I4s", head)
        header = 8
        if length == 1 and len(head) == 16:
            (length,), header = struct.unpack_from(">Q", head, 8), 16
        elif length == 0:
            length = size - at
        if length < header or not _PRINTABLE.issuperset(kind):
            raise BrokenStructureError(f"what begins at byte {at} is no box of an MP4 file")
        if at + length > size:
            raise _beyond(f"box '{kind.decode('latin-1')}'", at, at + length, size)
        if kind == b"mdat":
            found.media.append((at + header, at + length))
        seen.add(kind)
        at += header if kind in _BOXES_OF_BOXES else length
    if b"moov" not in seen:
        raise BrokenStructureError("its index (moov) is missing")
    if not found.media:
        raise BrokenStructureError("it holds no media data (mdat)")
    found.fragmented = b"moof" in seen
    return found


# --- WebM, Matroska ---------------------------------------------------------------------------------------------------

_EBML: Final = 0x1A45DFA3
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_INFO: Final = 0x1549A966
_TRACKS: Final = 0x1654AE6B
_OF_A_SEGMENT: Final = frozenset({_CLUSTER, _INFO, _TRACKS, 0x114D9B74, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367})
# Segment, Cluster, BlockGroup: what lies in them follows at once, so where they end does not matter. Recorders leave
# that open, and repair tools get it wrong; players take the next Cluster as it comes.
_ENTERED: Final = frozenset({_SEGMENT, _CLUSTER, 0xA0})
_KNOWN: Final = (
    _ENTERED
    | _OF_A_SEGMENT
    | {
        _EBML,
        *(0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xAF),  # of a Cluster
        *(0xA1, 0xA2, 0x75A1, 0x9B, 0xFA, 0xFB, 0xFD, 0xA4, 0x75A2, 0x8E, 0xC8),  # of a BlockGroup
        *(0xEC, 0xBF),  # padding and checksums, anywhere
    }
)


class _Ends:
    """Do segment and clusters end where they say?"""

    def __init__(self) -> None:
        self.segment: int | None = None
        self._cluster: int | None = None
        self._kept = True

    def meet(self, kind: int, at: int, end: int | None) -> None:
        """Note an element: where it begins, and where it says that it ends."""
        if at == self._cluster:
            self._cluster = None
        if kind in _OF_A_SEGMENT and self._cluster is not None:
            self._kept = False  # the one before says that it goes on
        if kind in (_SEGMENT, _CLUSTER) and end is None:
            self._kept = False
        if kind == _SEGMENT:
            self.segment = end
        elif kind == _CLUSTER:
            self._cluster = end

    def kept(self, at: int) -> bool:
        """Tell whether all of them did, given where the last element ended."""
        return self._kept and self.segment == at and self._cluster in (None, at)


def _walk_matroska(file: BinaryIO, size: int) -> Structure:
    found, seen, ends, at = Structure(), set[int](), _Ends(), 0
    while at < size:
        if at == ends.segment and _CLUSTER in seen and _only_zeros(file, at, size):
            break  # the segment says where it ends, and ends there: padding
        kind, length, body = _element(_read(file, at, 12), at)
        if kind not in _KNOWN:
            raise BrokenStructureError(f"what begins at byte {at} is no element that belongs there")
        if kind == _EBML and seen:
            raise BrokenStructureError(f"another recording begins inside it, at byte {at}")
        seen.add(kind)
        ends.meet(kind, at, None if length is None else body + length)
        if kind in _ENTERED:
            at = body
            continue
        if length is None:
            raise BrokenStructureError(f"its element {kind:X} at byte {at} has no size")
        if body + length > size:
            raise _beyond(f"element {kind:X}", at, body + length, size)
        if kind == _INFO:
            found.header_seconds = _claimed_seconds(_read(file, body, min(length, _LARGEST_INFO)))
        at = body + length
    for kind, name in ((_SEGMENT, "segment"), (_TRACKS, "list of tracks"), (_CLUSTER, "media data (cluster)")):
        if kind not in seen:
            raise BrokenStructureError(f"it has no {name}")
    found.sealed = ends.kept(at)
    return found


def _element(head: bytes, at: int) -> tuple[int, int | None, int]:
    """The id and size (None when it is unknown) of an element, and where its body begins, from its first 12 bytes."""
    id_size = 9 - head[0].bit_length()
    if id_size > 4:
        raise BrokenStructureError(f"what begins at byte {at} is no element of a WebM or Matroska file")
    if len(head) <= id_size:
        raise BrokenStructureError("it ends inside the header of an element")
    size_size = 9 - head[id_size].bit_length()
    if size_size > 8:
        raise BrokenStructureError(f"the element at byte {at} has no size")
    if len(head) < id_size + size_size:
        raise BrokenStructureError("it ends inside the header of an element")
    limit = 1 << 7 * size_size
    size: int | None = int.from_bytes(head[id_size : id_size + size_size], "big") & (limit - 1)
    return int.from_bytes(head[:id_size], "big"), None if size == limit - 1 else size, at + id_size + size_size


def _claimed_seconds(info: bytes) -> float | None:
    """Duration times TimestampScale, out of the body of an Info element."""
    scale, duration, at = 1_000_000, 0.0, 0
    while at < len(info):
        kind, length, body = _element(info[at : at + 12], at)
        value = info[body : body + (length or 0)]
        if kind == 0x2AD7B1:
            scale = int.from_bytes(value, "big") or scale
        elif kind == 0x4489 and len(value) in (4, 8):
            (duration,) = struct.unpack(">f" if len(value) == 4 else ">d", value)
        at = body + (length or 0)
    return duration * scale / 1e9 if 0 < duration < float("inf") else None


# --- Ogg, FLV, AVI, WAV -----------------------------------------------------------------------------------------------


def _walk_ogg(file: BinaryIO, size: int) -> Structure:
    at = 0
    while at < size:
        head = _read(file, at, 27 + 255)
        if head[:5] != b"OggS\0" or len(head) < 27 or len(head) < 27 + head[26]:
            raise BrokenStructureError(f"what begins at byte {at} is no page of an Ogg file")
        end = at + 27 + head[26] + sum(head[27 : 27 + head[26]])
        if end > size:
            raise _beyond("page", at, end, size)
        if _ogg_checksum(_read(file, at, end - at)) != head[22:26]:
            raise BrokenStructureError(f"the page at byte {at} does not agree with its checksum")
        at = end
    return Structure()


def _ogg_checksum(page: bytes) -> bytes:
    """
    Ogg's CRC-32 is zlib's with every bit order turned round and no inversions, so zlib does it.

    :param page: the whole page; its own checksum counts as zero.
    """
    crc = zlib.crc32((page[:22] + bytes(4) + page[26:]).translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc.to_bytes(4, "big").translate(_REVERSED)


def _walk_flv(file: BinaryIO, size: int) -> Structure:
    at = int.from_bytes(_read(file, 5, 4), "big") + 4
    while at < size:
        head = _read(file, at, 11)
        if len(head) < 11 or head[0] & 0x1F not in (8, 9, 18):
            raise BrokenStructureError(f"what begins at byte {at} is no tag of an FLV file")
        end = at + 11 + int.from_bytes(head[1:4], "big")
        if end + 4 > size:
            raise _beyond("tag", at, end + 4, size)
        if int.from_bytes(_read(file, end, 4), "big") != end - at:
            raise BrokenStructureError(f"the tag at byte {at} is not as long as it says")
        at = end + 4
    return Structure()


def _walk_riff(file: BinaryIO, size: int) -> Structure:
    at = 0
    while at < size:
        head = _read(file, at, 12)
        if len(head) < 8 or not _PRINTABLE.issuperset(head[:4]):
            raise BrokenStructureError(f"what begins at byte {at} is no chunk of an AVI or WAV file")
        kind, (length,) = head[:4], struct.unpack_from("<I", head, 4)
        unknown = length in (0, 0xFFFFFFFF) and kind in (b"RIFF", b"RF64", b"data")
        if unknown and kind == b"data":
            break  # written to a pipe, or longer than 4 GiB: it goes on to the end
        if not unknown and at + 8 + length > size:
            raise _beyond(f"chunk '{kind.decode('latin-1')}'", at, at + 8 + length, size)
        entered = kind in (b"RIFF", b"RF64") or (kind == b"LIST" and head[8:] in (b"movi", b"rec "))
        at += 12 if entered else 8 + length + length % 2
    return Structure()
