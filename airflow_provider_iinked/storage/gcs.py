"""Google Cloud Storage: a resumable upload; nothing is visible before it is completed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from airflow_provider_iinked.storage.base import ObjectInfo, Upload
from airflow_provider_iinked.storage.fsspec_store import FsspecStore, StreamUpload


class GcsStore(FsspecStore):
    """Google Cloud Storage, through gcsfs."""

    extra: ClassVar[str | None] = "gcs"

    def _start_upload(self, url: str, size: int) -> Upload:
        return ResumableUpload(self, url, size)

    @classmethod
    def console_url(cls, folder: str) -> str | None:
        """Name the bucket's page in Google's console."""
        parts = urlsplit(folder)
        path = quote(parts.path.strip("/"))
        bucket = quote(parts.netloc.rpartition("@")[2])
        return f"https://console.cloud.google.com/storage/browser/{bucket}{f'/{path}' if path else ''}"


class ResumableUpload(StreamUpload):
    """A resumable upload of Google Cloud Storage: nothing is visible before it is completed."""

    _options: ClassVar[Mapping[str, Any]] = {"autocommit": False}

    def __init__(self, store: GcsStore, url: str, size: int) -> None:
        super().__init__(store, url, size)
        self._stream = self._open(store.path(url))
        self._open_yet = True

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._stream.write(data)

    def publish(self) -> ObjectInfo | None:
        """Complete the upload."""
        self._stream.close()
        self._refuse_taken_name()
        self._stream.commit()
        self._open_yet = False
        return self.store.info(self.url)

    def discard(self) -> None:
        """Abort the upload."""
        if self._open_yet:
            self._open_yet = False
            self._stream.discard()
            self._stream.closed = True
