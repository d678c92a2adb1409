"""
Walking through an MP4 or QuickTime file as it streams by: is it whole, and do its samples hold what it says? Pure.

Three things show a file that was cut and padded, or has a hole: boxes that do not end where the file ends, samples that
lie outside the media data, and video samples (H.264, H.265) whose inner lengths do not add up.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from airflow_provider_iinked.media.nal_units import LengthChain, Sample, ZeroRuns

_KEPT: Final = frozenset({b"ftyp", b"moov", b"moof", b"sidx", b"mfra", b"styp"})
_PATH: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex"})
_NAL_CODECS: Final = {b"avc1": b"avcC", b"avc3": b"avcC", b"hvc1": b"hvcC", b"hev1": b"hvcC"}
_LENGTH_AT: Final = {b"avcC": 4, b"hvcC": 21}
_LARGEST_KEPT: Final = 256 << 20


class BrokenMediaError(ValueError):
    """The recording is not whole, or not what it says. Never leaves the transfer."""


class Mp4Walker:
    """
    Take a file's bytes in order, in pieces of any size.

    :param size: bytes of the whole file.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._position = 0
        self._head = bytearray()
        self._box = b""
        self._box_start = 0
        self._box_end = 0
        self._body: bytearray | None = None
        self._media: list[tuple[int, int]] = []
        self._tracks: dict[int, Track] = {}
        self._chunks: list[int] = []
        self._zeros = ZeroRuns()
        self._chain = LengthChain()
        self._late: list[Sample] = []
        self._seen: set[bytes] = set()
        self.kept: list[tuple[int, bytes]] = []

    @property
    def played(self) -> float | None:
        """Seconds that it plays, as its fragments say; None when it has none."""
        seconds = [track.fragments / track.timescale for track in self._tracks.values() if track.timescale]
        return max(seconds, default=0.0) or None

    @property
    def samples_checked(self) -> int:
        """How many video samples were found to be sound from end to end."""
        return self._chain.checked

    def feed(self, data: bytes) -> None:
        """
        Take the next bytes.

        :param data: the bytes.
        :raises BrokenMediaError: as soon as something is wrong.
        """
        self._zeros.feed(self._position, data)
        view = memoryview(data)
        while view:
            start = self._position
            taken = self._take(view)
            self._position += taken
            try:
                self._chain.feed(start, view[:taken])
            except ValueError as error:
                raise BrokenMediaError(str(error)) from None
            view = view[taken:]

    def finish(self) -> None:
        """
        See that the file has come to its proper end.

        :raises BrokenMediaError: when it has not.
        """
        if self._head or self._position < self._box_end:
            raise BrokenMediaError(f"it ends inside its box {_name(self._box or bytes(self._head[4:8]))}")
        if b"moov" not in self._seen:
            raise BrokenMediaError("its index (moov) is missing")
        if not self._media:
            raise BrokenMediaError("it holds no media data (mdat)")
        starts = sorted(self._media)
        for offset in self._chunks:
            at = bisect_right(starts, (offset, self._size)) - 1
            if at < 0 or not starts[at][0] <= offset < starts[at][1]:
                raise BrokenMediaError(f"its index points to byte {offset}, where no media data lies")
        for sample in self._late:
            if sample.end > self._size:
                raise BrokenMediaError(f"its index points to byte {sample.end}, behind its end")
            if self._zeros.covers(sample.start):
                raise BrokenMediaError(f"it is blank at byte {sample.start}, where a video sample begins")
        if self._chain.pending:
            raise BrokenMediaError("it ends before its last video sample")

    def _take(self, view: memoryview) -> int:
        """Take what belongs to the header or the body at hand; return how many bytes that is."""
        if self._position >= self._box_end:
            return self._take_head(view)
        count = min(len(view), self._box_end - self._position)
        if self._body is not None:
            self._body += view[:count]
        if self._position + count == self._box_end:
            self._close_box()
        return count

    def _take_head(self, view: memoryview) -> int:
        wanted = 16 if self._head[:4] == b"\0\0\0\1" else 8
        count = min(len(view), wanted - len(self._head))
        if not self._head:
            self._box_start = self._position
        self._head += view[:count]
        if len(self._head) == wanted and not (wanted == 8 and self._head[:4] == b"\0\0\0\1"):
            self._open_box(bytes(self._head))
            self._head.clear()
            if self._box_end == self._position + count:
                self._close_box()
        return count

    def _open_box(self, head: bytes) -> None:
        size, kind = struct.unpack_from(">I4s", head)
        if len(head) == 16:
            (size,) = struct.unpack_from(">Q", head, 8)
        elif size == 0:
            size = self._size - self._box_start
        if size < len(head) or not all(32 <= letter < 127 or letter == 0xA9 for letter in kind):
            raise BrokenMediaError(f"what begins at byte {self._box_start} is no box of an MP4 file")
        self._box, self._box_end = kind, self._box_start + size
        if self._box_end > self._size:
            raise BrokenMediaError(f"its box {_name(kind)} goes on to byte {self._box_end}, behind its end")
        keep = kind in _KEPT and size <= _LARGEST_KEPT
        self._body = bytearray(head) if keep else None
        if kind == b"mdat":
            self._media.append((self._box_start + len(head), self._box_end))

    def _close_box(self) -> None:
        self._seen.add(self._box)
        if self._body is None:
            return
        body, self._body = bytes(self._body), None
        self.kept.append((self._box_start, body))
        try:
            if self._box == b"moov":
                self._read_index(body)
            elif self._box == b"moof":
                self._expect(sorted(_fragment_samples(body, self._box_start, self._tracks)))
        except (struct.error, LookupError, ValueError, OverflowError):
            raise BrokenMediaError(f"its box {_name(self._box)} cannot be read") from None

    def _read_index(self, body: bytes) -> None:
        samples: list[Sample] = []
        for trak in _children(body, b"trak"):
            boxes: dict[bytes, bytes] = {}
            for kind, inner in _leaves(trak):
                boxes.setdefault(kind, inner)  # QuickTime has a second 'hdlr', of the data
            length_size = _length_size(boxes.get(b"stsd", b""))
            self._tracks[_track_number(boxes[b"tkhd"])] = Track(length_size, _timescale(boxes[b"mdhd"]))
            offsets = _chunk_offsets(boxes)
            self._chunks += offsets
            if boxes[b"hdlr"][8:12] == b"vide":
                samples += _table_samples(boxes, offsets, length_size)
        for number, duration, size in _fragment_defaults(body):
            self._tracks[number].default_duration, self._tracks[number].default_size = duration, size
        if not self._tracks:
            raise ValueError
        self._expect(sorted(samples))

    def _expect(self, samples: list[Sample]) -> None:
        """Look at samples that are still to come; those that went by can be looked at for blanks only."""
        here = self._box_end
        chained = [sample for sample in samples if sample.start >= here and sample.length_size]
        self._late += [sample for sample in samples if sample.start < here or not sample.length_size]
        self._chain.expect(chained)


@dataclass
class Track:
    """
    What fragments need to know of a track.

    :param length_size: how many bytes tell the length of each unit in a video sample; 0 for other media.
    :param timescale: ticks a second.
    :param default_duration: ticks of a sample that does not say.
    :param default_size: bytes of a sample that does not say.
    :param fragments: ticks that its fragments play, so far.
    """

    length_size: int
    timescale: int
    default_duration: int = 0
    default_size: int = 0
    fragments: int = 0


# --- reading boxes ----------------------------------------------------------------------------------------------------


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        size = size or end - start
        if size < header or start + size > end:
            raise ValueError("a box is longer than the one it lies in")
        yield kind, start + header, start + size
        start += size


def _leaves(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every box that holds values, by its kind, however deep it lies."""
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind in _PATH:
            yield from _leaves(data[start:end])
        else:
            yield kind, data[start:end]


def _children(data: bytes, wanted: bytes) -> Iterator[bytes]:
    """The bodies of all boxes of a kind, below the outermost box."""
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == wanted:
            yield data[start:end]
        elif kind in _PATH:
            yield from _children(data[start:end], wanted)


def _track_number(header: bytes) -> int:
    return int(struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)[0])


def _length_size(description: bytes) -> int:
    """How many bytes tell the length of each unit in a video sample; 0 for other media."""
    kind = description[12:16]
    if kind not in _NAL_CODECS:
        return 0
    for inner, start, _ in _boxes(description, 8 + 8 + 78, 8 + struct.unpack_from(">I", description, 8)[0]):
        if inner == _NAL_CODECS[kind]:
            return (description[start + _LENGTH_AT[inner]] & 3) + 1
    return 0


def _chunk_offsets(boxes: dict[bytes, bytes]) -> list[int]:
    for kind, width in ((b"stco", "I"), (b"co64", "Q")):
        if kind in boxes:
            (count,) = struct.unpack_from(">I", boxes[kind], 4)
            room = _fitting(count, boxes[kind], 8, struct.calcsize(f">{width}"))
            return list(struct.unpack_from(f">{room}{width}", boxes[kind], 8))
    return []


def _fitting(count: int, table: bytes, start: int, width: int) -> int:
    """A count that a table says of itself, if it has room for so many."""
    if start + count * width > len(table):
        raise ValueError("a table is shorter than it says")
    return count


def _table_samples(boxes: dict[bytes, bytes], offsets: list[int], length_size: int) -> Iterator[Sample]:
    uniform, count = struct.unpack_from(">II", boxes[b"stsz"], 4)
    if uniform:
        return
    sizes = struct.unpack_from(f">{_fitting(count, boxes[b'stsz'], 12, 4)}I", boxes[b"stsz"], 12)
    runs = boxes[b"stsc"]
    (entries,) = struct.unpack_from(">I", runs, 4)
    table = list(struct.iter_unpack(">III", runs[8 : 8 + 12 * _fitting(entries, runs, 8, 12)]))
    position, entry = 0, 0
    for chunk, offset in enumerate(offsets, 1):
        while entry + 1 < len(table) and table[entry + 1][0] <= chunk:
            entry += 1
        at = offset
        for size in sizes[position : position + table[entry][1]]:
            if size:
                yield Sample(at, at + size, length_size)
            at += size
        position += table[entry][1]
    if position < count:
        raise ValueError("fewer samples have a place than there are")


def _timescale(header: bytes) -> int:
    return int(struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)[0])


def _fragment_defaults(moov: bytes) -> Iterator[tuple[int, int, int]]:
    for extends in _children(moov, b"trex"):
        number, _, duration, size = struct.unpack_from(">IIII", extends, 4)
        yield number, duration, size


def _fragment_samples(moof: bytes, start: int, tracks: dict[int, Track]) -> Iterator[Sample]:
    """The video samples that a fragment announces; they lie in the media data behind it."""
    for fragment in _children(moof, b"traf"):
        header = next(_children(fragment, b"tfhd"), b"")
        flags, number = int.from_bytes(header[1:4], "big"), struct.unpack_from(">I", header, 4)[0]
        track = tracks[number]
        duration, size = track.default_duration, track.default_size
        at, base = 8, start
        if flags & 0x1:
            (base,) = struct.unpack_from(">Q", header, at)
        at += 8 * bool(flags & 0x1) + 4 * bool(flags & 0x2)
        if flags & 0x8:
            (duration,) = struct.unpack_from(">I", header, at)
        at += 4 * bool(flags & 0x8)
        if flags & 0x10:
            (size,) = struct.unpack_from(">I", header, at)
        position = base
        for run in _children(fragment, b"trun"):
            track.fragments += _run_duration(run, duration)
            if track.length_size:
                position = yield from _run_samples(run, base, position, size, track.length_size)


def _run_entries(run: bytes) -> tuple[int, int, int, int]:
    """Flags, number of samples, where their entries begin, and how long each is."""
    flags, count = int.from_bytes(run[1:4], "big"), struct.unpack_from(">I", run, 4)[0]
    width = 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
    at = 8 + 4 * bool(flags & 0x1) + 4 * bool(flags & 0x4)
    _fitting(count, run, at, width)
    return flags, count, at, width


def _run_duration(run: bytes, default: int) -> int:
    flags, count, at, width = _run_entries(run)
    if not flags & 0x100:
        return count * default
    return sum(struct.unpack_from(">I", run, entry)[0] for entry in range(at, at + count * width, width))


def _run_samples(run: bytes, base: int, position: int, default: int, length_size: int) -> Generator[Sample, None, int]:
    flags, count, at, width = _run_entries(run)
    if flags & 0x1:
        position = base + struct.unpack_from(">i", run, 8)[0]
    if not width:
        return position  # all alike: nothing that could tell them apart
    for entry in range(at, at + count * width, width):
        size = struct.unpack_from(">I", run, entry + 4 * bool(flags & 0x100))[0] if flags & 0x200 else default
        if size:
            yield Sample(position, position + size, length_size)
        position += size
    return position


def _name(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))
