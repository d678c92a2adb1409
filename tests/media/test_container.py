"""A container is known by its first bytes, and files and types are named after it."""

from __future__ import annotations

import pytest

from airflow_provider_iinked.media.check import unchecked_problem
from airflow_provider_iinked.media.container import (
    CONTAINERS,
    SNIFF_SIZE,
    SUFFIXES,
    container_of,
    container_suffix,
    suffix_for,
)
from airflow_provider_iinked.storage.layout import COPY_SUFFIXES

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
EBML = b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x82"


def ogg(codec: bytes) -> bytes:
    return b"OggS\0\x02" + bytes(20) + b"\x01\x1e" + codec


@pytest.mark.parametrize(
    ("start", "suffix"),
    [
        (b"\0\0\0\x20ftypisom\0\0\0\0", ".mp4"),
        (b"\0\0\0\x20ftypiso5\0\0\0\0", ".mp4"),
        (b"\0\0\0\x20ftypdash\0\0\0\0", ".mp4"),
        (b"\0\0\0\x20ftypqt  \0\0\0\0", ".mov"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0", ".m4a"),
        (b"\0\0\0\x20ftypM4B \0\0\0\0", ".m4a"),
        (b"\0\0\0\x20ftypM4V \0\0\0\0", ".m4v"),
        (b"\0\0\0\x20ftyp3gp4\0\0\0\0", ".3gp"),
        (b"\0\0\0\x20ftyp3gp6\0\0\0\0", ".3gp"),
        (b"\0\0\0\x20ftyp3g2a\0\0\0\0", ".3g2"),
        (b"\0\0\0\x08moov0000", ".mp4"),
        (b"\0\0\0\x18stypmsdh", ".mp4"),
        (EBML + b"\x84webm", ".webm"),
        (EBML + b"\x88matroska", ".mkv"),
        (b"RIFF0000AVI LIST", ".avi"),
        (b"RIFF0000WAVEfmt ", ".wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", ".wav"),
        (b"RIFF0000WEBPVP8 ", None),
        (ogg(b"OpusHead"), ".opus"),
        (ogg(b"\x01vorbis"), ".oga"),
        (ogg(b"\x7fFLAC"), ".oga"),
        (ogg(b"Speex   "), ".oga"),
        (ogg(b"\x80theora"), ".ogv"),
        (ogg(b"\x80theora") + ogg(b"\x01vorbis"), ".ogv"),
        (ogg(b"fishead\0"), ".ogv"),
        (b"FLV\x01\x05\0\0\0\x09", ".flv"),
        (b"\x00\x00\x01\xba\x44", ".mpg"),
        (ASF + b"\0" * 8, ".wmv"),
        ((b"\x47" + bytes(187)) * 5, ".ts"),
        ((bytes(4) + b"\x47" + bytes(187)) * 5, ".ts"),
        (b"\x47" + bytes(187) + b"\x48" + bytes(187), None),
        (b"GIF89a" + bytes(1000), None),
        (b"\x47" + bytes(100), None),
        (b"<!DOCTYPE html>", None),
        (b'{"error": "x"}', None),
        (b"#EXTM3U\n#EXT-X-VERSION:3", None),
        (b"ffconcat version 1.0", None),
        (b"", None),
        (b"PK\x03\x04aaaaaaaaaa", None),
    ],
)
def test_a_container_is_known_by_its_first_bytes(start: bytes, suffix: str | None) -> None:
    assert container_suffix(start[:SNIFF_SIZE]) == suffix


@pytest.mark.parametrize("container", CONTAINERS, ids=SUFFIXES)
def test_suffix_and_content_type_lead_to_each_other(container: object) -> None:
    assert container_of(container.suffix) == container  # type: ignore[attr-defined]
    assert suffix_for(container.content_type) == container.suffix  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content_type", "suffix"),
    [
        ("video/WebM; codecs=vp8", ".webm"),
        ("audio/webm", ".webm"),
        ("audio/x-wav", ".wav"),
        ("application/ogg", ".ogv"),
        ("video/x-ms-asf", ".wmv"),
        ("application/octet-stream", None),
        ("text/html", None),
        ("", None),
    ],
)
def test_other_content_types_in_use_are_known_too(content_type: str, suffix: str | None) -> None:
    assert suffix_for(content_type) == suffix


@pytest.mark.parametrize(("suffix", "name"), [(".ts", "MPEG-TS"), (".wmv", "ASF"), (".mpg", "MPEG-PS")])
def test_what_can_only_be_copied_is_refused_by_name_with_the_way_out(suffix: str, name: str) -> None:
    problem = unchecked_problem(suffix)
    assert problem is not None
    assert name in problem
    assert "check_media=False" in problem


def test_every_other_container_can_be_checked() -> None:
    assert [suffix for suffix in SUFFIXES if unchecked_problem(suffix)] == [".ts", ".mpg", ".wmv"]


def test_every_container_has_a_suffix_that_the_archive_knows() -> None:
    unknown = sorted(set(SUFFIXES) - set(COPY_SUFFIXES))
    assert not unknown, f"CONTAINERS (media/container.py) has {unknown}, COPY_SUFFIXES (storage/layout.py) has not"
