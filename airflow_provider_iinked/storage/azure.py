"""
Azure Blob Storage: blocks are staged unseen and committed in one call, under the condition that the name is free.

adlfs is used for its connection only: its file object publishes whatever it holds when it is closed or forgotten.
"""

from __future__ import annotations

import mimetypes
import time
import uuid
from typing import Any, ClassVar, Final

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.base import ObjectInfo, Upload
from airflow_provider_iinked.storage.fsspec_store import FsspecStore

_BLOCK: Final = 8 << 20
_MAX_BLOCKS: Final = 45_000
_COPY_POLL: Final = 0.5


class AzureStore(FsspecStore):
    """Azure Blob Storage and Data Lake, through adlfs."""

    extra: ClassVar[str | None] = "azure"

    def call(self, url: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """
        Call a method of the SDK's blob client, on the file system's own event loop.

        :param url: the blob.
        :param method: the method's name.
        :return: what it returns.
        """
        from fsspec.asyn import sync

        container, blob, _ = self.fs.split_path(self.path(url))

        async def call() -> Any:
            async with self.fs.service_client.get_blob_client(container, blob) as client:
                return await getattr(client, method)(*args, **kwargs)

        return sync(self.fs.loop, call)

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
    def console_url(cls, folder: str) -> str | None:
        """
        Name the list of storage accounts: the portal names a container by subscription and resource group, which
        Airflow does not know.
        """
        return "https://portal.azure.com/#browse/Microsoft.Storage%2FStorageAccounts"


class BlockUpload(Upload):
    """
    Blocks of 8 MiB or more. Azure drops blocks that are never committed: at the next commit, or after a week.

    :param store: where to.
    :param url: the final name.
    :param size: its bytes, as expected.
    """

    def __init__(self, store: AzureStore, url: str, size: int) -> None:
        super().__init__(url, size)
        self.store = store
        self._block_size = max(_BLOCK, -(-size // _MAX_BLOCKS))
        self._buffer = bytearray()
        self._blocks: list[str] = []

    def write(self, data: bytes) -> None:
        """Append bytes; a block is staged when it is full."""
        self._buffer += data
        while len(self._buffer) >= self._block_size:
            self._stage(self._block_size)

    def publish(self) -> ObjectInfo | None:
        """Commit the blocks, if the name is free."""
        if self.store.info(self.url) is not None:
            raise FileExistsError(self.url)
        if self._buffer:
            self._stage(len(self._buffer))
        try:
            self._commit()
        except Exception:
            if self.store.info(self.url) is not None:
                # Taken a moment ago by someone else (which drops our blocks), or by ourselves, if only the answer was
                # lost: the caller looks.
                raise FileExistsError(self.url) from None
            raise
        self.discard()
        return self.store.info(self.url)

    def discard(self) -> None:
        """Forget the blocks; nothing of them was ever visible."""
        self._buffer.clear()
        self._blocks.clear()

    def _stage(self, size: int) -> None:
        # All ids of one blob must be of one length, those of other writers included; adlfs uses this form too.
        block_id = uuid.uuid4().hex
        with memoryview(self._buffer) as view:
            data = bytes(view[:size])
        self.store.call(self.url, "stage_block", block_id, data, length=size, validate_content=True)
        self._blocks.append(block_id)
        del self._buffer[:size]

    def _commit(self) -> None:
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock, ContentSettings

        kind = mimetypes.guess_type(self.url)[0] or "application/octet-stream"
        self.store.call(
            self.url,
            "commit_block_list",
            [BlobBlock(block_id=block_id) for block_id in self._blocks],
            content_settings=ContentSettings(content_type=kind),
            match_condition=MatchConditions.IfMissing,
        )
