"""
S3 and what speaks like it: small objects are written under the condition that the name is free.

Stores that speak S3 differ in what they honour, so a store is watched: a checksum behind the body that it refuses, or
a condition that it refuses or ignores, is noticed at the first write, and the way that is left is taken from then on.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_iinked.storage.base import READ_SIZE, ObjectInfo, Upload
from airflow_provider_iinked.storage.errors import storage_error, translate_errors
from airflow_provider_iinked.storage.fsspec_store import FsspecStore
from airflow_provider_iinked.storage.layout import NO_RUN
from airflow_provider_iinked.storage.parts import MAX_IN_FLIGHT
from airflow_provider_iinked.storage.s3_answers import (
    IF_FREE,
    Condition,
    content_type,
    info_of,
    is_missing,
    is_taken,
    status_of,
)
from airflow_provider_iinked.storage.s3_upload import S3Upload, abort_marked

_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn")
_CONNECTIONS: Final = 64
_MAX_TRIES: Final = 4
_BODIES: Final = frozenset({"put_object", "upload_part"})


class S3Store(FsspecStore):
    """S3 and what speaks like it, through s3fs."""

    extra: ClassVar[str | None] = "s3"

    def __init__(self, url: str, token: str = NO_RUN) -> None:
        super().__init__(url, token)
        with translate_errors("open", url):
            host = urlsplit(self.fs.s3.meta.endpoint_url).hostname or ""
        first = Condition.HONOURED if host.endswith(_AMAZON) else Condition.UNKNOWN
        self.put_condition = self.complete_condition = first
        self.slots = threading.BoundedSemaphore(MAX_IN_FLIGHT)
        self._learning = threading.Lock()
        self._sends_md5 = False
        self._ready: Any = None

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        config = dict(options.get("config_kwargs") or {})
        config["max_pool_connections"] = max(_CONNECTIONS, int(config.get("max_pool_connections") or 0))
        return {**super()._options(options), "config_kwargs": config}

    # --- calls --------------------------------------------------------------------------------------------------

    def target(self, url: str) -> dict[str, str]:
        """
        Name an object as the SDK does.

        :param url: the object.
        :return: ``Bucket`` and ``Key``.
        """
        path = self.path(url) + ("/" if url.endswith("/") else "")
        bucket, _, key = path.partition("/")
        return {"Bucket": bucket, "Key": key}

    def start(self, method: str, target: Mapping[str, str], **arguments: Any) -> Future[Any]:
        """
        Start a call of the SDK's client; many can be under way.

        :param method: its name.
        :param target: ``Bucket``, and ``Key`` where it takes one.
        :return: the answer to come.
        """
        return asyncio.run_coroutine_threadsafe(self._call(method, {**target, **arguments}), self.fs.loop)

    def call(self, method: str, target: Mapping[str, str], **arguments: Any) -> Any:
        """
        Call a method of the SDK's client.

        :param method: its name.
        :param target: ``Bucket``, and ``Key`` where it takes one.
        :return: the answer.
        """
        return self.start(method, target, **arguments).result()

    async def _call(self, method: str, arguments: dict[str, Any]) -> Any:
        client = await self.fs.set_session()
        if self._ready is not client:
            _send_bodies_at_once(client)
            self._ready = client
        try:
            return await self._send(method, arguments)
        except Exception as error:
            if method not in _BODIES or status_of(error) not in (411, 501) or "ContentMD5" in arguments:
                raise
        # It takes no checksum behind a body, as over https; from now on each body carries an MD5 in front.
        client.meta.config.request_checksum_calculation = "when_required"
        self._sends_md5 = True
        return await self._send(method, arguments)

    async def _send(self, method: str, arguments: dict[str, Any]) -> Any:
        if self._sends_md5 and method in _BODIES:
            digest = hashlib.md5(arguments["Body"], usedforsecurity=False).digest()
            arguments["ContentMD5"] = base64.b64encode(digest).decode()
        return await self.fs._call_s3(method, self.fs.s3_additional_kwargs, **arguments)

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
            return info_of(head, head["ContentLength"])

    def list_names(self, url: str) -> list[str]:
        """List the names right below a folder."""
        names: list[str] = []
        for prefix, page in self._pages(url):
            found = [item["Key"] for item in page.get("Contents") or []]
            found += [item["Prefix"] for item in page.get("CommonPrefixes") or []]
            names += [name.removeprefix(prefix).rstrip("/") for name in found if name != prefix]
        return names

    def list_objects(self, url: str) -> list[tuple[str, ObjectInfo]]:
        """List the objects right below a folder."""
        return [
            (item["Key"].removeprefix(prefix), info_of(item, item["Size"]))
            for prefix, page in self._pages(url)
            for item in page.get("Contents") or []
            if item["Key"] != prefix
        ]

    def _pages(self, url: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The answers that list what lies right below a folder, each with the folder's own prefix."""
        with translate_errors("list", url):
            target = self.target(url)
            prefix = f"{target['Key'].rstrip('/')}/".lstrip("/")
            more: dict[str, str] = {}
            while True:
                page = self.call("list_objects_v2", {"Bucket": target["Bucket"]}, Prefix=prefix, Delimiter="/", **more)
                yield prefix, page
                if not page.get("IsTruncated"):
                    return
                more = {"ContinuationToken": page["NextContinuationToken"]}

    def read_bytes(self, url: str) -> bytes | None:
        """Read a small object, with one request."""
        try:
            return b"".join(self.read_chunks(url))
        except FileNotFoundError:
            return None

    def read_chunks(self, url: str) -> Iterator[bytes]:
        """Read an object in one request; where that breaks off, go on behind the last byte of the same object."""
        done, failures, seen = 0, 0, ""
        total: int | None = None
        while total is None or done < total:
            try:
                go_on = {"Range": f"bytes={done}-", "IfMatch": seen} if done else {}
                answer = self.call("get_object", self.target(url), **go_on)
                total = done + int(answer["ContentLength"])
                seen = str(answer.get("ETag", ""))
                for data in self._pieces(answer["Body"]):
                    done += len(data)
                    yield data
            except Exception as error:
                if is_missing(error):
                    raise FileNotFoundError(url) from None
                failures += 1
                if failures >= _MAX_TRIES or status_of(error) is not None:
                    raise storage_error("read", url, error) from None

    def _pieces(self, body: Any) -> Iterator[bytes]:
        async def read() -> bytes:
            pieces, size = [], 0
            while size < READ_SIZE and (data := await body.read(READ_SIZE - size)):
                pieces.append(data)
                size += len(data)
            return b"".join(pieces)

        try:
            while data := asyncio.run_coroutine_threadsafe(read(), self.fs.loop).result():
                yield data
        finally:
            self.fs.loop.call_soon_threadsafe(body.close)

    # --- writing ------------------------------------------------------------------------------------------------

    def create_bytes(self, url: str, data: bytes, *, durable: bool = False) -> bool:
        """Write a small object if its name is free."""
        with translate_errors("write", url):
            try:
                self.put_new(url, data)
            except FileExistsError:
                return False
            return True

    def replace_bytes(self, url: str, data: bytes, *, durable: bool = False) -> None:
        """Write a small object, whether its name is taken or not."""
        with translate_errors("write", url):
            self.call("put_object", self.target(url), Body=data, ContentType=content_type(url))

    def put_new(self, url: str, data: bytes, **more: Any) -> ObjectInfo:
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

    def _put(self, url: str, data: bytes, more: Mapping[str, Any]) -> ObjectInfo:
        answer = self.call("put_object", self.target(url), Body=data, ContentType=content_type(url), **more)
        return info_of(answer, len(data))

    def _put_if_free(self, url: str, data: bytes, more: Mapping[str, Any]) -> ObjectInfo:
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

    def _put_and_learn(self, url: str, data: bytes, more: Mapping[str, Any]) -> ObjectInfo:
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
            self._put(url, data, {**more, **IF_FREE})
        except Exception as error:
            if is_taken(error) or status_of(error) == 409:
                self.put_condition = Condition.HONOURED
            return first
        self.put_condition = Condition.IGNORED
        return self._look_again(url, None, len(data))

    def _put_and_look(self, url: str, data: bytes, more: Mapping[str, Any]) -> ObjectInfo:
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

    def remove(self, url: str) -> None:
        """Remove one object."""
        with translate_errors("remove", url):
            self.call("delete_object", self.target(url))

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


def _send_bodies_at_once(client: Any) -> None:
    """Drop the SDK's ``Expect: 100-continue``: a round trip of its own before each body."""
    from botocore.handlers import add_expect_header

    client.meta.events.unregister("before-call.s3", add_expect_header)


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
