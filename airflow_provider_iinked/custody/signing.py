"""
Signing the documents of an archive as they are written: records, receipts, tombstones.

An envelope is written before its document, and names the version that the document takes the place of. A run that is
killed in between leaves an envelope without a document, or the version before, for which that envelope vouches;
whoever goes on writes both. So no run ever signs what it finds: a document without an envelope
was written unsigned, or somebody removed the envelope to have an edit signed. :meth:`DocumentSigner.check` says what a
run may rely on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.models import StoredVideo
from airflow_provider_iinked.storage.base import json_bytes
from airflow_provider_iinked.storage.layout import Layout, name_of, signature_of

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.keys import PublicKey, SigningKey
    from airflow_provider_iinked.custody.signature import SignatureCheck
    from airflow_provider_iinked.storage import Store
    from airflow_provider_iinked.storage.lock import Lock

_MAX_TRIES: Final = 5
_Copy = tuple[str, str]
_Known = tuple[str, str]


class DocumentSigner:
    """
    Sign documents with one key. Threads may share it; it shows the key's id, never the key, and cannot be pickled.

    :param key: the key.
    :param trusted: public keys besides its own whose signatures are relied on: those that signed before it.
    """

    def __init__(self, key: SigningKey, trusted: Sequence[PublicKey] = ()) -> None:
        self._key = key
        self._trusted = (key.public, *trusted)
        self._known: dict[str, _Known] = {}
        """Of each document that was found valid or was written: its digest, and when it was signed."""

    def __repr__(self) -> str:
        return f"DocumentSigner(key_id={self._key.key_id!r})"

    # --- what is there

    def check(self, store: Store, url: str, data: bytes, *, stored: StoredVideo | None = None) -> SignatureCheck:
        """
        Check whether a trusted key signed a document as it lies there.

        :param store: the storage.
        :param url: the document.
        :param data: its bytes.
        :param stored: what a custody record says of its copy; None for other documents.
        :return: the result.
        :raises StorageError: when the envelope cannot be read.
        """
        found = self._check(store.read_bytes(signature_of(url)), url, data, _copy(stored))
        if found.signed_at is not None:
            self._known[url] = (hashlib.sha256(data).hexdigest(), found.signed_at)
        return found

    def _check(self, envelope: bytes | None, url: str, data: bytes, copy: _Copy | None) -> SignatureCheck:
        from airflow_provider_iinked.custody.signature import check_signature, subjects_of

        return check_signature(envelope, subjects_of(_path(url), data, copy), self._trusted)

    # --- what this run writes

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
            envelope, known = self._envelope(url, data)
            store.replace_bytes(signature_of(url), envelope, durable=True)
            store.replace_bytes(url, data, durable=True)
            if store.read_bytes(signature_of(url)) == envelope:
                self._known[url] = known
                return
        raise StorageError(f"{url} is written by other runs at the same time. Clearing the task is safe.")

    def create_record(self, store: Store, stored: StoredVideo, data: bytes, *, lock: Lock | None = None) -> bool:
        """
        Write the custody record of a copy that this run made, and its envelope, unless the record's name is taken.

        Of two runs at the same time one creates the record, and that one sees to it that its own envelope lies there.

        :param store: the storage.
        :param stored: names copy and record.
        :param data: the record's bytes.
        :param lock: the lock that the record gets as it is written.
        :return: False when another run's record is there; it keeps its envelope.
        :raises StorageError: when it cannot be written.
        """
        url, envelope_url = stored.custody_uri, signature_of(stored.custody_uri)
        envelope, _ = self._envelope(url, data, _copy(stored))
        earlier = None
        if not store.create_bytes(envelope_url, envelope, durable=True):
            # That of a run that was killed before its record, or of one that is about to write it.
            earlier = store.read_bytes(envelope_url)
            if store.info(url) is not None:
                return False
            store.replace_bytes(envelope_url, envelope, durable=True)
        if store.create_bytes(url, data, lock=lock):
            if store.read_bytes(envelope_url) != envelope:
                store.replace_bytes(envelope_url, envelope, durable=True)
            return True
        self._give_back(store, url, stored, earlier, envelope)
        return False

    def _give_back(self, store: Store, url: str, stored: StoredVideo, earlier: bytes | None, envelope: bytes) -> None:
        """The other run's record came first: its envelope, if this run's took its place, is put back as it was."""
        data = store.read_bytes(url)
        if earlier is None or data is None or not self._check(earlier, url, data, _copy(stored)).is_valid:
            return
        if store.read_bytes(signature_of(url)) == envelope:
            store.replace_bytes(signature_of(url), earlier, durable=True)

    def _envelope(self, url: str, data: bytes, copy: _Copy | None = None) -> tuple[bytes, _Known]:
        from airflow_provider_iinked.custody.statement import format_time, sign_document

        now, digest = datetime.now(UTC), hashlib.sha256(data).hexdigest()
        replaces, before = self._known.get(url, (None, None))
        if before is not None:
            # The clock of the worker that signed it may be ahead of this one's.
            now = max(now, datetime.fromisoformat(before) + timedelta(microseconds=1))
        signed_at = format_time(now)
        envelope = sign_document(_path(url), digest, self._key, copy=copy, signed_at=signed_at, replaces=replaces)
        return envelope, (digest, signed_at)


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


def write_unsigned(store: Store, url: str, value: Mapping[str, Any]) -> None:
    """
    Write a receipt or a tombstone that nobody vouches for; an envelope beside it, which would not fit, goes first.

    :param store: the storage.
    :param url: the document.
    :param value: what to write.
    :raises StorageError: when it cannot be written.
    """
    store.remove(signature_of(url))
    write_document(store, url, value, None)


def _copy(stored: StoredVideo | None) -> _Copy | None:
    return None if stored is None else (_path(stored.uri), stored.sha256)


def _path(url: str) -> str:
    """A document's path below the destination."""
    layout = Layout.beside(url)
    return f"{layout.package_id}/{name_of(url)}"
