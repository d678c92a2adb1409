"""
How files of an archive are called, both directions. Pure; no other module of signing and sealing parses a name.

A path is relative to the destination: ``<package_id>/<meeting_video_id>.custody.json``, ``_seals/00000001.seal.json``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SEALS: Final = "_seals"
"""Folder of the seals. A package of this name cannot be sealed."""
ENVELOPE_SUFFIX: Final = ".dsse.json"
"""What stands behind a document's name in that of its envelope."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_COPY_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,8}")
_SEAL: Final = re.compile(r"([0-9]{8})\.seal\.json")


class Kind(StrEnum):
    """What a file of the archive is."""

    RECORD = "record"
    """Custody record of a copy."""
    RECEIPT = "receipt"
    """Receipt of a deletion on the platform."""
    TOMBSTONE = "tombstone"
    """Says that a copy was erased on purpose."""
    ENVELOPE = "envelope"
    """Signature of one of these."""
    COPY = "copy"
    """The recording's bytes."""


DOCUMENT_SUFFIXES: Final = {
    ".custody.json": Kind.RECORD,
    ".deletion.json": Kind.RECEIPT,
    ".erased.json": Kind.TOMBSTONE,
}


@dataclass(frozen=True, slots=True)
class Name:
    """
    A file's name within its package's folder, taken apart.

    :param meeting_video_id: the recording.
    :param kind: what the file is.
    :param of: name of the document that an envelope is for; the name itself otherwise.
    """

    meeting_video_id: str
    kind: Kind
    of: str


def parse_name(name: str) -> Name | None:
    """
    Take a file's name within a package's folder apart.

    :param name: the name.
    :return: its parts; None for a file that is not part of the archive (temporary, quarantined, somebody else's).
    """
    video_id, dot, rest = name.partition(".")
    if not dot or not _ID.fullmatch(video_id):
        return None
    suffix = dot + rest
    if kind := DOCUMENT_SUFFIXES.get(suffix):
        return Name(video_id, kind, name)
    if suffix.endswith(ENVELOPE_SUFFIX) and suffix.removesuffix(ENVELOPE_SUFFIX) in DOCUMENT_SUFFIXES:
        return Name(video_id, Kind.ENVELOPE, name.removesuffix(ENVELOPE_SUFFIX))
    return Name(video_id, Kind.COPY, name) if _COPY_SUFFIX.fullmatch(suffix) and suffix != ".json" else None


def document_name(meeting_video_id: str, kind: Kind) -> str:
    """
    Name a document of a recording within its package's folder.

    :param meeting_video_id: the recording.
    :param kind: record, receipt or tombstone.
    :return: the name.
    """
    suffix = next(suffix for suffix, known in DOCUMENT_SUFFIXES.items() if known is kind)
    return f"{meeting_video_id}{suffix}"


def envelope_of(path: str) -> str:
    """
    Name the envelope of a document.

    :param path: the document's path or name.
    :return: the envelope's.
    """
    return path + ENVELOPE_SUFFIX


def is_package_folder(name: str) -> bool:
    """
    Say whether a folder below the destination is a package's.

    :param name: its name.
    :return: True when it is.
    """
    return name != SEALS and _ID.fullmatch(name) is not None


def sort_key(path: str) -> tuple[str, ...]:
    """
    Order paths: by package, then by name. All are ASCII, so text and bytes have one order.

    :param path: the path.
    :return: what to sort by.
    """
    return tuple(path.split("/"))


def seal_path(number: int) -> str:
    """
    Name a seal.

    :param number: its number, from 1.
    :return: its path.
    """
    return f"{SEALS}/{number:08d}.seal.json"


def seal_number(name: str) -> int | None:
    """
    Read a seal's number out of its name within the folder of the seals.

    :param name: the name.
    :return: the number; None when the file is not a seal.
    """
    match = _SEAL.fullmatch(name)
    return int(match.group(1)) if match else None


def timestamp_path(number: int, seal_sha256: str) -> str:
    """
    Name the time stamp of a seal.

    :param number: the seal's number.
    :param seal_sha256: hex digest of the seal's bytes.
    :return: its path.
    """
    return f"{SEALS}/{number:08d}.{seal_sha256}.tsr"


def entries_path(number: int, sha256: str) -> str:
    """
    Name the file with the entries that a seal adds.

    :param number: the seal's number.
    :param sha256: hex digest of that file's bytes.
    :return: its path.
    """
    return f"{SEALS}/{number:08d}.{sha256}.entries.jsonl.gz"


def state_path(number: int, sha256: str) -> str:
    """
    Name the file with the newest entry of every document, as of a seal.

    :param number: the seal's number.
    :param sha256: hex digest of that file's bytes.
    :return: its path.
    """
    return f"{SEALS}/{number:08d}.{sha256}.state.jsonl.gz"
