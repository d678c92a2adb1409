"""
S3: a multipart upload, completed under the condition that the name is free; nothing is visible before.

The calls are made one by one, not through fsspec's file object: its ``close`` and its finalizer can complete an upload.
"""

from __future__ import annotations

import logging
import mimetypes
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.base import ObjectInfo, Upload, json_bytes
from airflow_provider_iinked.storage.fsspec_store import FsspecStore
from airflow_provider_iinked.storage.layout import Kind, folder_of, name_of, parse, temporary, without_suffix
from airflow_provider_iinked.storage.url import join

log = logging.getLogger(__name__)

_PART: Final = 8 << 20
_MAX_PARTS: Final = 9_000
_IF_FREE: Final = {"IfNoneMatch": "*"}
_NO_CONDITIONS: Final = frozenset({"NotImplemented", "501"})
_GONE: Final = frozenset({"NoSuchUpload", "404"})


class S3Store(FsspecStore):
    """S3 and what speaks like it, through s3fs."""

    extra: ClassVar[str | None] = "s3"

    def call(self, method: str, target: Mapping[str, str], **arguments: Any) -> Any:
        """
        Call a method of the SDK's client.

        :param method: its name.
        :param target: ``Bucket``, and ``Key`` where it takes one.
        :return: the answer.
        """
        return self.fs.call_s3(method, self.fs.s3_additional_kwargs, **target, **arguments)

    def target(self, url: str) -> dict[str, str]:
        """
        Name an object as the SDK does.

        :param url: the object.
        :return: ``Bucket`` and ``Key``.
        """
        path = self.path(url) + ("/" if url.endswith("/") else "")
        bucket, _, key = path.partition("/")
        return {"Bucket": bucket, "Key": key}

    def remove_temporary(self, url: str) -> None:
        """Abort the upload that a marker stands for, then remove the marker."""
        abort_marked(self, url)

    def _start_upload(self, url: str, size: int) -> Upload:
        return S3Upload(self, url, size)

    @classmethod
    def console_url(cls, folder: str) -> str | None:
        """Name the bucket's page in Amazon's console; another provider's store has none there."""
        if _has_own_endpoint(folder):
            return None
        parts = urlsplit(folder)
        path = quote(parts.path.strip("/"))
        bucket = quote(parts.netloc.rpartition("@")[2])
        return f"https://console.aws.amazon.com/s3/buckets/{bucket}{f'?prefix={path}/' if path else ''}"


class S3Upload(Upload):
    """
    One part at a time, each of 8 MiB or more; what fits into one part is sent whole when it is published.

    A marker object beside the final name lies there from before the upload begins until it has ended, and holds its id
    as soon as it has one, so that the next run can abort it after a kill.

    :param store: where to.
    :param url: the final name.
    :param size: its bytes, as expected.
    """

    def __init__(self, store: S3Store, url: str, size: int) -> None:
        super().__init__(url, size)
        self.store = store
        self._target = store.target(url)
        self._part_size = max(_PART, -(-size // _MAX_PARTS))
        self._buffer = bytearray()
        self._parts: list[dict[str, Any]] = []
        self._marker = ""
        self._upload_id: str | None = None
        if size > self._part_size:
            self._begin()

    def write(self, data: bytes) -> None:
        """Append bytes; a part is sent when it is full."""
        self._buffer += data
        while self._upload_id is not None and len(self._buffer) >= self._part_size:
            self._send_part(self._part_size)

    def publish(self) -> ObjectInfo | None:
        """Complete the upload, if the name is free."""
        if self.store.info(self.url) is not None:
            raise FileExistsError(self.url)
        if self._upload_id is not None and self._buffer:
            self._send_part(len(self._buffer))
        try:
            self._complete(_IF_FREE)
        except Exception as error:
            if _code(error) in _NO_CONDITIONS:
                self._complete({})  # an S3-compatible store without conditional writes: the look above has to do
            elif isinstance(error, FileExistsError) or self.store.info(self.url) is not None:
                # Taken a moment ago by someone else, or by ourselves, if only the answer was lost: the caller looks.
                raise FileExistsError(self.url) from None
            else:
                raise
        self._upload_id = None
        self.discard()  # what is left of it: the marker
        return self.store.info(self.url)

    def discard(self) -> None:
        """Abort the upload and remove its marker."""
        self._buffer.clear()
        if self._upload_id is not None and not abort(self.store, self._target, self._upload_id):
            return  # the marker stays, and lets the next run abort it
        self._upload_id = None
        if self._marker:
            self._drop_marker(self.store.remove)

    def _drop_marker(self, drop: Callable[[str], None]) -> None:
        try:
            drop(self._marker)
            self._marker = ""
        except StorageError as error:
            log.warning("%s", error)

    def _begin(self) -> None:
        kind = {"ContentType": mimetypes.guess_type(self.url)[0] or "application/octet-stream"}
        marker = temporary(without_suffix(self.url), self.store.token)
        named = {"key": self._target["Key"]}
        self.store.replace_bytes(marker, json_bytes(named))
        self._marker = marker
        try:
            self._upload_id = str(self.store.call("create_multipart_upload", self._target, **kind)["UploadId"])
            self.store.replace_bytes(marker, json_bytes({**named, "upload_id": self._upload_id}))
        except Exception:
            if self._upload_id is None:  # begun all the same, perhaps, by a call whose answer was lost
                self._drop_marker(lambda marker: abort_marked(self.store, marker))
            else:
                self.discard()
            raise

    def _send_part(self, size: int) -> None:
        number = len(self._parts) + 1
        with memoryview(self._buffer) as view:
            body = bytes(view[:size])
        sent = self.store.call("upload_part", self._target, UploadId=self._upload_id, PartNumber=number, Body=body)
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"], **_checksums(sent)})
        del self._buffer[:size]

    def _complete(self, condition: dict[str, str]) -> None:
        if self._upload_id is None:
            kind = mimetypes.guess_type(self.url)[0] or "application/octet-stream"
            self.store.call("put_object", self._target, Body=bytes(self._buffer), ContentType=kind, **condition)
            return
        self.store.call(
            "complete_multipart_upload",
            self._target,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": self._parts},
            **condition,
        )


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
        if _code(error) in _GONE:
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


def _checksums(sent: dict[str, Any]) -> dict[str, str]:
    """Pick the checksums that the SDK sent along with a part; the completion has to repeat them."""
    names = ("ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256")
    return {name: sent[name] for name in names if sent.get(name)}


def _code(error: BaseException) -> str:
    """Return the error code that S3 answered; s3fs keeps the answer as the cause."""
    for candidate in (error, error.__cause__, error.__context__):
        response = getattr(candidate, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def _is_temporary(name: str) -> bool:
    entry = parse(name)
    return entry is not None and entry.kind is Kind.TEMPORARY


def _has_own_endpoint(folder: str) -> bool:
    """Tell whether a store is not Amazon's: its connection, or the environment, names an endpoint."""
    if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3"):
        return True
    conn_id, at, _ = urlsplit(folder).netloc.rpartition("@")
    if not at:
        return False
    extra: Mapping[str, Any] = BaseHook.get_connection(conn_id).extra_dejson
    service = (extra.get("service_config") or {}).get("s3") or {}
    return bool(extra.get("endpoint_url") or service.get("endpoint_url"))
