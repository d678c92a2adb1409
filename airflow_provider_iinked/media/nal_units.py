"""Looking into video samples as they stream by: chains of length-prefixed units, and long runs of zeros. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

_ZEROS: Final = bytes(4096)


class Sample(NamedTuple):
    """
    One sample of a video track.

    :param start: its first byte, counted in the file.
    :param end: the byte behind its last.
    :param length_size: how many bytes tell the length of each unit in it.
    """

    start: int
    end: int
    length_size: int


class LengthChain:
    """Follows the lengths of the units in each sample; they have to end where the sample ends."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._next = 0
        self._tail = b""
        self.checked = 0

    @property
    def pending(self) -> int:
        """How many samples have not gone by yet."""
        return len(self._samples)

    def expect(self, samples: Sequence[Sample]) -> None:
        """
        Add samples that are to come.

        :param samples: in the order of their place.
        """
        if samples and not self._samples:
            self._next = samples[0].start
        self._samples.extend(samples)

    def feed(self, position: int, data: memoryview) -> None:
        """
        Take the next bytes.

        :param position: of their first one.
        :param data: the bytes.
        :raises ValueError: when the units of a sample do not fill it.
        """
        if not self._samples:
            self._tail = b""
            return
        known = self._tail + data
        base, end = position - len(self._tail), position + len(data)
        while self._samples:
            sample = self._samples[0]
            if self._next + sample.length_size > end:
                break
            at = self._next - base
            if at < 0:
                self._step()  # shares its bytes with one that was looked at
                continue
            length = int.from_bytes(known[at : at + sample.length_size], "big")
            self._next += sample.length_size + length
            if not length or self._next > sample.end:
                raise ValueError(f"the video sample at byte {sample.start} is damaged or blank")
            if self._next == sample.end:
                self.checked += 1
                self._step()
        self._tail = known[-3:]

    def _step(self) -> None:
        self._samples.popleft()
        if self._samples:
            self._next = self._samples[0].start


class ZeroRuns:
    """Remembers where a file is blank for 4 KiB and more."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def feed(self, position: int, data: bytes) -> None:
        """
        Take the next bytes.

        :param position: of their first one.
        :param data: the bytes.
        """
        at = data.find(_ZEROS)
        while at >= 0:
            rest = data[at:]
            end = at + len(rest) - len(rest.lstrip(b"\0"))
            if self._ends and self._ends[-1] >= position + at:
                self._ends[-1] = position + end
            else:
                self._starts.append(position + at)
                self._ends.append(position + end)
            at = data.find(_ZEROS, end)

    def covers(self, position: int) -> bool:
        """
        Tell whether the file is blank at a place.

        :param position: the place.
        :return: True inside a run.
        """
        at = bisect_right(self._starts, position) - 1
        return at >= 0 and position < self._ends[at]
