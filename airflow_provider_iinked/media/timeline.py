"""
The time line of a recording, from its packets: does it run on without gaps and jumps, and for how long? Pure.

Rules, with what whole files of browsers, ffmpeg and GStreamer show (docs/media.md):

* over all tracks together nothing is missing for more than half a second (0.3 s is the most that a whole file had);
* a track's decoding times never go back;
* a track without durations (WebM) that is alone may have slow or still pictures: its gaps count only when they are few
  among many frames, as a lost piece leaves them, and not in a file whose parts all end where they say.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

MAX_GAP: Final = 0.5
"""Seconds that may be missing in between."""
MAX_JUMP_BACK: Final = 0.1
"""Seconds that a track's decoding time may go back."""
ROUNDING: Final = 1.25
"""Seconds that a duration in whole seconds may differ: rounded up, down or to nearest, by a clock of its own."""
RELATIVE: Final = 0.02
MAX_RELATIVE: Final = 10.0
"""A long recording may differ by 2 %, and never by more than 10 s."""
_FEW_GAPS: Final = 3
_MANY_FRAMES: Final = 10


class Coverage:
    """
    The times at which something plays, in any order of adding.

    :param join: seconds; what lies no further apart belongs together.
    """

    def __init__(self, join: float = MAX_GAP) -> None:
        self._join = join
        self._starts: list[float] = []
        self._ends: list[float] = []

    def add(self, start: float, end: float) -> None:
        """
        Add a stretch of time.

        :param start: seconds.
        :param end: seconds, not before ``start``.
        """
        starts, ends, join = self._starts, self._ends, self._join
        if ends and starts[-1] <= start <= ends[-1] + join:  # by far the most frequent one: it goes on
            ends[-1] = max(end, ends[-1])
            return
        at = bisect_right(starts, start)
        first = at - 1 if at and ends[at - 1] + join >= start else at
        last = first
        while last < len(starts) and starts[last] <= end + join:
            start, end = min(start, starts[last]), max(end, ends[last])
            last += 1
        starts[first:last], ends[first:last] = [start], [end]

    def gaps(self) -> list[tuple[float, float]]:
        """Return start and end of each gap, in order, in seconds."""
        return list(zip(self._ends[:-1], self._starts[1:], strict=True))


@dataclass
class Track:
    """
    What is known of one track's times.

    :param kind: ``video`` or ``audio``.
    :param timed: True when its container gives each packet's duration.
    """

    kind: str
    timed: bool
    packets: int = 0
    last: float | None = None
    jumps: list[tuple[float, float]] = field(default_factory=list)


class Timeline:
    """
    Takes the times of packets as they come and judges them at the end.

    :param sealed: True when the file shows that nothing was taken out of it after it was written.
    """

    def __init__(self, *, sealed: bool = False) -> None:
        self._sealed = sealed
        self._tracks: dict[int, Track] = {}
        self._coverage = Coverage()
        self._start: float | None = None
        self._end = 0.0

    @property
    def start(self) -> float:
        """Second at which it begins to play."""
        return self._start or 0.0

    @property
    def end(self) -> float:
        """Second at which it has played."""
        return self._end

    @property
    def packets(self) -> int:
        """How many packets were added."""
        return sum(track.packets for track in self._tracks.values())

    def open(self, number: int, *, kind: str, timed: bool) -> None:
        """
        Announce a track.

        :param number: the track's number.
        :param kind: ``video`` or ``audio``.
        :param timed: whether the container itself gives the durations.
        """
        self._tracks[number] = Track(kind, timed)

    def add(
        self, number: int, *, decode: float | None, start: float | None, duration: float, shown: bool = True
    ) -> None:
        """
        Add a packet, in the order of the file.

        :param number: of its track.
        :param decode: second at which it is decoded; None when that is not known.
        :param start: second at which it is shown or heard.
        :param duration: seconds; 0 when not known.
        :param shown: False for one that an edit list hides.
        """
        track = self._tracks[number]
        track.packets += 1
        if decode is not None:
            if track.last is not None and track.last - decode > MAX_JUMP_BACK:
                track.jumps.append((track.last, track.last - decode))
                del track.jumps[1:-1]  # the first and the newest: a thousand would say no more
            track.last = decode
        start = decode if start is None else start
        if start is None:
            return
        self._coverage.add(start, start + duration)
        if track.timed and decode is not None:
            # An MP4's durations follow one another in decoding order: with B-frames a still picture's is another's.
            self._coverage.add(decode, decode + duration)
        if shown and (self._start is None or start < self._start):
            self._start = start
        self._end = max(self._end, start + duration)

    def jumps(self) -> list[str]:
        """Return a problem for each track whose time goes back."""
        return [
            f"the time of its {track.kind} track {number} jumps back by {track.jumps[0][1]:.2f} s at "
            f"{track.jumps[0][0]:.2f} s: a piece is there twice, or two are swapped"
            for number, track in sorted(self._tracks.items())
            if track.jumps
        ]

    def gaps(self) -> list[str]:
        """Return a problem for the largest gap, unless its pictures are slow by nature."""
        gaps = self._coverage.gaps()
        if not gaps or self._is_slow(gaps):
            return []
        start, end = max(gaps, key=lambda gap: gap[1] - gap[0])
        more = f" (and in {len(gaps) - 1} more places)" if len(gaps) > 1 else ""
        return [f"nothing plays from {start:.2f} s to {end:.2f} s{more}: a piece is missing"]

    def length(self, *, expected: float | None, header: float | None, from_zero: bool) -> list[str]:
        """
        Judge the play length. The packets decide; the header's claim counts only where nobody else knows a length.

        :param expected: seconds as the API tells them; None or 0 when it tells none.
        :param header: seconds that the file's header claims, if it claims any.
        :param from_zero: whether a player may count the time before the first packet, too.
        :return: the problem, if there is one.
        """
        lengths = [self.end - self.start] + ([self.end] if from_zero else [])
        if expected and expected > 0:
            if min(abs(length - expected) for length in lengths) > self._tolerance(expected):
                return [f"it plays {lengths[0]:.1f} s, the API says {expected:.1f} s"]
        elif header and header - max(self.end, lengths[0]) > self._tolerance(header):
            return [f"its header claims {header:.1f} s, its packets play {lengths[0]:.1f} s"]
        return []

    def _tolerance(self, seconds: float) -> float:
        """The last picture of a slow, untimed track stays for as long as the ones before."""
        gaps = self._coverage.gaps()
        last = max((end - start for start, end in gaps), default=0.0) if self._is_slow(gaps) else 0.0
        return max(ROUNDING, min(RELATIVE * seconds, MAX_RELATIVE)) + last

    def _is_slow(self, gaps: list[tuple[float, float]]) -> bool:
        tracks = [track for track in self._tracks.values() if track.packets]
        if any(track.timed or track.kind == "audio" for track in tracks):
            return False
        if self._sealed:
            return True
        frames = sum(track.packets for track in tracks)
        return len(gaps) > _FEW_GAPS or frames < _MANY_FRAMES * len(gaps)
