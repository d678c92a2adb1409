"""Telling a video container from a web page by its first bytes. Pure."""

from __future__ import annotations

from typing import Final

SNIFF_SIZE: Final = 64
SUFFIXES: Final = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".ogv", ".flv", ".mpg")
"""Every suffix that a recording can get."""
_MP4_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"})


def container_suffix(start: bytes) -> str | None:
    """
    Recognize a video container.

    :param start: the first bytes of a recording, 12 at the least.
    :return: the file name suffix, with its dot; None when it is no video container.
    """
    if start[4:8] in _MP4_BOXES:
        return ".mov" if start[8:12] == b"qt  " else ".mp4"
    if start[:4] == b"\x1a\x45\xdf\xa3":
        return ".mkv" if b"matroska" in start[:SNIFF_SIZE] else ".webm"
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return ".avi"
    if start[:4] == b"OggS":
        return ".ogv"
    if start[:4] == b"FLV\x01":
        return ".flv"
    if start[:4] == b"\x00\x00\x01\xba":
        return ".mpg"
    return None


def looks_like_page(start: bytes, content_type: str) -> bool:
    """
    Recognize a web page or an error document where a recording should be.

    :param start: the first bytes.
    :param content_type: the Content-Type header.
    :return: True for HTML, XML and JSON.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in ("application/json", "application/xml", "application/xhtml+xml"):
        return True
    return start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{") and container_suffix(start) is None
