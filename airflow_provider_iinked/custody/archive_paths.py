"""
Paths of an archive as signatures and seals name them. Names are made and read by :mod:`storage.layout` alone. Pure.

A path is relative to the destination: ``<package_id>/<meeting_video_id>.custody.json``, ``_seals/00000001.seal.json``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from airflow_provider_iinked.storage import layout
from airflow_provider_iinked.storage.layout import SEALS_FOLDER as SEALS
from airflow_provider_iinked.storage.layout import is_package_folder, seal_number
from airflow_provider_iinked.storage.layout import signature_of as envelope_of

__all__ = [
    "SEALS",
    "Kind",
    "Name",
    "document_name",
    "entries_path",
    "envelope_of",
    "is_package_folder",
    "parse_name",
    "seal_number",
    "seal_path",
    "sort_key",
    "state_path",
    "timestamp_path",
]


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


_DOCUMENTS: Final = {
    layout.Kind.RECORD: Kind.RECORD,
    layout.Kind.RECEIPT: Kind.RECEIPT,
    layout.Kind.TOMBSTONE: Kind.TOMBSTONE,
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
    :return: its parts; None for a file that is neither sealed nor a difference (temporary, quarantined, a legal hold,
        somebody else's).
    """
    entry = layout.parse(name)
    if entry is None or entry.quarantined:
        return None
    kind = _DOCUMENTS.get(entry.kind)
    if entry.signature:
        return Name(entry.video_id, Kind.ENVELOPE, replace(entry, signature=False).name) if kind else None
    if entry.kind is layout.Kind.COPY:
        kind = Kind.COPY
    return Name(entry.video_id, kind, name) if kind else None


def document_name(meeting_video_id: str, kind: Kind) -> str:
    """
    Name a document of a recording within its package's folder.

    :param meeting_video_id: the recording.
    :param kind: record, receipt or tombstone.
    :return: the name.
    """
    known = next(known for known, document in _DOCUMENTS.items() if document is kind)
    return layout.Entry(known, meeting_video_id).name


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
    return f"{SEALS}/{layout.seal_name(number)}"


def timestamp_path(number: int, seal_sha256: str) -> str:
    """
    Name the time stamp of a seal.

    :param number: the seal's number.
    :param seal_sha256: hex digest of the seal's bytes.
    :return: its path.
    """
    return f"{SEALS}/{layout.timestamp_name(number, seal_sha256)}"


def entries_path(number: int, sha256: str) -> str:
    """
    Name the file with the entries that a seal adds.

    :param number: the seal's number.
    :param sha256: hex digest of that file's bytes.
    :return: its path.
    """
    return f"{SEALS}/{layout.entries_name(number, sha256)}"


def state_path(number: int, sha256: str) -> str:
    """
    Name the file with the newest entry of every document, as of a seal.

    :param number: the seal's number.
    :param sha256: hex digest of that file's bytes.
    :return: its path.
    """
    return f"{SEALS}/{layout.state_name(number, sha256)}"
