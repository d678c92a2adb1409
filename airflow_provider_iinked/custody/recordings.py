"""Reading what an archive's documents say of each recording, for people. Nothing is verified here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_iinked.custody.archive_files import ArchiveReader, read_document
from airflow_provider_iinked.custody.archive_paths import Kind, document_name, parse_name

_DOCUMENTS: Final = (Kind.RECORD, Kind.RECEIPT, Kind.TOMBSTONE)


@dataclass(frozen=True)
class Recording:
    """
    One recording and what its documents say.

    :param package_id: the package.
    :param meeting_video_id: the recording.
    :param record: its custody record; None where there is none.
    :param receipt: the receipt of its deletion on the platform; None where there is none.
    :param tombstone: the tombstone of its erased copy; None where there is none.
    """

    package_id: str
    meeting_video_id: str
    record: Mapping[str, Any] | None
    receipt: Mapping[str, Any] | None
    tombstone: Mapping[str, Any] | None


def read_recordings(archive: ArchiveReader, packages: Iterable[str]) -> Iterator[Recording]:
    """
    Read the documents of every recording.

    :param archive: the archive.
    :param packages: the packages.
    :return: the recordings that left a trace there, one after the other; a document that cannot be read is None.
    """
    for package in packages:
        names = {info.name: parsed for info in archive.files(package) if (parsed := parse_name(info.name))}
        for video_id in sorted({parsed.meeting_video_id for parsed in names.values()}):
            wanted = [document_name(video_id, kind) for kind in _DOCUMENTS]
            found = [_read(archive, f"{package}/{name}") if name in names else None for name in wanted]
            yield Recording(package, video_id, *found)


def _read(archive: ArchiveReader, path: str) -> dict[str, Any] | None:
    data = read_document(archive, path)
    try:
        value = json.loads(data) if data is not None else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
