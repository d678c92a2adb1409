"""
One upload to S3: what fits into one part is sent whole when it is published, the rest goes in parts, several in flight.

The calls are made one by one, not through fsspec's file object: its ``close`` and its finalizer can complete an upload.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.base import Upload, json_bytes
from airflow_provider_iinked.storage.errors import store_code
from airflow_provider_iinked.storage.layout import Kind, folder_of, name_of, parse, temporary, without_suffix
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.object_info import ObjectInfo
from airflow_provider_iinked.storage.parts import POOL, Part, PartsInFlight, part_size
from airflow_provider_iinked.storage.s3_answers import (
    CHECKSUMS,
    IF_FREE,
    Condition,
    content_type,
    info_of,
    is_taken,
    lock_headers,
    multipart_etag,
    status_of,
)
from airflow_provider_iinked.storage.url import join

if TYPE_CHECKING:
    from airflow_provider_iinked.storage.s3 import S3Store

log = logging.getLogger(__name__)

_MAX_PARTS: Final = 9_000
_GONE: Final = frozenset({"NoSuchUpload", "404"})


class S3Upload(Upload):
    """
    One object on its way to S3; nothing is visible before it is completed.

    A marker object beside the final name lies there from before the upload begins until it has ended, and holds its id
    as soon as it has one, so that the next run can abort it after a kill.

    :param store: where to.
    :param url: the final name.
    :param size: its bytes, as expected.
    :param lock: the lock that it gets as it is written, or None.
    """

    def __init__(self, store: S3Store, url: str, size: int, lock: Lock | None = None) -> None:
        super().__init__(url, size)
        self.store = store
        self._lock = lock_headers(lock)
        self._target = store.target(url)
        self._part_size = part_size(size, _MAX_PARTS)
        self._part: Part | None = None
        self._parts = PartsInFlight(store.slots)
        self._written = 0
        self._marker = ""
        self._noted: Future[Any] | None = None
        self._upload_id: str | None = None
        self._in_parts = size > self._part_size
        if self._in_parts:
            self._begin()

    @property
    def keeps_name(self) -> bool:
        """Whether the condition of the request that publishes is known to be honoured."""
        decides = self.store.complete_condition if self._in_parts else self.store.put_condition
        return decides is Condition.HONOURED

    def write(self, data: bytes) -> None:
        """Append bytes; a part is sent when it is full, while the next one is filled."""
        rest = memoryview(data)
        while rest:
            if self._part is None:
                expected = min(self._part_size, max(self.size - self._written, len(rest)))
                self._part = Part(POOL.take(expected))
            before = self._part.size
            if self._upload_id is None:
                self._part.extend(rest)
                rest = rest[len(rest) :]
            else:
                rest = self._part.fill(rest)
            self._written += self._part.size - before
            if self._upload_id is not None and self._part.is_full:
                self._send_part(self._part)

    def publish(self) -> ObjectInfo | None:
        """Complete the upload, if the name is free."""
        if self._upload_id is None:
            # The bytes are kept until they are discarded: the caller may free the name and publish again.
            body = self._part.whole() if self._part is not None else bytearray()
            return self.store.put_new(self.url, body, **self._lock)
        if self._part is not None:
            self._send_part(self._part)
        if self._noted is not None:
            self._noted.result()
        parts = [
            {"PartNumber": number, "ETag": sent["ETag"], **{name: sent[name] for name in CHECKSUMS if sent.get(name)}}
            for number, sent in enumerate(self._parts.results(), 1)
        ]
        answer = self._complete(parts)
        self._upload_id = None
        dropped = self.store.start("delete_object", self.store.target(self._marker))
        try:
            return self._look(answer, parts)
        finally:
            if dropped.exception() is None:
                self._marker = ""
            self.discard()  # what is left of it: the marker, where the store did not remove it at once

    def _discard(self) -> None:
        """Abort the upload and remove its marker."""
        self._part = None
        if (upload_id := self._upload_id) is not None:
            self._parts.cancel()
            if self._noted is not None:
                self._noted.exception()
            if not abort(self.store, self._target, upload_id):
                return  # the marker stays, and lets the next run abort it
            # A part that comes in after that is kept by some stores until the upload is aborted once more.
            self._parts.when_ended(lambda: abort(self.store, self._target, upload_id))
            self._upload_id = None
        if self._marker:
            self._drop_marker()

    def _drop_marker(self) -> None:
        try:
            self.store.remove(self._marker)
            self._marker = ""
        except StorageError as error:
            log.warning("%s", error)

    def _begin(self) -> None:
        self._marker = marker = temporary(without_suffix(self.url), self.store.token)
        named = {"key": self._target["Key"]}
        try:
            self.store.replace_bytes(marker, json_bytes(named))
            kind = {"ContentType": content_type(self.url), **self._lock}
            begun = self.store.call("create_multipart_upload", self._target, **kind)
        except Exception:
            self._abort_unanswered()
            raise
        self._upload_id = str(begun["UploadId"])
        if begun.get("ResponseMetadata", {}).get("RetryAttempts"):
            self._abort_repeated()
        note = json_bytes({**named, "upload_id": self._upload_id})
        self._noted = self.store.start("put_object", self.store.target(marker), Body=note)

    def _abort_repeated(self) -> None:
        """The SDK repeated a call whose answer was lost; the upload that this had begun is nobody's."""
        try:
            uploads = _unmarked_uploads(self.store, self._target, self._marker) or []
        except StorageError as error:
            log.warning("%s", error)
            return
        for upload in uploads:
            if upload != self._upload_id:
                abort(self.store, self._target, upload)

    def _abort_unanswered(self) -> None:
        """Begun all the same, perhaps, by a call whose answer was lost."""
        try:
            abort_marked(self.store, self._marker)
        except StorageError as error:
            log.warning("%s", error)

    def _send_part(self, part: Part) -> None:
        body, self._part = part.whole(), None
        named = {"UploadId": self._upload_id, "PartNumber": len(self._parts) + 1}

        def start() -> Future[Any]:
            call = self.store.start("upload_part", self._target, **named, Body=body)
            call.add_done_callback(lambda _: POOL.give_back(body))
            return call

        self._parts.send(start)

    def _complete(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Complete it under the condition that the name is free; where that may not be honoured, look before."""
        if self.store.complete_condition is not Condition.HONOURED and self.store.info(self.url) is not None:
            raise FileExistsError(self.url)
        named = {"UploadId": self._upload_id, "MultipartUpload": {"Parts": parts}}
        condition = IF_FREE if self.store.complete_condition is not Condition.REFUSED else {}
        try:
            try:
                return dict(self.store.call("complete_multipart_upload", self._target, **named, **condition))
            except Exception as error:
                if status_of(error) != 501 or not condition:
                    raise
                self.store.complete_condition = Condition.REFUSED
                return dict(self.store.call("complete_multipart_upload", self._target, **named))
        except Exception as error:
            # Taken a moment ago by someone else, or by ourselves, if only the answer was lost: the caller looks.
            if is_taken(error) or self.store.info(self.url) is not None:
                raise FileExistsError(self.url) from None
            raise

    def _look(self, answer: dict[str, Any], parts: list[dict[str, Any]]) -> ObjectInfo | None:
        """Where the condition may have been ignored, see whose bytes lie there."""
        if self.store.complete_condition is Condition.HONOURED and answer.get("ETag"):
            return info_of(answer, self._written)
        info = self.store.info(self.url)
        expected = str(answer.get("ETag") or "").strip('"') or multipart_etag(parts)
        if info is not None and expected and (info.validator or {}).get("etag") not in (None, expected):
            raise FileExistsError(self.url)  # another writer's, whose completion came last
        return info


def abort(store: S3Store, target: dict[str, str], upload_id: str) -> bool:
    """
    Abort a multipart upload.

    :param store: the storage.
    :param target: its ``Bucket`` and ``Key``.
    :param upload_id: its id.
    :return: whether it is gone now.
    """
    try:
        store.call("abort_multipart_upload", target, UploadId=upload_id)
    except FileNotFoundError:
        return True
    except Exception as error:
        if store_code(error) in _GONE:
            return True
        log.warning("Left the unfinished upload of %s where it is: %s", target["Key"], type(error).__name__)
        return False
    return True


def abort_marked(store: S3Store, marker: str) -> None:
    """
    Abort the upload that a marker stands for, then remove the marker.

    A marker without an id is of a run killed while its upload began; such an upload is found by its key.

    :param store: the storage.
    :param marker: URL of the marker; it stays when the upload cannot be aborted or told from another run's.
    :raises StorageError: when the marker cannot be read or removed.
    """
    target = store.target(marker)
    key, upload_id = _read_marker(store, marker)
    beside = key is not None and key.rpartition("/")[0] == target["Key"].rpartition("/")[0]
    if key is not None and beside:
        target["Key"] = key
        uploads = [upload_id] if upload_id is not None else _unmarked_uploads(store, target, marker)
        if uploads is None or not all(abort(store, target, upload) for upload in uploads):
            return
    store.remove(marker)


def _unmarked_uploads(store: S3Store, target: dict[str, str], marker: str) -> list[str] | None:
    """
    Find the uploads of a key that no other marker stands for.

    Markers are read after the uploads are listed: an upload that another run began before has its marker by then.

    :return: their ids; none where the right to list uploads is not granted (a lifecycle rule of the bucket has to do).
        None when another run is beginning an upload of the same key.
    """
    try:
        listed = store.call("list_multipart_uploads", {"Bucket": target["Bucket"]}, Prefix=target["Key"])
    except Exception as error:
        log.debug("Unfinished uploads of %s cannot be listed: %s", target["Key"], type(error).__name__)
        return []
    folder, own = folder_of(marker), name_of(marker)
    others = [name for name in store.list_names(folder) if _is_temporary(name) and name != own]
    read = [_read_marker(store, join(folder, name)) for name in others]
    marked = {upload_id for key, upload_id in read if key == target["Key"]}
    if None in marked:
        return None
    uploads = (upload for upload in listed.get("Uploads") or [] if upload["Key"] == target["Key"])
    return [upload["UploadId"] for upload in uploads if upload["UploadId"] not in marked]


def _read_marker(store: S3Store, marker: str) -> tuple[str | None, str | None]:
    """Read the key and the upload id of a marker, as far as it has them."""
    _, value = store.read_json(marker)
    named = value if isinstance(value, dict) else {}
    key, upload_id = named.get("key"), named.get("upload_id")
    return key if isinstance(key, str) else None, upload_id if isinstance(upload_id, str) else None


def _is_temporary(name: str) -> bool:
    entry = parse(name)
    return entry is not None and entry.kind is Kind.TEMPORARY
