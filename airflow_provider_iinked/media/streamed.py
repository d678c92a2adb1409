"""
Checking that a recording plays, while its bytes stream by: nothing is read again, nothing is spooled, and a recording
that fails was never published.

Whether it is whole is for the walkers to say; how long it plays, and what it holds, MediaInfo says from the parts that
are kept: the beginning, the end and the indexes. The rest is a hole, so memory stays small.
"""

from __future__ import annotations

import io
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_iinked.exceptions import InvalidArgumentError, TransferError
from airflow_provider_iinked.media.matroska import MatroskaWalker
from airflow_provider_iinked.media.mp4 import BrokenMediaError, Mp4Walker

if TYPE_CHECKING:
    from collections.abc import Iterable

_WALKERS: Final[dict[str, type[Mp4Walker] | type[MatroskaWalker]]] = {
    ".mp4": Mp4Walker,
    ".mov": Mp4Walker,
    ".webm": MatroskaWalker,
    ".mkv": MatroskaWalker,
}
_EDGE: Final = 1 << 20
_LEAST_TOLERANCE: Final = 1.0
_TOLERANCE: Final = 0.02
_TRACK_FACTS: Final = ("track_type", "format", "width", "height", "frame_rate", "channel_s", "sampling_rate")


def require_parser() -> None:
    """
    See that MediaInfo can be used.

    :raises InvalidArgumentError: when it is not installed.
    """
    try:
        from pymediainfo import MediaInfo
    except ImportError:
        found = False
    else:
        found = MediaInfo.can_parse()
    if not found:
        raise InvalidArgumentError(
            "check_media=True needs MediaInfo: pip install 'airflow-provider-iinked[media]' on the workers. "
            "Nothing was sent."
        )


class MediaCheck:
    """
    Checks one recording.

    :param suffix: file name suffix of its container.
    :param size: its bytes, as told.
    :param duration: its play length as the API tells it; None where it tells none.
    :raises TransferError: when its container cannot be checked.
    """

    def __init__(self, suffix: str, size: int, duration: timedelta | None) -> None:
        if suffix not in _WALKERS:
            raise TransferError(
                f"Whether it is whole cannot be checked: its container ({suffix}) is none of "
                f"{', '.join(sorted(_WALKERS))}; nothing was published. Set check_media=False to copy it all the same."
            )
        self._size = size
        self._duration = duration
        self._walker = _WALKERS[suffix](size)
        self._start = bytearray()
        self._end: deque[bytes] = deque()
        self._end_size = 0

    def feed(self, data: bytes) -> None:
        """
        Take the next bytes.

        :param data: the bytes.
        :raises TransferError: as soon as something is wrong.
        """
        if len(self._start) < _EDGE:
            self._start += data[: _EDGE - len(self._start)]
        self._end.append(data)
        self._end_size += len(data)
        while self._end_size - len(self._end[0]) >= _EDGE:
            self._end_size -= len(self._end.popleft())
        try:
            self._walker.feed(data)
        except BrokenMediaError as error:
            raise _refused(str(error)) from None

    def finish(self) -> dict[str, Any]:
        """
        Judge the whole recording.

        :return: the facts for the custody record: ``container``, ``duration`` and ``api_duration`` in seconds,
            ``samples_checked``, ``tracks``, ``checked_with``.
        :raises TransferError: when it is not whole, or plays for another time than the API says.
        """
        try:
            self._walker.finish()
        except BrokenMediaError as error:
            raise _refused(str(error)) from None
        facts = _facts(SparseFile(self._size, self._parts()))
        told = self._duration.total_seconds() if self._duration is not None else None
        # Of fragments MediaInfo sees the first ones only, and a live recording's header tells no length at all.
        fragments = isinstance(self._walker, Mp4Walker) and self._walker.played
        played = fragments or facts["duration"] or self._walker.played
        if not played:
            raise _refused("nothing in it tells how long it plays")
        if told is not None and abs(played - told) > max(_LEAST_TOLERANCE, _TOLERANCE * told):
            raise _refused(f"it plays {played:.1f} s, the API says {told:.1f} s")
        return {
            **facts,
            "duration": round(played, 3),
            "api_duration": told,
            "samples_checked": self._walker.samples_checked,
        }

    def _parts(self) -> list[tuple[int, bytes]]:
        end = b"".join(self._end)
        return [(0, bytes(self._start)), *self._walker.kept, (self._size - len(end), end)]


class SparseFile(io.RawIOBase):
    """
    A file of which only parts are there; the holes read as zeros.

    :param size: its bytes.
    :param parts: what is there, by place; where parts overlap they agree.
    """

    def __init__(self, size: int, parts: Iterable[tuple[int, bytes]]) -> None:
        super().__init__()
        self._size = size
        self._parts = sorted(parts)
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """
        Go somewhere else.

        :param offset: how far.
        :param whence: from where.
        :return: the new place.
        """
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the place."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """
        Read on.

        :param size: how much; all that is left when negative.
        :return: the bytes.
        """
        left = max(0, self._size - self._position)
        count = left if size < 0 else min(size, left)
        start, end = self._position, self._position + count
        data = bytearray(count)
        for place, part in self._parts:
            first, last = max(start, place), min(end, place + len(part))
            if first < last:
                data[first - start : last - start] = part[first - place : last - place]
        self._position = end
        return bytes(data)


def _facts(file: SparseFile) -> dict[str, Any]:
    from importlib.metadata import version

    from pymediainfo import MediaInfo

    try:
        tracks = MediaInfo.parse(file, buffer_size=_EDGE, parse_speed=0).tracks
    except (OSError, RuntimeError, ValueError) as error:
        raise _refused(f"MediaInfo cannot read it ({type(error).__name__})") from None
    general = next((track for track in tracks if track.track_type == "General"), None)
    streams = [track for track in tracks if track.track_type in ("Video", "Audio")]
    if not any(track.track_type == "Video" for track in streams):
        raise _refused("MediaInfo finds no video in it")
    lengths = [track.duration for track in (general, *streams) if track is not None and track.duration is not None]
    return {
        "container": general.format if general is not None else None,
        "duration": float(lengths[0]) / 1000 if lengths else None,
        "tracks": [
            {name: value for name in _TRACK_FACTS if (value := getattr(track, name, None)) is not None}
            for track in streams
        ],
        "checked_with": f"pymediainfo {version('pymediainfo')}",
    }


def _refused(why: str) -> TransferError:
    return TransferError(f"The recording does not play as it should: {why}; nothing was published.")
