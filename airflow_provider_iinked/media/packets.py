"""
Read all packets of a file with FFmpeg, and judge them.

Runs in a process of its own (:mod:`airflow_provider_iinked.media.child`), imports neither Airflow nor the rest of the
provider, and holds one packet at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import av
from av.bitstream import BitStreamFilterContext

from airflow_provider_iinked.media import payload
from airflow_provider_iinked.media.report import Depth, Report
from airflow_provider_iinked.media.structure import BrokenStructureError, Structure, walk
from airflow_provider_iinked.media.timeline import Timeline

_FILTERS: Final = {
    "h264": "h264_mp4toannexb",
    "hevc": "hevc_mp4toannexb",
    "vp9": "vp9_metadata",
    "av1": "av1_metadata",
}
_OWN_RULES: Final = {"vp8": payload.vp8_problem, "opus": payload.opus_problem}
_MOST_PROBLEMS: Final = 5
_REPORT_EVERY: Final = 2048
_EXPLODE: Final = {"err_detect": "crccheck+bitstream+buffer+explode"}


def examine(
    path: str, *, demuxer: str, depth: Depth, expected: float | None, alive: Callable[[int], None] = lambda _: None
) -> Report:
    """
    Examine a whole file.

    :param path: the file.
    :param demuxer: FFmpeg's name of the only reader that may open it.
    :param depth: ``packets`` reads every packet, ``decode`` decodes every frame as well.
    :param expected: seconds that it should play; None when nobody knows.
    :param alive: called with the number of packets read, every now and then.
    :return: problems and facts.
    """
    av.logging.set_level(None)
    av.logging.set_libav_level(av.logging.PANIC)
    try:
        with open(path, "rb") as file:
            structure = walk(file, os.fstat(file.fileno()).st_size, demuxer)
    except BrokenStructureError as error:
        return Report([str(error)])
    alive(0)
    try:
        with _open(path, demuxer) as container:
            return _Reading(container, demuxer, depth, structure).run(expected, alive)
    except (av.FFmpegError, ValueError, OverflowError) as error:
        return Report([f"FFmpeg cannot open it: {_reason(error)}"])


def _open(path: str, demuxer: str) -> Any:
    """
    Open this one file and nothing else: one protocol, one demuxer, no probing, no file that it refers to.

    MP4's own durations are exact; FFmpeg's parsers replace some by zero.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": demuxer}
    if demuxer == "mov":
        options |= {"fflags": "noparse", "enable_drefs": "0", "use_absolute_path": "0"}
        options["format_whitelist"] = "mov,mp4,m4a,3gp,3g2,mj2"
    elif demuxer == "matroska":
        options["format_whitelist"] = "matroska,webm"
    return av.open(f"file:{os.path.abspath(path)}", format=demuxer, container_options=options)


class _Reading:
    def __init__(self, container: Any, demuxer: str, depth: Depth, structure: Structure) -> None:
        self._container = container
        self._demuxer = demuxer
        self._decodes = depth == "decode"
        self._structure = structure
        self._timeline = Timeline(sealed=structure.sealed)
        self._problems: list[str] = []
        self._streams = {stream.index: stream for stream in container.streams if stream.type in ("video", "audio")}
        self._filters: dict[int, Any] = {}
        self._seen: set[int] = set()
        self._reorders: dict[int, bool] = {}

    def run(self, expected: float | None, alive: Callable[[int], None]) -> Report:
        # PyAV asks for generated time stamps, for which FFmpeg would hold packets back.
        self._container.flags &= ~av.container.Flags.gen_pts.value
        pictures = {s.index for s in self._streams.values() if s.disposition & av.stream.Disposition.attached_pic}
        self._streams = {index: stream for index, stream in self._streams.items() if index not in pictures}
        for index, stream in self._streams.items():
            self._timeline.open(index, kind=stream.type, timed=self._demuxer == "mov")
            self._open_codec(index, stream)
        if not self._streams:
            return Report(["it holds neither video nor audio"])
        self._read(alive)
        if not self._problems:
            self._judge(expected)
        return Report(self._problems, self._facts(expected))

    def _open_codec(self, index: int, stream: Any) -> None:
        codec = _codec_of(stream)
        self._reorders[index] = bool(getattr(stream.codec_context, "has_b_frames", False))
        if self._decodes and stream.codec_context is None:
            self._problems.append(f"FFmpeg cannot decode its {stream.type} track {index}")
        elif self._decodes:
            stream.codec_context.options = _EXPLODE
            stream.thread_type = "AUTO"
        if codec in _FILTERS:
            self._filters[index] = BitStreamFilterContext(_FILTERS[codec], stream)

    def _read(self, alive: Callable[[int], None]) -> None:
        count = 0
        try:
            for packet in self._container.demux(*self._streams.values()):
                count += 1
                if not count % _REPORT_EVERY:
                    alive(count)
                self._take(packet)
                if len(self._problems) >= _MOST_PROBLEMS:
                    return
        except (av.FFmpegError, ValueError, OverflowError) as error:
            self._problems.append(f"FFmpeg cannot read on behind packet {count}: {_reason(error)}")

    def _take(self, packet: Any) -> None:
        stream = packet.stream
        if packet.size:
            self._time(packet, stream)
            problem = self._problem_of(packet, stream)
            if problem is None and self._decodes:
                self._decode(packet, stream)
            problem = problem or self._filter_problem(packet, stream.index)  # last: a filter takes the packet's bytes
            if problem:
                when = packet.pts if packet.pts is not None else packet.dts
                at = f" at {float(when * packet.time_base):.2f} s" if when is not None else ""
                self._problems.append(f"the packet{at} of its {stream.type} track {stream.index} {problem}")
        elif self._decodes:
            self._decode(packet, stream)

    def _time(self, packet: Any, stream: Any) -> None:
        base = float(packet.time_base)
        # WebM has no decoding times: without B-frames they are the times shown, with them FFmpeg works them out.
        order = packet.pts if self._demuxer == "matroska" and not self._reorders[stream.index] else packet.dts
        self._timeline.add(
            stream.index,
            decode=None if order is None else order * base,
            start=None if packet.pts is None else packet.pts * base,
            duration=(packet.duration or 0) * base,
            shown=not packet.is_discard,
        )

    def _problem_of(self, packet: Any, stream: Any) -> str | None:
        codec, index, first = _codec_of(stream), stream.index, stream.index not in self._seen
        self._seen.add(index)
        if packet.is_corrupt:
            return "is not whole"
        if first and stream.type == "video" and not packet.is_keyframe and self._demuxer in ("mov", "matroska"):
            return "is the first one and no key frame: the beginning is missing"
        placed = packet.pos is not None and packet.pos >= 0
        if placed and not self._structure.holds(packet.pos, packet.pos + packet.size):
            return "lies where no media data is"
        data = bytes(packet)
        problem = payload.blank_problem(data, codec=codec, kind=stream.type)
        if problem is None and codec in _OWN_RULES:
            problem = _OWN_RULES[codec](data)
        return problem

    def _filter_problem(self, packet: Any, index: int) -> str | None:
        if index not in self._filters:
            return None
        try:
            self._filters[index].filter(packet)
        except (av.FFmpegError, ValueError) as error:
            return f"is not what its codec writes ({_reason(error)})"
        return None

    def _decode(self, packet: Any, stream: Any) -> None:
        try:
            for frame in stream.decode(packet if packet.size else None):
                if getattr(frame, "is_corrupt", False):
                    self._problems.append(f"a frame of its {stream.type} track {stream.index} is damaged")
                    return
        except av.EOFError:
            return
        except (av.FFmpegError, ValueError) as error:
            self._problems.append(f"its {stream.type} track {stream.index} cannot be decoded ({_reason(error)})")

    def _judge(self, expected: float | None) -> None:
        if not self._timeline.packets:
            self._problems.append("it holds no packet")
            return
        for index, stream in self._streams.items():
            if stream.frames and not self._structure.fragmented and self._demuxer == "mov" and index not in self._seen:
                self._problems.append(f"its {stream.type} track {index} has an index and no packets")
        header = self._header_seconds()
        from_zero = self._demuxer == "mov" and not self._structure.fragmented
        if self._demuxer == "matroska" and header is not None:
            from_zero = abs(header - self._timeline.end) < 1
        self._problems += self._timeline.jumps() or self._timeline.gaps()
        self._problems += self._timeline.length(expected=expected, header=header, from_zero=from_zero)

    def _header_seconds(self) -> float | None:
        """The length that the header itself claims, where FFmpeg has not worked it out from elsewhere."""
        if self._demuxer == "matroska" or (self._demuxer == "mov" and self._structure.fragmented):
            return self._structure.header_seconds
        return self._container.duration / av.time_base if self._container.duration else None

    def _facts(self, expected: float | None) -> dict[str, Any]:
        return {
            "container": self._container.format.long_name,
            "duration": round(self._timeline.end - self._timeline.start, 3),
            "api_duration": expected,
            "packets_checked": self._timeline.packets,
            "tracks": [_track_facts(stream) for stream in self._streams.values()],
            "checked_with": f"av {av.__version__}",
        }


def _codec_of(stream: Any) -> str:
    """FFmpeg's name of the codec, not of the decoder at hand (``av1``, not ``libdav1d``)."""
    context = stream.codec_context
    return str(context.codec.canonical_name) if context is not None else ""


def _track_facts(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    names = ("width", "height") if stream.type == "video" else ("sample_rate", "channels")
    facts = {name: getattr(context, name, None) for name in names}
    return {"type": stream.type, "codec": _codec_of(stream), **{name: value for name, value in facts.items() if value}}


def _reason(error: Exception) -> str:
    """FFmpeg's own words for an error's number; never a path."""
    return str(getattr(error, "strerror", None) or type(error).__name__)
