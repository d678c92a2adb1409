"""Reading one record, receipt or tombstone with its envelope: is it what a trusted key signed under this name? Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from airflow_provider_iinked.custody.archive_files import MAX_DOCUMENT, FileInfo
from airflow_provider_iinked.custody.archive_paths import Kind, Name, parse_name
from airflow_provider_iinked.custody.differences import DifferenceKind
from airflow_provider_iinked.custody.entries import Act, Entry, FileDigest, is_sha256
from airflow_provider_iinked.custody.errors import EnvelopeError
from airflow_provider_iinked.custody.keys import PublicKey
from airflow_provider_iinked.custody.statement import DOCUMENT_TYPE, is_time, read_statement
from airflow_provider_iinked.custody.strict_json import strict_json

ERASED: Final = "erased"
"""Status of a tombstone whose copy is gone."""
_MAX_STATUS: Final = 40


class RejectedError(Exception):
    """
    A document that must not be relied on.

    :param kind: what is wrong.
    :param text: what exactly, as text.
    """

    def __init__(self, kind: DifferenceKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


def read_signed_document(
    package_id: str,
    name: Name,
    document: tuple[bytes, FileInfo],
    envelope: tuple[bytes, FileInfo] | None,
    keys: Sequence[PublicKey],
) -> Entry:
    """
    Verify a document and read what its entry in a seal holds.

    :param package_id: the folder that it lies in.
    :param name: its name.
    :param document: its bytes, and how it is listed.
    :param envelope: the same of its envelope; None where there is none.
    :param keys: the trusted keys.
    :return: its entry; the copy's validator is left open.
    :raises RejectedError: when it is malformed, or its envelope is not that of this document under this name. Without
        an envelope the entry says so, and the caller decides.
    """
    path = f"{package_id}/{name.of}"
    file = _digest(*document)
    value = _parse(document[0], package_id, name)
    copy_path, copy = _copy(value, package_id, name) if name.kind is Kind.RECORD else (None, None)
    status = None if name.kind is Kind.RECORD else _status(value)
    subjects = {path: file.sha256} | ({copy_path: copy.sha256} if copy and copy_path else {})
    signed_at = _signed_at(envelope[0], subjects, keys) if envelope else None
    signature = _digest(*envelope) if envelope else None
    return Entry(Act.ADDED, path, file, signature, signed_at, copy_path, copy, status)


def check_replacement(sealed: Entry, current: Entry) -> None:
    """
    Decide whether a document may take the place of the version that was sealed.

    :param sealed: the version that was sealed.
    :param current: the version that lies there, verified.
    :raises RejectedError: when it was not signed, or not later: then somebody edited it, or put an old version back.
    """
    if current.signed_at is None:
        raise RejectedError(DifferenceKind.DOCUMENT_CHANGED, "it is not what was sealed, and nobody signed the change")
    if sealed.signed_at is not None and current.signed_at <= sealed.signed_at:
        raise RejectedError(
            DifferenceKind.ROLLED_BACK,
            f"it is not what was sealed: what was sealed was signed at {sealed.signed_at}, what lies there at "
            f"{current.signed_at}",
        )


def _digest(data: bytes, info: FileInfo) -> FileDigest:
    return FileDigest(len(data), hashlib.sha256(data).hexdigest(), info.validator)


def _parse(data: bytes, package_id: str, name: Name) -> dict[str, Any]:
    if len(data) > MAX_DOCUMENT:
        raise RejectedError(DifferenceKind.MALFORMED, f"it is larger than {MAX_DOCUMENT} bytes")
    try:
        value = strict_json(data)
    except ValueError as error:
        raise RejectedError(DifferenceKind.MALFORMED, f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RejectedError(DifferenceKind.MALFORMED, "it is not a JSON object")
    if (value.get("package_id"), value.get("meeting_video_id")) != (package_id, name.meeting_video_id):
        raise RejectedError(DifferenceKind.MALFORMED, "it is about another recording than its name says")
    return value


def _copy(value: dict[str, Any], package_id: str, name: Name) -> tuple[str, FileDigest]:
    """Where a copy lies now counts, not the URL in its record: archives are moved as a whole."""
    uri, size, sha256 = value.get("uri"), value.get("size"), value.get("sha256")
    copy = uri.rpartition("/")[2] if isinstance(uri, str) else ""
    parsed = parse_name(copy)
    if parsed is None or (parsed.kind, parsed.meeting_video_id) != (Kind.COPY, name.meeting_video_id):
        raise RejectedError(DifferenceKind.MALFORMED, "it names no copy of its recording")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0 or not is_sha256(sha256):
        raise RejectedError(DifferenceKind.MALFORMED, "it lacks size or sha256 of its copy")
    return f"{package_id}/{copy}", FileDigest(size, str(sha256), None)


def _status(value: dict[str, Any]) -> str:
    status = value.get("status")
    if not isinstance(status, str) or not 0 < len(status) <= _MAX_STATUS:
        raise RejectedError(DifferenceKind.MALFORMED, "it lacks its status")
    return status


def _signed_at(envelope: bytes, subjects: dict[str, str], keys: Sequence[PublicKey]) -> str:
    try:
        statement = read_statement(envelope, DOCUMENT_TYPE, keys)
    except EnvelopeError as error:
        raise RejectedError(DifferenceKind.SIGNATURE_WRONG, f"its envelope cannot be relied on: {error}") from None
    if dict(statement.subjects) != subjects:
        signed = ", ".join(sorted(statement.subjects))[:200]
        raise RejectedError(
            DifferenceKind.SIGNATURE_WRONG, f"its envelope was made for another document or other bytes: {signed}"
        )
    signed_at = statement.predicate.get("signed_at")
    if not isinstance(signed_at, str) or not is_time(signed_at):
        raise RejectedError(DifferenceKind.SIGNATURE_WRONG, "its envelope does not say when it was signed")
    return signed_at
