"""
Signing the documents of an archive as they are written: records, receipts, tombstones.

A receipt's or tombstone's envelope is written before the document itself: a run that is killed in between leaves the
document as it was, and whoever finishes it signs what it writes. So no run ever has to sign again what it finds. A
custody record may be created by another run meanwhile, so its envelope comes after it; where that is missing, a later
run writes it once it has read the copy from end to end. An envelope that is there and does not fit is never replaced
by a run that did not write the document: verifying shall find it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_iinked.exceptions import StorageError, VerificationError
from airflow_provider_iinked.models import StoredVideo
from airflow_provider_iinked.storage.base import json_bytes
from airflow_provider_iinked.storage.layout import Layout, name_of, signature_of

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.keys import SigningKey
    from airflow_provider_iinked.storage import Store

log = logging.getLogger(__name__)

_MAX_TRIES: Final = 5


class DocumentSigner:
    """
    Sign documents with one key. Threads may share it; it shows the key's id, never the key, and cannot be pickled.

    :param key: the key.
    """

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"DocumentSigner(key_id={self._key.key_id!r})"

    def write(self, store: Store, url: str, data: bytes) -> None:
        """
        Write a receipt or a tombstone with its envelope, whether its name is taken or not.

        Another run may write the same document at the same time. Whoever writes it last looks at the envelope after
        that, and writes both again unless it is the own one: so in the end the two fit each other.

        :param store: the storage.
        :param url: the document.
        :param data: its bytes.
        :raises StorageError: when it cannot be written, or others write it again and again.
        """
        for _ in range(_MAX_TRIES):
            envelope = self._envelope(url, data)
            store.replace_bytes(signature_of(url), envelope, durable=True)
            store.replace_bytes(url, data, durable=True)
            if store.read_bytes(signature_of(url)) == envelope:
                return
        raise StorageError(f"{url} is written by other runs at the same time. Clearing the task is safe.")

    def sign_new_record(self, store: Store, stored: StoredVideo) -> None:
        """
        Write the envelope of a custody record whose copy was verified a moment ago.

        :param store: the storage.
        :param stored: names copy and record.
        :raises StorageError: when it cannot be written; a later run does it.
        :raises VerificationError: when the record is not that of this copy any more; nothing is signed.
        """
        envelope = self._envelope_of_record(store, stored)
        store.replace_bytes(signature_of(stored.custody_uri), envelope, durable=True)

    def sign_missing(self, store: Store, stored: StoredVideo) -> None:
        """
        Write the envelope of an earlier run's record where it is missing, after reading the copy from end to end.

        :param store: the storage.
        :param stored: names copy and record.
        :raises StorageError: when something cannot be read or written.
        :raises VerificationError: when copy and record do not agree; nothing is signed.
        """
        if store.info(signature_of(stored.custody_uri)) is not None:
            return
        envelope = self._envelope_of_record(store, stored)
        if store.sha256(stored.uri) != (stored.sha256, stored.size):
            raise VerificationError(f"{stored.uri} is not what its record says. Nothing was signed.")
        if store.create_bytes(signature_of(stored.custody_uri), envelope, durable=True):
            log.info("Video %s: signed the record of an earlier run.", stored.meeting_video_id)

    def _envelope_of_record(self, store: Store, stored: StoredVideo) -> bytes:
        data = store.read_bytes(stored.custody_uri)
        if data is None:
            raise StorageError(f"{stored.custody_uri} is gone. Nothing was signed; clearing the task is safe.")
        try:
            record = json.loads(data)
        except (ValueError, RecursionError):
            record = None
        expected = {name: getattr(stored, name) for name in ("package_id", "meeting_video_id", "size", "sha256")}
        if not isinstance(record, dict) or any(record.get(name) != value for name, value in expected.items()):
            raise VerificationError(f"{stored.custody_uri} is not the record of {stored.uri}. Nothing was signed.")
        return self._envelope(stored.custody_uri, data, copy=(_path(stored.uri), stored.sha256))

    def _envelope(self, url: str, data: bytes, copy: tuple[str, str] | None = None) -> bytes:
        from airflow_provider_iinked.custody.statement import format_time, sign_document

        digest = hashlib.sha256(data).hexdigest()
        return sign_document(_path(url), digest, self._key, copy=copy, signed_at=format_time(datetime.now(UTC)))


def write_document(store: Store, url: str, value: Mapping[str, Any], signer: DocumentSigner | None) -> None:
    """
    Write a receipt or a tombstone durably, signed where there is a signer, whether its name is taken or not.

    :param store: the storage.
    :param url: the document.
    :param value: what to write.
    :param signer: who signs; None for nobody.
    :raises StorageError: when it cannot be written.
    """
    data = json_bytes(value)
    if signer is not None:
        signer.write(store, url, data)
    else:
        store.replace_bytes(url, data, durable=True)


def _path(url: str) -> str:
    """A document's path below the destination."""
    layout = Layout.beside(url)
    return f"{layout.package_id}/{name_of(url)}"
