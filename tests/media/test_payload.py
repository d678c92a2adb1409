"""Zeros where compressed media should be, and frame headers of VP8."""

from __future__ import annotations

import random

import pytest

from airflow_provider_iinked.media.payload import blank_problem, opus_problem, vp8_problem

NOISE = random.Random(1).randbytes(20_000)


def holed(start: int, size: int) -> bytes:
    return NOISE[:start] + b"\x01" + bytes(size) + b"\x01" + NOISE[start + size :]


@pytest.mark.parametrize(
    ("data", "codec", "kind", "found"),
    [
        (NOISE, "h264", "video", False),
        (holed(5_000, 511), "vp9", "video", False),
        (holed(5_000, 512), "vp9", "video", True),
        (holed(0, 4_096), "av1", "video", True),
        (holed(19_000, 4_096), "vp8", "video", True),
        (holed(5_000, 2_000), "mjpeg", "video", False),
        (holed(5_000, 4_096), "mjpeg", "video", True),
        (b"\xfc" + bytes(640), "opus", "audio", False),
        (holed(500, 2_048), "flac", "audio", True),
        (bytes(24), "opus", "audio", True),
        (bytes(300), "aac", "audio", True),
        (bytes(3), "opus", "audio", True),
        (bytes(2), "opus", "audio", False),
        (bytes(8_192), "pcm_s16le", "audio", False),
        (bytes(8_192), "rawvideo", "video", False),
        (b"", "h264", "video", False),
    ],
)
def test_a_hole_is_distinguished_from_silence_and_padding(data: bytes, codec: str, kind: str, found: bool) -> None:
    assert (blank_problem(data, codec=codec, kind=kind) is not None) is found


def frame(*, key: bool, partition: int, size: int) -> bytes:
    tag = (0 if key else 1) | 1 << 4 | partition << 5
    return (tag.to_bytes(3, "little") + (b"\x9d\x01\x2a\0\0\0\0" if key else b"")).ljust(size, b"x")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (frame(key=True, partition=500, size=1000), False),
        (frame(key=False, partition=500, size=1000), False),
        (frame(key=True, partition=990, size=1000), False),
        (frame(key=True, partition=991, size=1000), True),
        (frame(key=False, partition=998, size=1000), True),
        (frame(key=True, partition=5, size=1000).replace(b"\x9d", b"\x9c"), True),
        (b"", False),
    ],
)
def test_a_vp8_frame_is_as_long_as_its_header_says(data: bytes, found: bool) -> None:
    assert (vp8_problem(data) is not None) is found


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\xfc" + bytes(1275), False),
        (b"\xfc" + bytes(1276), True),
        (b"\xfd" + bytes(200), False),
        (b"\xfd" + bytes(201), True),
        (b"\xfe\x0a" + bytes(30), False),
        (b"\xfe\x1f" + bytes(30), True),
        (b"\xfe", True),
        (b"\xfe\xfc\x01" + bytes(256), False),
        (b"\xfe\xfc\x01" + bytes(255), True),
        (b"\xff\x03" + bytes(30), False),
        (b"\xff\x06" + bytes(30), False),
        (b"\xff\x07" + bytes(30), True),
        (b"\xff\x00" + bytes(30), True),
        (b"\xff", True),
        (b"\xfc", False),
        (b"", False),
    ],
)
def test_an_opus_packet_is_divided_as_the_rfc_says(data: bytes, found: bool) -> None:
    assert (opus_problem(data) is not None) is found
