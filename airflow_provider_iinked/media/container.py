"""Recognize a media container by its first bytes, and name it: file name suffix and content type, both ways. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

SNIFF_SIZE: Final = 1024
"""How many first bytes are enough for every container."""


class Container(NamedTuple):
    """
    One kind of media file.

    :param suffix: of a file name, with its dot.
    :param content_type: the one to store it under.
    :param demuxer: FFmpeg's name of its only reader; None when it can be copied but not checked.
    :param title: its name in a sentence.
    """

    suffix: str
    content_type: str
    demuxer: str | None
    title: str


CONTAINERS: Final = (
    Container(".mp4", "video/mp4", "mov", "MP4"),
    Container(".m4v", "video/x-m4v", "mov", "M4V"),
    Container(".m4a", "audio/mp4", "mov", "M4A"),
    Container(".mov", "video/quicktime", "mov", "QuickTime"),
    Container(".3gp", "video/3gpp", "mov", "3GP"),
    Container(".3g2", "video/3gpp2", "mov", "3GP2"),
    Container(".webm", "video/webm", "matroska", "WebM"),
    Container(".mkv", "video/x-matroska", "matroska", "Matroska"),
    Container(".ogv", "video/ogg", "ogg", "Ogg video"),
    Container(".oga", "audio/ogg", "ogg", "Ogg audio"),
    Container(".opus", "audio/opus", "ogg", "Ogg Opus"),
    Container(".wav", "audio/wav", "wav", "WAV"),
    Container(".avi", "video/x-msvideo", "avi", "AVI"),
    Container(".flv", "video/x-flv", "flv", "FLV"),
    Container(".ts", "video/mp2t", None, "MPEG-TS"),
    Container(".mpg", "video/mpeg", None, "MPEG-PS"),
    Container(".wmv", "video/x-ms-wmv", None, "ASF (WMV, WMA)"),
)
SUFFIXES: Final = tuple(container.suffix for container in CONTAINERS)
"""Every suffix that a recording can get."""

_BY_SUFFIX: Final = {container.suffix: container for container in CONTAINERS}
_BY_TYPE: Final = {container.content_type: container for container in CONTAINERS} | {
    "audio/webm": _BY_SUFFIX[".webm"],
    "audio/x-matroska": _BY_SUFFIX[".mkv"],
    "video/matroska": _BY_SUFFIX[".mkv"],
    "audio/x-m4a": _BY_SUFFIX[".m4a"],
    "audio/m4a": _BY_SUFFIX[".m4a"],
    "audio/3gpp": _BY_SUFFIX[".3gp"],
    "audio/3gpp2": _BY_SUFFIX[".3g2"],
    "application/ogg": _BY_SUFFIX[".ogv"],
    "audio/wave": _BY_SUFFIX[".wav"],
    "audio/x-wav": _BY_SUFFIX[".wav"],
    "audio/vnd.wave": _BY_SUFFIX[".wav"],
    "video/avi": _BY_SUFFIX[".avi"],
    "video/msvideo": _BY_SUFFIX[".avi"],
    "video/x-ms-asf": _BY_SUFFIX[".wmv"],
    "application/vnd.ms-asf": _BY_SUFFIX[".wmv"],
    "audio/x-ms-wma": _BY_SUFFIX[".wmv"],
}
_MP4_BOXES: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"moof", b"sidx"})
_BRANDS: Final = {b"qt  ": ".mov", b"M4A ": ".m4a", b"M4B ": ".m4a", b"M4V ": ".m4v", b"M4VH": ".m4v", b"M4VP": ".m4v"}
_ASF: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_TS_PACKET: Final = 188
_M2TS_PACKET: Final = 192


def container_suffix(start: bytes) -> str | None:
    """
    Recognize a media container.

    :param start: the first bytes of a recording, ``SNIFF_SIZE`` of them where it has so many.
    :return: the file name suffix, with its dot; None when it is no media container.
    """
    if start[4:8] == b"ftyp":
        return _brand_suffix(start[8:12])
    if start[4:8] in _MP4_BOXES:
        return ".mp4"
    if start[:4] == b"\x1a\x45\xdf\xa3":
        return ".mkv" if b"matroska" in start[:64] else ".webm"
    if start[:4] in (b"RIFF", b"RF64"):
        return {b"AVI ": ".avi", b"WAVE": ".wav"}.get(start[8:12])
    if start[:4] == b"OggS":
        return _ogg_suffix(start)
    if start[:4] == b"FLV\x01":
        return ".flv"
    if start[:4] == b"\x00\x00\x01\xba":
        return ".mpg"
    if start[:16] == _ASF:
        return ".wmv"
    return ".ts" if _is_transport_stream(start) else None


def container_of(suffix: str) -> Container:
    """
    Look a container up.

    :param suffix: its file name suffix, with the dot, in any case.
    :return: the container.
    :raises KeyError: when it is none of ``SUFFIXES``.
    """
    return _BY_SUFFIX[suffix.lower()]


def suffix_for(content_type: str) -> str | None:
    """
    Name files of a content type.

    :param content_type: a ``Content-Type`` header, parameters included.
    :return: the suffix, with its dot; None for a type that is no media container's.
    """
    container = _BY_TYPE.get(content_type.partition(";")[0].strip().lower())
    return container.suffix if container else None


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


def _brand_suffix(brand: bytes) -> str:
    if brand[:3] in (b"3gp", b"3gg", b"3gs", b"3gr", b"3ge"):
        return ".3gp"
    if brand[:3] == b"3g2":
        return ".3g2"
    return _BRANDS.get(brand, ".mp4")


def _ogg_suffix(start: bytes) -> str:
    """Ask the first pages what they hold: each stream's first page begins with its codec's name."""
    if b"\x80theora" in start or b"OVP80" in start or b"BBCD\x00" in start:
        return ".ogv"
    if b"OpusHead" in start:
        return ".opus"
    audio = (b"\x01vorbis", b"\x7fFLAC", b"Speex   ")
    return ".oga" if any(name in start for name in audio) else ".ogv"


def _is_transport_stream(start: bytes) -> bool:
    """A sync byte in front of each packet: three of them, or all there are of two."""
    for first, step in ((0, _TS_PACKET), (4, _M2TS_PACKET)):
        syncs = start[first::step][:3]
        if len(syncs) >= 2 and set(syncs) == {0x47}:
            return True
    return False
