"""
Google Cloud Storage: every write names the generation that it expects, so nothing is overwritten, copied or removed
that was not seen; nothing is visible before an upload is completed.

gcsfs is used for its connection: its calls are made one by one, since its ``mv`` and ``rm`` read names as patterns,
its file object sends no condition, and a bucket that does not exist looks like an empty one to its ``ls``.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import mimetypes
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from datetime import datetime
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.base import Upload
from airflow_provider_iinked.storage.errors import NoSuchBucketError, translate_errors
from airflow_provider_iinked.storage.fsspec_store import ConditionalStore
from airflow_provider_iinked.storage.object_info import ObjectInfo, read_info
from airflow_provider_iinked.storage.parts import PART_SIZE, PartBuffer

_OBJECT: Final = "b/{}/o/{}"
_OBJECTS: Final = "b/{}/o"
_IF_FREE: Final = {"ifGenerationMatch": "0"}


class GcsStore(ConditionalStore):
    """Google Cloud Storage, through gcsfs."""

    extra: ClassVar[str | None] = "gcs"

    def place(self, url: str) -> tuple[str, str]:
        """
        Name an object as Google does.

        :param url: the object.
        :return: bucket and name.
        """
        bucket, _, name = self.path(url).partition("/")
        return bucket, name

    def call(self, method: str, path: str, *names: str, **arguments: Any) -> Any:
        """
        Make one call of the JSON API.

        :param method: HTTP method.
        :param path: path below the API's base, or a whole URL.
        :param names: bucket and object, to be put into the path literally.
        :return: the answer, parsed.
        """
        _, contents = self.start(method, path, *names, **arguments).result()
        return json.loads(contents) if contents else {}

    def start(self, method: str, path: str, *names: str, **arguments: Any) -> Future[Any]:
        """
        Start one call of the JSON API.

        :param method: HTTP method.
        :param path: path below the API's base, or a whole URL.
        :param names: bucket and object, to be put into the path literally.
        :return: headers and contents to come.
        """
        return asyncio.run_coroutine_threadsafe(self.fs._call(method, path, *names, **arguments), self.fs.loop)

    def info(self, url: str) -> ObjectInfo | None:
        """Look at an object, with one request."""
        with translate_errors("look at", url):
            found = self._resource(url)
            return None if found is None else info_of(found)

    def list_names(self, url: str, prefix: str = "") -> list[str]:
        """List the names right below a folder, those that begin with ``prefix``."""
        names: list[str] = []
        for folder, page in self._pages(url, prefix):
            found = [str(item["name"]) for item in page.get("items") or []]
            found += [str(name) for name in page.get("prefixes") or []]
            names += [name.removeprefix(folder).rstrip("/") for name in found if name != folder]
        return sorted(names)

    def list_objects(self, url: str) -> list[tuple[str, ObjectInfo]]:
        """List the objects right below a folder."""
        return [
            (str(item["name"]).removeprefix(folder), info_of(item))
            for folder, page in self._pages(url)
            for item in page.get("items") or []
            if item["name"] != folder
        ]

    def _pages(self, url: str, prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The answers that list what lies right below a folder, each with what all its names begin with."""
        with translate_errors("list", url):
            bucket, name = self.place(url)
            folder = f"{name.rstrip('/')}/".lstrip("/")
            asked = {"prefix": f"{folder}{prefix}", "delimiter": "/"}
            more: dict[str, str] = {}
            while True:
                try:
                    page = self.call("GET", _OBJECTS, bucket, **asked, **more)
                except FileNotFoundError:
                    raise NoSuchBucketError from None
                yield folder, page
                if not page.get("nextPageToken"):
                    return
                more = {"pageToken": page["nextPageToken"]}

    def put_new(self, url: str, data: bytes) -> ObjectInfo:
        """Write an object in one request, only if its name is free."""
        from gcsfs.core import simple_upload

        bucket, name = self.place(url)
        sent = simple_upload(self.fs, bucket, name, data, content_type=content_type(url), mode="create")
        try:
            answer = asyncio.run_coroutine_threadsafe(sent, self.fs.loop).result()
        except FileNotFoundError:
            raise NoSuchBucketError from None
        return self.intact(url, answer, hashlib.md5(data, usedforsecurity=False).digest())

    def intact(self, url: str, answer: Mapping[str, Any], md5: bytes) -> ObjectInfo:
        """
        Compare what the store has stored with what was sent; Google refuses no damage by itself.

        :param url: the object.
        :param answer: the store's answer to the upload.
        :param md5: digest of what was sent.
        :return: what the store says about the object.
        :raises StorageError: when it stored other bytes; they are removed, if nobody else wrote there since.
        """
        if answer.get("md5Hash") in (None, base64.b64encode(md5).decode()):
            return info_of(answer)
        with contextlib.suppress(Exception):  # else the next run finds it without a record, and sets it aside
            self.call("DELETE", _OBJECT, *self.place(url), ifGenerationMatch=str(answer["generation"]))
        raise StorageError(f"{url} was damaged on its way to the store, and is not kept. Clearing the task is safe.")

    def rename_no_replace(self, source: str, target: str) -> None:
        """Copy this generation to a free name, then remove this generation."""
        with translate_errors("move", source):
            seen = self.call("GET", _OBJECT, *self.place(source))
            generation = str(seen["generation"])
            path = "b/{}/o/{}/rewriteTo/b/{}/o/{}"
            names = (*self.place(source), *self.place(target))
            wanted: dict[str, Any] = {**_IF_FREE, "ifSourceGenerationMatch": generation}
            done: dict[str, Any] = {"done": False}
            try:
                while not done.get("done", True):
                    done = self.call("POST", path, *names, headers={"Content-Type": "application/json"}, **wanted)
                    wanted["rewriteToken"] = done.get("rewriteToken", "")
            except FileExistsError:
                # The name is taken, or the source changed; or it is our own copy, whose answer was lost.
                copied = self._resource(target)
                if copied is None or copied.get("md5Hash") is None or copied["md5Hash"] != seen.get("md5Hash"):
                    raise
            copied = self._resource(target)
            if copied is None or int(copied["size"]) != int(seen["size"]):
                raise StorageError(f"The store copied {source} to {target}, but not whole. Nothing was removed.")
            if self.identity(source) != info_of(seen).identity:
                raise StorageError(f"{source} changed while it was moved to {target}. Nothing was removed.")
            try:
                self.call("DELETE", _OBJECT, *self.place(source), ifGenerationMatch=generation)
            except (FileNotFoundError, FileExistsError):
                if self.info(source) is not None:  # else it was removed by a call whose answer was lost
                    raise StorageError(
                        f"{source} changed while it was moved to {target}. It was not removed."
                    ) from None

    def _resource(self, url: str) -> dict[str, Any] | None:
        try:
            return dict(self.call("GET", _OBJECT, *self.place(url)))
        except FileNotFoundError:
            return None

    def remove(self, url: str) -> None:
        """Remove one object."""
        with translate_errors("remove", url):
            try:
                self.call("DELETE", _OBJECT, *self.place(url))
            except FileNotFoundError:
                return

    def _start_upload(self, url: str, size: int) -> Upload:
        return ResumableUpload(self, url, size)

    @classmethod
    def dataset_name(cls, url: str) -> tuple[str, str]:
        """Name an object as OpenLineage does: ``gs`` whichever spelling of the scheme the URL has."""
        namespace, name = super().dataset_name(url)
        return f"gs://{namespace.partition('://')[2]}", name

    @classmethod
    def console_url(cls, folder: str) -> str | None:
        """Name the bucket's page in Google's console."""
        parts = urlsplit(folder)
        path = quote(parts.path.strip("/"))
        bucket = quote(parts.netloc.rpartition("@")[2])
        return f"https://console.cloud.google.com/storage/browser/{bucket}{f'/{path}' if path else ''}"


class ResumableUpload(Upload):
    """
    A resumable upload, begun under the condition that the name is free; what fits into one chunk is sent whole.

    :param store: where to.
    :param url: the final name.
    :param size: its bytes, as expected.
    """

    def __init__(self, store: GcsStore, url: str, size: int) -> None:
        super().__init__(url, size)
        self.store = store
        self._buffer = PartBuffer()
        self._sent = 0
        self._location = ""
        self._under_way: Future[Any] | None = None
        self._done: ObjectInfo | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)

    @property
    def keeps_name(self) -> bool:
        """True: every write names the condition, and the store honours it."""
        return True

    def write(self, data: bytes) -> None:
        """Append bytes; a chunk is sent when it is full, while the next one is filled. Google takes one at a time."""
        rest = memoryview(data)
        while rest:
            if self._buffer.size >= PART_SIZE:
                if not self._location:
                    self._location = self._begin()
                self._send(None)
            rest = self._buffer.fill(rest, PART_SIZE)

    def publish(self) -> ObjectInfo | None:
        """Send the last chunk, which completes the upload if the name is free."""
        if self._done is not None:
            raise FileExistsError(self.url)
        if not self._location:
            # The bytes are kept until they are discarded: the caller may free the name and publish again.
            return self.store.put_new(self.url, self._buffer.peek())
        # Taken already: the last chunk would end the upload for good.
        if self.store.info(self.url) is not None:
            raise FileExistsError(self.url)
        self._send(self._sent + self._buffer.size)
        try:
            _, answer = self._wait()
        except Exception:
            if self.store.info(self.url) is not None:
                raise FileExistsError(self.url) from None
            raise
        self._location = ""
        self._done = self.store.intact(self.url, json.loads(answer), self._md5.digest())
        return self._done

    def _discard(self) -> None:
        """Abort the upload."""
        self._buffer.clear()
        if self._under_way is not None:
            self._under_way.cancel()
        location, self._location = self._location, ""
        if location:
            with translate_errors("abort the upload of", self.url):
                self.store.start("DELETE", location).exception()

    def _begin(self) -> str:
        from gcsfs.core import initiate_upload

        bucket, name = self.store.place(self.url)
        begun = initiate_upload(self.store.fs, bucket, name, content_type(self.url), mode="create")
        try:
            return str(asyncio.run_coroutine_threadsafe(begun, self.store.fs.loop).result())
        except FileNotFoundError:
            raise NoSuchBucketError from None

    def _send(self, total: int | None) -> None:
        self._wait()
        data = self._buffer.take()
        size = len(data)
        span = f"bytes {self._sent}-{self._sent + size - 1}/{'*' if total is None else total}"
        head = {"Content-Range": span, "Content-Length": str(size), "Content-Type": content_type(self.url)}
        self._under_way = self.store.start("POST", self._location, headers=head, data=data)
        self._sent += size
        self._md5.update(data)

    def _wait(self) -> Any:
        if self._under_way is None:
            return None
        headers, answer = self._under_way.result()
        kept = headers.get("Range")
        if kept is not None and int(str(kept).rpartition("-")[2]) != self._sent - 1:
            raise StorageError(f"The store kept less of {self.url} than it was sent. Clearing the task is safe.")
        return headers, answer


def content_type(url: str) -> str:
    """
    Guess a content type by the name.

    :param url: the object.
    :return: the type.
    """
    return mimetypes.guess_type(url)[0] or "application/octet-stream"


def info_of(found: Mapping[str, Any]) -> ObjectInfo:
    """
    Read what Google says about an object.

    :param found: the object's resource in the JSON API.
    :return: what we make of it.
    """
    updated = found.get("updated") or found.get("timeCreated")
    return read_info(
        {
            "etag": found.get("etag"),
            "generation": found.get("generation"),
            "size": int(found["size"]) if found.get("size") is not None else None,
            "updated": datetime.fromisoformat(updated) if isinstance(updated, str) else None,
        }
    )
