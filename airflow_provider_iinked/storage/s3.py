"""
S3 and what speaks like it: small objects are written under the condition that the name is free.

Stores that speak S3 differ in what they honour, so a store is watched: a checksum behind the body that it refuses, or
a condition that it refuses or ignores, is noticed at the first write, and the way that is left is taken from then on.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_iinked import __version__
from airflow_provider_iinked.exceptions import InvalidArgumentError, StorageError
from airflow_provider_iinked.storage.base import READ_SIZE, Store, Upload
from airflow_provider_iinked.storage.errors import storage_error, translate_errors
from airflow_provider_iinked.storage.layout import NO_RUN
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.object_info import ObjectInfo
from airflow_provider_iinked.storage.parts import MAX_IN_FLIGHT, PartReader
from airflow_provider_iinked.storage.s3_answers import (
    IF_FREE,
    Condition,
    content_type,
    info_of,
    is_missing,
    is_taken,
    lock_headers,
    status_of,
)
from airflow_provider_iinked.storage.s3_upload import S3Upload, abort_marked

log = logging.getLogger(__name__)

_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn")
_CONNECTIONS: Final = 64
_MAX_TRIES: Final = 4
_BODIES: Final = frozenset({"put_object", "upload_part"})


class S3Store(Store):
    """
    S3 and what speaks like it, through the client of Airflow's S3 hook.

    Not through fsspec: s3fs does all its work on one thread and holds each part twice while it is sent.
    """

    def __init__(self, url: str, token: str = NO_RUN) -> None:
        super().__init__(url, token)
        try:
            self.client = _client(urlsplit(url).netloc.rpartition("@")[0] or None)
        except ImportError as error:
            raise InvalidArgumentError(
                f"What {self.scheme}:// needs is not installed ({type(error).__name__}). Nothing was sent. "
                "Install it: pip install 'airflow-provider-iinked[s3]'."
            ) from None
        except Exception as error:
            raise storage_error("open the storage of", url, error) from None
        host = urlsplit(self.client.meta.endpoint_url).hostname or ""
        first = Condition.HONOURED if host.endswith(_AMAZON) else Condition.UNKNOWN
        self.put_condition = self.complete_condition = first
        self.slots = threading.BoundedSemaphore(MAX_IN_FLIGHT)
        self._threads = ThreadPoolExecutor(MAX_IN_FLIGHT + 2, thread_name_prefix="iinked-s3")
        self._learning = threading.Lock()
        self._sends_md5 = False

    # --- calls --------------------------------------------------------------------------------------------------

    def target(self, url: str) -> dict[str, str]:
        """
        Name an object as the SDK does.

        :param url: the object.
        :return: ``Bucket`` and ``Key``.
        """
        netloc, _, key = url.partition("://")[2].partition("/")
        return {"Bucket": netloc.rpartition("@")[2], "Key": key}

    def start(self, method: str, target: Mapping[str, str], **arguments: Any) -> Future[Any]:
        """
        Start a call of the SDK's client in a thread of this store; ten can be under way.

        :param method: its name.
        :param target: ``Bucket``, and ``Key`` where it takes one.
        :return: the answer to come.
        """
        return self._threads.submit(self.call, method, target, **arguments)

    def call(self, method: str, target: Mapping[str, str], **arguments: Any) -> Any:
        """
        Call a method of the SDK's client.

        :param method: its name.
        :param target: ``Bucket``, and ``Key`` where it takes one.
        :return: the answer.
        """
        sends_md5 = self._sends_md5
        try:
            return self._send(method, target, arguments, with_md5=sends_md5)
        except Exception as error:
            if method not in _BODIES or status_of(error) not in (411, 501) or sends_md5:
                raise
        # It takes no checksum behind a body, as over https; from now on each body carries an MD5 in front.
        self.client.meta.config.request_checksum_calculation = "when_required"
        self._sends_md5 = True
        return self._send(method, target, arguments, with_md5=True)

    def _send(self, method: str, target: Mapping[str, str], arguments: Mapping[str, Any], *, with_md5: bool) -> Any:
        sent = {**target, **arguments}
        if method in _BODIES:
            if with_md5:
                md5 = hashlib.md5(sent["Body"], usedforsecurity=False).digest()
                sent["ContentMD5"] = base64.b64encode(md5).decode()
            if self._puts_checksum_behind:
                sent["Body"] = PartReader(sent["Body"])
        return getattr(self.client, method)(**sent)

    @property
    def _puts_checksum_behind(self) -> bool:
        """Whether the SDK puts a checksum behind a body, which it copies for that unless it is a stream."""
        meta = self.client.meta
        return str(meta.endpoint_url).startswith("https:") and (
            meta.config.request_checksum_calculation == "when_supported"
        )

    # --- looking and reading ------------------------------------------------------------------------------------

    def info(self, url: str) -> ObjectInfo | None:
        """Look at an object, with one request."""
        with translate_errors("look at", url):
            try:
                head = self.call("head_object", self.target(url))
            except Exception as error:
                if is_missing(error):
                    return None
                raise
            size = head.get("ContentLength")
            return info_of(head, self._listed_size(url) if size is None else size)

    def _listed_size(self, url: str) -> int:
        """Find the size of an object in a listing, for a store whose answer to a look leaves it out."""
        target = self.target(url)
        page = self.call("list_objects_v2", {"Bucket": target["Bucket"]}, Prefix=target["Key"], MaxKeys=1)
        for item in page.get("Contents") or []:
            if item["Key"] == target["Key"]:
                return int(item["Size"])
        raise StorageError(f"The store does not say how many bytes {url} has. Clearing the task is safe.")

    def list_names(self, url: str, prefix: str = "") -> list[str]:
        """List the names right below a folder."""
        names: list[str] = []
        for folder, page in self._pages(url, prefix):
            found = [item["Key"] for item in page.get("Contents") or []]
            found += [item["Prefix"] for item in page.get("CommonPrefixes") or []]
            names += [name.removeprefix(folder).rstrip("/") for name in found if name != folder]
        return sorted(names)

    def list_objects(self, url: str) -> list[tuple[str, ObjectInfo]]:
        """List the objects right below a folder."""
        return [
            (item["Key"].removeprefix(prefix), info_of(item, item["Size"]))
            for prefix, page in self._pages(url)
            for item in page.get("Contents") or []
            if item["Key"] != prefix
        ]

    def _pages(self, url: str, prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The answers that list what lies right below a folder, each with the folder's own prefix."""
        with translate_errors("list", url):
            target = self.target(url)
            folder = f"{target['Key'].rstrip('/')}/".lstrip("/")
            asked = {"Prefix": f"{folder}{prefix}", "Delimiter": "/"}
            more: dict[str, str] = {}
            while True:
                page = self.call("list_objects_v2", {"Bucket": target["Bucket"]}, **asked, **more)
                yield folder, page
                if not page.get("IsTruncated"):
                    return
                more = {"ContinuationToken": page["NextContinuationToken"]}

    def read_chunks(self, url: str) -> Iterator[bytes]:
        """Read an object in one request; where that breaks off, go on behind the last byte of the same object."""
        done, failures, seen = 0, 0, ""
        total: int | None = None
        while total is None or done < total:
            try:
                go_on = {"Range": f"bytes={done}-", "IfMatch": seen} if done else {}
                answer = self.call("get_object", self.target(url), **go_on)
                length = answer.get("ContentLength")
                total = None if length is None else done + int(length)
                seen = str(answer.get("ETag", ""))
                with closing(answer["Body"]) as body:
                    while data := body.read(READ_SIZE):
                        done += len(data)
                        yield data
                total = done if total is None else total
            except Exception as error:
                if is_missing(error):
                    raise FileNotFoundError(url) from None
                failures += 1
                if failures >= _MAX_TRIES or status_of(error) is not None:
                    raise storage_error("read", url, error) from None

    # --- writing ------------------------------------------------------------------------------------------------

    def create_bytes(self, url: str, data: bytes, *, durable: bool = False, lock: Lock | None = None) -> bool:
        """Write a small object if its name is free."""
        with translate_errors("write", url):
            try:
                self.put_new(url, data, **lock_headers(lock))
            except FileExistsError:
                return False
            return True

    def replace_bytes(self, url: str, data: bytes, *, durable: bool = False) -> None:
        """Write a small object, whether its name is taken or not."""
        with translate_errors("write", url):
            self.call("put_object", self.target(url), Body=data, ContentType=content_type(url))

    def put_new(self, url: str, data: bytes | bytearray, **more: Any) -> ObjectInfo:
        """
        Write an object in one request, only if its name is free.

        :param url: the object.
        :param data: its bytes.
        :return: what the store says about it.
        :raises FileExistsError: when the name is taken, be it by ourselves, if only the answer was lost.
        """
        if self.put_condition is Condition.HONOURED:
            return self._put_if_free(url, data, more)
        if self.put_condition is Condition.UNKNOWN:
            with self._learning:
                if self.put_condition is Condition.UNKNOWN:
                    return self._put_and_learn(url, data, more)
            return self.put_new(url, data, **more)
        return self._put_and_look(url, data, more)

    def _put(self, url: str, data: bytes | bytearray, more: Mapping[str, Any]) -> ObjectInfo:
        answer = self.call("put_object", self.target(url), Body=data, ContentType=content_type(url), **more)
        return info_of(answer, len(data))

    def _put_if_free(self, url: str, data: bytes | bytearray, more: Mapping[str, Any]) -> ObjectInfo:
        for tries in range(1, _MAX_TRIES + 1):
            try:
                return self._put(url, data, {**more, **IF_FREE})
            except Exception as error:
                if is_taken(error):
                    raise FileExistsError(url) from None
                if status_of(error) != 409 or tries == _MAX_TRIES:
                    raise
                time.sleep(0.1 * tries)  # another writer of this name is at work at this moment
        raise AssertionError("not reached")

    def _put_and_learn(self, url: str, data: bytes | bytearray, more: Mapping[str, Any]) -> ObjectInfo:
        """Write the same bytes twice under the condition: a store that honours it refuses the second time."""
        self._refuse_taken(url)
        try:
            first = self._put_if_free(url, data, more)
        except Exception as error:
            if status_of(error) != 501:
                raise
            self.put_condition = Condition.REFUSED
            return self._put_and_look(url, data, more)
        try:
            again = self._put(url, data, {**more, **IF_FREE})
        except Exception as error:
            if is_taken(error) or status_of(error) == 409:
                self.put_condition = Condition.HONOURED
            return first
        self.put_condition = Condition.IGNORED
        return self._look_again(url, again.validator, len(data))

    def _put_and_look(self, url: str, data: bytes | bytearray, more: Mapping[str, Any]) -> ObjectInfo:
        """Without a condition: look before, write, and look whose bytes lie there."""
        self._refuse_taken(url)
        written = self._put(url, data, more)
        return self._look_again(url, written.validator, len(data))

    def _look_again(self, url: str, validator: Mapping[str, str] | None, size: int) -> ObjectInfo:
        found = self.info(url)
        if found is None or found.size != size or (validator and found.validator != validator):
            raise FileExistsError(url)
        return found

    def _refuse_taken(self, url: str) -> None:
        if self.info(url) is not None:
            raise FileExistsError(url)

    def rename_no_replace(self, source: str, target: str) -> None:
        """Copy on the store's side, look at both, then remove the source."""
        with translate_errors("move", source):
            self._refuse_taken(target)
            seen = self.info(source)
            to = self.target(target)
            self.client.copy(self.target(source), to["Bucket"], to["Key"])
            after = self.info(target)
            if seen is None or after is None or after.size != seen.size:
                raise StorageError(f"The store copied {source} to {target}, but not whole. Nothing was removed.")
            if self.identity(source) != seen.identity:
                raise StorageError(f"{source} changed while it was moved to {target}. Nothing was removed.")
            self._remove_seen(source, seen)

    def _remove_seen(self, url: str, seen: ObjectInfo) -> None:
        """Remove the object that was seen, and no other; a store that refuses the condition removes what lies there."""
        etag = (seen.validator or {}).get("etag")
        condition = {"IfMatch": f'"{etag}"'} if etag else {}
        try:
            self.call("delete_object", self.target(url), **condition)
        except Exception as error:
            if status_of(error) == 501:
                self.call("delete_object", self.target(url))
            elif self.info(url) is not None:  # else it was removed by a call whose answer was lost
                raise

    def remove(self, url: str) -> None:
        """Remove one object."""
        with translate_errors("remove", url):
            self.call("delete_object", self.target(url))

    def remove_temporary(self, url: str) -> None:
        """Abort the upload that a marker stands for, then remove the marker."""
        abort_marked(self, url)

    def _start_upload(self, url: str, size: int) -> Upload:
        return S3Upload(self, url, size)

    def _start_locked_upload(self, url: str, size: int, lock: Lock) -> Upload:
        with translate_errors("begin to write", url):
            return S3Upload(self, url, size, lock)

    # --- locks --------------------------------------------------------------------------------------------------

    def require_locks(self, url: str) -> None:
        """Refuse a bucket without Object Lock. Where it may not be asked, the lock that is read back decides."""
        try:
            answer = self.call("get_object_lock_configuration", {"Bucket": self.target(url)["Bucket"]})
            enabled = answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"
        except Exception as error:
            if status_of(error) == 403:
                log.info("The bucket of %s may not be asked whether it locks; each lock is read back.", url)
                return
            if status_of(error) not in (400, 404, 405, 501):
                raise storage_error("ask for the locks of", url, error) from None
            enabled = False
        if not enabled:
            super().require_locks(url)

    def lock_of(self, url: str) -> Lock | None:
        """Read the lock of an object, as the store shows it now."""
        with translate_errors("read the lock of", url):
            head = self.call("head_object", self.target(url))
            mode, until = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")
            return Lock(str(mode), until) if mode and isinstance(until, datetime) else None

    def ensure_lock(self, url: str, lock: Lock) -> Lock:
        """Read a lock back; some stores drop that of an object of several parts, so it is set once more then."""
        found = self.lock_of(url)
        if found is None or found.lacks(lock):
            kept = {"Mode": lock.mode, "RetainUntilDate": lock.retain_until}
            try:
                self.call("put_object_retention", self.target(url), Retention=kept)
            except Exception as error:
                log.warning("%s", storage_error("lock", url, error))
        return super().ensure_lock(url, lock)

    @classmethod
    def dataset_name(cls, url: str) -> tuple[str, str]:
        """Name an object as OpenLineage does: ``s3`` whichever spelling of the scheme the URL has."""
        namespace, name = super().dataset_name(url)
        return f"s3://{namespace.partition('://')[2]}", name

    @classmethod
    def console_url(cls, folder: str) -> str | None:
        """Name the bucket's page in Amazon's console; another provider's store has none there."""
        if _has_own_endpoint(folder):
            return None
        parts = urlsplit(folder)
        path = quote(parts.path.strip("/"))
        bucket = quote(parts.netloc.rpartition("@")[2])
        return f"https://console.aws.amazon.com/s3/buckets/{bucket}{f'?prefix={path}/' if path else ''}"


def _client(conn_id: str | None) -> Any:
    """Make the client of a connection, as Airflow does, with room for parallel calls and no wait before a body."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore import UNSIGNED
    from botocore import __version__ as botocore_version
    from botocore.config import Config
    from botocore.handlers import add_expect_header

    hook = S3Hook(aws_conn_id=conn_id)
    session = hook.get_session(region_name=hook.region_name)
    given = hook.config
    # Left to itself the SDK makes its name up anew for each request, which takes as long as signing it.
    user_agent = given.user_agent or f"airflow-provider-iinked/{__version__} Botocore/{botocore_version}"
    connections = max(_CONNECTIONS, given.max_pool_connections or 0)
    config = given.merge(Config(max_pool_connections=connections, user_agent=user_agent))
    if session.get_credentials() is None:
        config = config.merge(Config(signature_version=UNSIGNED))
    # One session for both: each reads the SDK's descriptions of its services again.
    endpoint = hook.conn_config.get_service_endpoint_url("s3")
    client = session.client("s3", endpoint_url=endpoint, config=config, verify=hook.verify)
    # "Expect: 100-continue" costs a round trip of its own before each body.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    return client


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
