"""Small whole recordings, made with FFmpeg through PyAV: a moving picture and a tone, some seconds long."""

from __future__ import annotations

import functools
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

SECONDS = 4
FPS = 10
RATE = 48_000
WIDTH, HEIGHT = 160, 90
FRAGMENTS = (("movflags", "frag_keyframe+empty_moov"),)
CMAF = (("movflags", "frag_keyframe+empty_moov+default_base_moof+skip_trailer"),)
FIRST_IN_MOOV = (("movflags", "frag_keyframe"),)
LIVE = (("live", "1"), ("cluster_time_limit", "500"))
CLUSTER = bytes.fromhex("1f43b675")


def _picture(number: int) -> VideoFrame:
    frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
    for plane in frame.planes:
        line = bytes((x * x // 3 + number * 7) % 251 for x in range(plane.line_size))
        plane.update(b"".join(line[y % 50 :] + line[: y % 50] for y in range(plane.height)))
    frame.pts, frame.time_base = number, Fraction(1, FPS)
    return frame


def _sound(start: int, count: int, loud: float) -> AudioFrame:
    frame = AudioFrame("s16", "mono", count)
    values = (round(20_000 * loud * math.sin((start + at) * 0.0576)) for at in range(count))
    frame.planes[0].update(b"".join(value.to_bytes(2, "little", signed=True) for value in values))
    frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
    return frame


@functools.cache
def recording(
    suffix: str,
    video: str | None = "libvpx",
    audio: str | None = "libopus",
    options: tuple[tuple[str, str], ...] = (),
    *,
    pace: float = 1,
    seconds: int = SECONDS,
    loud: float = 1,
    start: float = 0,
) -> bytes:
    """
    A whole file.

    :param suffix: names the container, with its dot.
    :param video: encoder; None for none.
    :param audio: encoder; None for none.
    :param options: of the muxer.
    :param pace: frames are this many times as far apart.
    :param loud: 0 for silence.
    :param start: second at which it begins.
    """
    handle, path = tempfile.mkstemp(suffix)
    os.close(handle)
    try:
        formats = {".m4v": "mp4", ".m4a": "mp4", ".mkv": "matroska", ".oga": "ogg", ".ts": "mpegts"}
        with (
            _kept_priority(),
            av.open(path, "w", format=formats.get(suffix), container_options=dict(options)) as container,
        ):
            _fill(container, video, audio, pace, seconds, loud, start)
        with open(path, "rb") as file:
            return file.read()
    finally:
        os.unlink(path)


@contextmanager
def _kept_priority() -> Iterator[None]:
    """SVT-AV1, when root runs it, leaves the thread that calls it at the highest real-time priority: others starve."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def _fill(
    container: Any, video: str | None, audio: str | None, pace: float, seconds: int, loud: float, start: float
) -> None:
    packets: list[Any] = []
    if video:
        stream = container.add_stream(video, rate=FPS)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", 10
        stream.bit_rate = 300_000
        # Encoders that wait for their own threads in a loop take a busy machine from everybody.
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "ultrafast"} if video.startswith("libx26") else {}
        stream.options |= {"deadline": "realtime", "cpu-used": "8"} if video.startswith("libvpx") else {}
        stream.options |= {"preset": "12", "svtav1-params": "lookahead=0"} if video == "libsvtav1" else {}
        for number in range(int(FPS * seconds / pace)):
            frame = _picture(number)
            frame.pts = round((number * pace + start * FPS) * 1000)
            frame.time_base = Fraction(1, FPS * 1000)
            packets += stream.encode(frame)
        packets += stream.encode(None)
    if audio:
        stream = container.add_stream(audio, rate=RATE, layout="mono")
        stream.options = {"b": "32k"}
        for at in range(0, RATE * seconds, 960):
            frame = _sound(at, 960, loud)
            frame.pts += round(start * RATE)
            packets += stream.encode(frame)
        packets += stream.encode(None)
    for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
        container.mux(packet)


def clusters(data: bytes) -> list[bytes]:
    """A WebM file in pieces: its header, then each Cluster."""
    head, *rest = data.split(CLUSTER)
    return [head, *(CLUSTER + piece for piece in rest)]
