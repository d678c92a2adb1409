"""
Azure Blob Storage: blocks are staged unseen and committed in one call, under the condition that the name is free.

adlfs is used for its connection only: its file object publishes whatever it holds when it is closed or forgotten.
"""

from __future__ import annotations

import asyncio
import mimetypes
import re
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.base import Upload
from airflow_provider_iinked.storage.fsspec_store import ConditionalStore
from airflow_provider_iinked.storage.layout import NO_RUN
from airflow_provider_iinked.storage.object_info import ObjectInfo, read_info
from airflow_provider_iinked.storage.parts import PartBuffer, PartsInFlight, part_size

_MAX_BLOCKS: Final = 45_000
_COPY_POLL: Final = 0.5
_MAX_IN_FLIGHT: Final = 4
"""Fewer than elsewhere: the SDK's transport holds each block once more while it is sent."""


class AzureStore(ConditionalStore):
    """Azure Blob Storage and Data Lake, through adlfs."""

    extra: ClassVar[str | None] = "azure"

    def __init__(self, url: str, token: str = NO_RUN) -> None:
        super().__init__(url, token)
        self.slots = threading.BoundedSemaphore(_MAX_IN_FLIGHT)

    def start(self, url: str, method: str, *args: Any, **kwargs: Any) -> Future[Any]:
        """
        Start a call of the SDK's blob client, on the file system's own event loop; many can be under way.

        :param url: the blob.
        :param method: the method's name.
        :return: the answer to come.
        """
        container, blob, _ = self.fs.split_path(self.path(url))

        async def call() -> Any:
            async with self.fs.service_client.get_blob_client(container, blob) as client:
                return await getattr(client, method)(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(call(), self.fs.loop)

    def call(self, url: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """
        Call a method of the SDK's blob client.

        :param url: the blob.
        :param method: the method's name.
        :return: what it returns.
        """
        return self.start(url, method, *args, **kwargs).result()

    def put_new(self, url: str, data: bytes) -> ObjectInfo:
        """Write a blob in one request, only if its name is free."""
        from azure.core.exceptions import ResourceExistsError

        try:
            answer = self.call(
                url, "upload_blob", data, overwrite=False, validate_content=True, content_settings=_settings(url)
            )
        except ResourceExistsError:
            raise FileExistsError(url) from None
        return _info_of(answer, len(data))

    def _copy(self, source: str, target: str) -> None:
        """Azure answers before a copy is done, and drops it when its source is removed: wait for it."""
        super()._copy(source, target)
        while True:
            status = self.call(target, "get_blob_properties").copy.status
            if status in (None, "success"):
                return
            if status != "pending":
                raise StorageError(f"The store could not copy to {target}: {status}. Nothing was removed.")
            time.sleep(_COPY_POLL)

    def _start_upload(self, url: str, size: int) -> Upload:
        return BlockUpload(self, url, size)

    @classmethod
    def dataset_name(cls, url: str) -> tuple[str, str]:
        """Name a blob as OpenLineage does: container and account, and the path with a slash in front."""
        parts = urlsplit(url)
        conn_id, _, container = parts.netloc.rpartition("@")
        account = _account_of(conn_id)
        host = f"@{account}.dfs.core.windows.net" if account else ""
        return f"abfss://{container}{host}", f"/{parts.path.strip('/')}"

    @classmethod
    def console_url(cls, folder: str) -> str | None:
        """
        Name the list of storage accounts: the portal names a container by subscription and resource group, which
        Airflow does not know.
        """
        return "https://portal.azure.com/#browse/Microsoft.Storage%2FStorageAccounts"


class BlockUpload(Upload):
    """
    Blocks of 8 MiB or more, several in flight; what fits into one is sent whole when it is published.

    Azure drops blocks that are never committed: at the next commit, or after a week.

    :param store: where to.
    :param url: the final name.
    :param size: its bytes, as expected.
    """

    def __init__(self, store: AzureStore, url: str, size: int) -> None:
        super().__init__(url, size)
        self.store = store
        self._block_size = part_size(size, _MAX_BLOCKS)
        self._buffer = PartBuffer()
        self._in_flight = PartsInFlight(store.slots)
        self._blocks: list[str] = []
        self._written = 0

    @property
    def keeps_name(self) -> bool:
        """True: every write names the condition, and the store honours it."""
        return True

    def write(self, data: bytes) -> None:
        """Append bytes; a block is staged when it is full, while the next one is filled."""
        self._written += len(data)
        rest = memoryview(data)
        while rest:
            if self._buffer.size >= self._block_size:
                self._stage()
            rest = self._buffer.fill(rest, self._block_size)

    def publish(self) -> ObjectInfo | None:
        """Commit the blocks, if the name is free."""
        if not self._blocks:
            # The bytes are kept until they are discarded: the caller may free the name and publish again.
            return self.store.put_new(self.url, self._buffer.peek())
        if self._buffer.size:
            self._stage()
        self._in_flight.results()
        from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

        try:
            info = self._commit()
        except (ResourceExistsError, ResourceModifiedError):
            raise FileExistsError(self.url) from None
        except Exception:
            if self.store.info(self.url) is not None:
                # Taken by someone else (which drops our blocks), or by ourselves, if only the answer was lost.
                raise FileExistsError(self.url) from None
            raise
        self.discard()
        return info

    def _discard(self) -> None:
        """Forget the blocks; nothing of them was ever visible."""
        self._buffer.clear()
        self._in_flight.cancel()
        self._in_flight.when_ended(lambda: None)
        self._blocks.clear()

    def _stage(self) -> None:
        # All ids of one blob must be of one length, those of other writers included; adlfs uses this form too.
        block_id = uuid.uuid4().hex
        data = self._buffer.take()
        self._in_flight.send(
            lambda: self.store.start(self.url, "stage_block", block_id, data, length=len(data), validate_content=True)
        )
        self._blocks.append(block_id)

    def _commit(self) -> ObjectInfo:
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock

        answer = self.store.call(
            self.url,
            "commit_block_list",
            [BlobBlock(block_id=block_id) for block_id in self._blocks],
            content_settings=_settings(self.url),
            match_condition=MatchConditions.IfMissing,
        )
        return _info_of(answer, self._written)


def _settings(url: str) -> Any:
    from azure.storage.blob import ContentSettings

    return ContentSettings(content_type=mimetypes.guess_type(url)[0] or "application/octet-stream")


def _info_of(answer: Mapping[str, Any], size: int) -> ObjectInfo:
    """Read what Azure answers to a write; a version is left out, since its listing names none."""
    return read_info({"etag": answer.get("etag"), "last_modified": answer.get("last_modified"), "size": size})


def _account_of(conn_id: str) -> str | None:
    """Read a storage account's name from its Airflow connection; None where the connection does not say."""
    from airflow.providers.common.compat.sdk import BaseHook

    if not conn_id:
        return None
    connection = BaseHook.get_connection(conn_id)
    text = connection.extra_dejson.get("connection_string")
    if isinstance(text, str) and (named := re.search(r"AccountName=([^;]+)", text, re.IGNORECASE)):
        return named[1].strip()
    host = str(connection.host or "").rpartition("://")[2].partition("/")[0]
    return host.partition(".")[0] or connection.login or None
