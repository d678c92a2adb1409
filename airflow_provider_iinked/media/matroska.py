"""
Walking through a WebM or Matroska file as it streams by: does each element begin where the one before ends? Pure.

A file that was cut and padded, or has a hole, has something there that is no element, or one that ends nowhere.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from airflow_provider_iinked.media.mp4 import BrokenMediaError

_EBML: Final = 0x1A45DFA3
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_BLOCK_GROUP: Final = 0xA0
_TIMESTAMP: Final = 0xE7
_INFO: Final = 0x1549A966
_VOID: Final = 0xEC
_TRACKS: Final = 0x1654AE6B
_BLOCKS: Final = frozenset({0xA3, 0xA1})
_ANYWHERE: Final = frozenset({_VOID, 0xBF})
_CHILDREN: Final = {
    0: frozenset({_EBML, _SEGMENT}),
    _SEGMENT: frozenset({0x114D9B74, _INFO, _TRACKS, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367}),
    _CLUSTER: frozenset({_TIMESTAMP, 0x5854, 0xA7, 0xAB, 0xA3, _BLOCK_GROUP, 0xAF}),
    _BLOCK_GROUP: frozenset({0xA1, 0xA2, 0x75A1, 0x9B, 0xFA, 0xFB, 0xFD, 0xA4, 0x75A2, 0x8E, 0xC8}),
}
_KEPT: Final = frozenset({0x114D9B74, _INFO, _TRACKS, 0x1C53BB6B, 0x1254C367})
_LARGEST_KEPT: Final = 64 << 20
_TICK_IN_INFO: Final = b"\x2a\xd7\xb1"


class _Parent(NamedTuple):
    kind: int
    end: int | None


class MatroskaWalker:
    """
    Take a file's bytes in order, in pieces of any size.

    :param size: bytes of the whole file.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._position = 0
        self._head = bytearray()
        self._parents = [_Parent(0, size)]
        self._skip_to = 0
        self._kept_start = 0
        self._kept: bytearray | None = None
        self._block_start = -1
        self._block = bytearray()
        self._block_kind = 0
        self._tick = 1_000_000
        self._cluster_time = 0
        self._last_time = 0
        self._seen: set[int] = set()
        self.kept: list[tuple[int, bytes]] = []
        self.samples_checked = 0

    @property
    def played(self) -> float | None:
        """Seconds from its beginning to its last block; None when it has none."""
        return self._last_time * self._tick / 1e9 or None

    def feed(self, data: bytes) -> None:
        """
        Take the next bytes.

        :param data: the bytes.
        :raises BrokenMediaError: as soon as something is wrong.
        """
        view = memoryview(data)
        while view:
            taken = self._take(view)
            view = view[taken:]
            self._position += taken

    def finish(self) -> None:
        """
        See that the file has come to its proper end.

        :raises BrokenMediaError: when it has not.
        """
        if self._head or self._position < self._skip_to:
            raise BrokenMediaError("it ends inside an element")
        for parent in self._parents[1:]:
            if parent.end not in (None, self._position):
                raise BrokenMediaError(f"its element {parent.kind:X} goes on behind its end")
        for kind, name in ((_SEGMENT, "segment"), (_TRACKS, "list of tracks"), (_CLUSTER, "media data (cluster)")):
            if kind not in self._seen:
                raise BrokenMediaError(f"it has no {name}")

    def _take(self, view: memoryview) -> int:
        if self._position < self._skip_to:
            count = min(len(view), self._skip_to - self._position)
            if self._block_start >= 0:
                return self._take_block(view, count)
            if self._kept is not None:
                self._kept += view[:count]
                if self._position + count == self._skip_to:
                    self._keep(bytes(self._kept))
            return count
        self._head.append(view[0])
        self._read_head()
        return 1

    def _keep(self, element: bytes) -> None:
        self.kept.append((self._kept_start, element))
        self._kept = None
        scale = element.find(_TICK_IN_INFO)
        if element.startswith(_INFO.to_bytes(4, "big")) and scale >= 0 and scale + 3 < len(element):
            width = element[scale + 3] & 0x7F
            self._tick = int.from_bytes(element[scale + 4 : scale + 4 + width], "big") or self._tick

    def _read_head(self) -> None:
        """Open the element at hand as soon as its id and size are there."""
        id_size = 9 - self._head[0].bit_length()
        if self._head[0] == 0 or id_size > 4:
            raise BrokenMediaError(f"what stands at byte {self._position} is no element of a WebM file")
        if len(self._head) <= id_size:
            return
        first = self._head[id_size]
        length = 9 - first.bit_length()
        if first == 0:
            raise BrokenMediaError(f"the element before byte {self._position} has no size")
        if len(self._head) < id_size + length:
            return
        kind = int.from_bytes(self._head[:id_size], "big")
        size: int | None = int.from_bytes(self._head[id_size:], "big") & ((1 << 7 * length) - 1)
        if size == (1 << 7 * length) - 1:
            size = None
        self._open(kind, size, self._position + 1)

    def _open(self, kind: int, size: int | None, body: int) -> None:
        start = body - len(self._head)
        head = bytes(self._head)
        self._head.clear()
        self._leave_parents(kind, start)
        parent = self._parents[-1]
        if kind not in _CHILDREN[parent.kind] and kind not in _ANYWHERE:
            raise BrokenMediaError(f"what begins at byte {start} is no element that belongs there")
        end = None if size is None else body + size
        outer = min(p.end for p in self._parents if p.end is not None)
        if end is not None and end > outer:
            raise BrokenMediaError(f"its element {kind:X} at byte {start} goes on behind the end of what holds it")
        self._seen.add(kind)
        if kind in _CHILDREN:
            self._parents.append(_Parent(kind, end))
            return
        if end is None:
            raise BrokenMediaError(f"its element {kind:X} at byte {start} has no size")
        self._skip_to = end
        if kind in _BLOCKS or kind == _TIMESTAMP:
            self._block_start, self._block_kind = body, kind
            if not size:
                raise BrokenMediaError(f"the element {kind:X} at byte {start} is empty")
        if kind in _KEPT and end - start <= _LARGEST_KEPT:
            self._kept_start, self._kept = start, bytearray(head)

    def _leave_parents(self, kind: int, start: int) -> None:
        """Leave what ends here; an element of unknown size ends where one begins that cannot lie in it."""
        while len(self._parents) > 1:
            parent = self._parents[-1]
            ended = parent.end is not None and start >= parent.end
            foreign = parent.end is None and kind not in _CHILDREN[parent.kind] and kind not in _ANYWHERE
            if not ended and not foreign:
                return
            self._parents.pop()

    def _take_block(self, view: memoryview, count: int) -> int:
        """Take the first bytes of a block, or the time of a cluster; the rest of a block goes by."""
        wanted = min(self._skip_to - self._block_start, 10 if self._block_kind == _TIMESTAMP else 4)
        count = min(count, wanted - len(self._block))
        self._block += view[:count]
        if len(self._block) < wanted:
            return count
        block, self._block, start, self._block_start = bytes(self._block), bytearray(), self._block_start, -1
        if self._block_kind == _TIMESTAMP:
            self._cluster_time = int.from_bytes(block, "big")
            return count
        width = 9 - block[0].bit_length() if block else 9
        if width > 2 or len(block) < 4:
            raise BrokenMediaError(f"the block at byte {start} is damaged or blank")
        time = self._cluster_time + int.from_bytes(block[width : width + 2], "big", signed=True)
        self._last_time = max(self._last_time, time)
        self.samples_checked += 1
        return count
