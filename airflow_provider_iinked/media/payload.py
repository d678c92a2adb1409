"""Do the bytes of one packet look like what its codec writes? Pure."""

from __future__ import annotations

from typing import Final

_STRIDE: Final = 16
# The longest runs of zeros in whole files: 19 bytes in video (ffmpeg, GStreamer, Chromium), 637 in Opus at a constant
# bit rate. A hole that a disk or a broken transfer leaves has 4 KiB and more.
_LONGEST_ZEROS: Final = {"video": 512, "audio": 2048}
_ENTROPY_CODED: Final = frozenset({"h264", "hevc", "vvc", "vp8", "vp9", "av1"})
_OTHER_LONGEST: Final = 4096
_LEAST: Final = 3
_LONGEST_OPUS_FRAME: Final = 1275
_LONGEST_OPUS_PACKET: Final = 120
_VP8_START: Final = b"\x9d\x01\x2a"


def is_raw(codec: str) -> bool:
    """
    Tell whether silence or blackness is zeros in a codec.

    :param codec: FFmpeg's name.
    :return: True for PCM and uncompressed pictures.
    """
    return codec.startswith(("pcm_", "raw", "adpcm_")) or codec in ("v210", "yuv4", "alac", "dfpwm", "utvideo", "ffv1")


def blank_problem(data: bytes, *, codec: str, kind: str) -> str | None:
    """
    Look for a hole: zeros where compressed media should be.

    :param data: the packet.
    :param codec: FFmpeg's name of its codec.
    :param kind: ``video`` or ``audio``.
    :return: the problem, or None.
    """
    if is_raw(codec):
        return None
    longest = _LONGEST_ZEROS[kind] if kind == "audio" or codec in _ENTROPY_CODED else _OTHER_LONGEST
    if len(data) >= longest and data.find(bytes(longest)) >= 0:
        return f"has {longest} and more bytes of zeros in a row"
    if len(data) >= _LEAST and not any(data[:_STRIDE]) and not data.strip(b"\0"):
        return "is blank"
    return None


def vp8_problem(data: bytes) -> str | None:
    """
    Check the frame header of VP8, which FFmpeg has no bitstream filter for.

    :param data: the packet.
    :return: the problem, or None.
    """
    if len(data) < 3:
        return None  # an empty frame repeats the one before
    tag = int.from_bytes(data[:3], "little")
    is_key, first_partition = not tag & 1, tag >> 5
    if is_key and data[3:6] != _VP8_START:
        return "has no key frame header"
    if first_partition > len(data) - (10 if is_key else 3):
        return "is shorter than its header says"
    return None


def opus_problem(data: bytes) -> str | None:
    """
    Check how an Opus packet is divided into frames (RFC 6716, section 3), which FFmpeg does when it decodes only.

    :param data: the packet.
    :return: the problem, or None.
    """
    if not data:
        return None
    code, rest = data[0] & 3, len(data) - 1
    if code == 0:
        wrong = rest > _LONGEST_OPUS_FRAME
    elif code == 1:
        wrong = rest % 2 == 1 or rest // 2 > _LONGEST_OPUS_FRAME
    elif code == 2:
        wrong = rest < 1 or _opus_length(data, 1) > rest
    else:
        wrong = rest < 1 or not 0 < (data[1] & 0x3F) * _opus_frame(data[0]) <= _LONGEST_OPUS_PACKET
    return "is not divided as Opus packets are" if wrong else None


def _opus_length(data: bytes, at: int) -> int:
    """How many bytes a frame and its length take."""
    first = data[at]
    if first < 252:
        return 1 + first
    return 2 + first + 4 * data[at + 1] if at + 1 < len(data) else len(data)


def _opus_frame(toc: int) -> float:
    """Milliseconds of a frame."""
    config = toc >> 3
    if config < 12:
        return (10, 20, 40, 60)[config % 4]
    return (10, 20)[config % 2] if config < 16 else (2.5, 5, 10, 20)[config % 4]
