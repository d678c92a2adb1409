"""
Azure Blob Storage: blocks are staged unseen and committed in one call, under the condition that the name is free.

adlfs is used for its connection only: its file object publishes whatever it holds when it is closed or forgotten.
"""

from __future__ import annotations

import mimetypes
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.upload import Upload

if TYPE_CHECKING:
    from airflow_provider_iinked.storage.store import Store

_BLOCK: Final = 8 << 20
_MOST_BLOCKS: Final = 45_000
_COPY_POLL: Final = 0.5


class BlockUpload(Upload):
    """Blocks of 8 MiB or more. Azure drops blocks that are never committed: at the next commit, or after a week."""

    def __init__(self, store: Store, url: str, size: int) -> None:
        super().__init__(store, url, size)
        self._block_size = max(_BLOCK, -(-size // _MOST_BLOCKS))
        self._buffer = bytearray()
        self._blocks: list[str] = []

    def write(self, data: bytes) -> None:
        """Append bytes; a block is staged when it is full."""
        self._buffer += data
        while len(self._buffer) >= self._block_size:
            self._stage(self._block_size)

    def publish(self) -> None:
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

    def discard(self) -> None:
        """Forget the blocks; nothing of them was ever visible."""
        self._buffer.clear()
        self._blocks.clear()

    def _stage(self, size: int) -> None:
        # All ids of one blob must be of one length, those of other writers included; adlfs uses this form too.
        block_id = uuid.uuid4().hex
        with memoryview(self._buffer) as view:
            data = bytes(view[:size])
        blob_call(self.store, self.url, "stage_block", block_id, data, length=size, validate_content=True)
        self._blocks.append(block_id)
        del self._buffer[:size]

    def _commit(self) -> None:
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock, ContentSettings

        kind = mimetypes.guess_type(self.url)[0] or "application/octet-stream"
        blob_call(
            self.store,
            self.url,
            "commit_block_list",
            [BlobBlock(block_id=block_id) for block_id in self._blocks],
            content_settings=ContentSettings(content_type=kind),
            match_condition=MatchConditions.IfMissing,
        )


def finish_copy(store: Store, url: str) -> None:
    """
    Wait for a copy on the server's side: Azure answers before it is done, and drops it when its source is removed.

    :param store: the storage.
    :param url: the copy.
    :raises StorageError: when it failed.
    """
    while True:
        status = blob_call(store, url, "get_blob_properties").copy.status
        if status in (None, "success"):
            return
        if status != "pending":
            raise StorageError(f"The store could not copy to {url}: {status}. Nothing was removed.")
        time.sleep(_COPY_POLL)


def blob_call(store: Store, url: str, method: str, *args: Any, **kwargs: Any) -> Any:
    """
    Call a method of the SDK's blob client, on the file system's own event loop.

    :param store: the storage.
    :param url: the blob.
    :param method: the method's name.
    :return: what it returns.
    """
    from fsspec.asyn import sync

    container, blob, _ = store.fs.split_path(store.path(url))

    async def call() -> Any:
        async with store.fs.service_client.get_blob_client(container, blob) as client:
            return await getattr(client, method)(*args, **kwargs)

    return sync(store.fs.loop, call)
