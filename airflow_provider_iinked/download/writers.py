"""
Writing one recording to one destination or to several, from one read of its source.

With several, each destination has a thread and a bounded buffer of its own. A store that fails, or that takes nothing
for too long while its buffer is full, is left behind: its copy fails, the others go on.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Final

from airflow_provider_iinked.exceptions import IinkedSignError, StorageError, most_retryable, reason_of
from airflow_provider_iinked.storage import Upload
from airflow_provider_iinked.storage.errors import storage_error

log = logging.getLogger(__name__)

UploadOpener = Callable[[str, int], Upload]
"""Begins an upload for a file name suffix and a size."""

_BUFFERED_CHUNKS: Final = 16
_CANCEL_TIMEOUT: Final = 1.0
STALL_TIMEOUT: Final = 60.0
"""Seconds for which a store may take nothing while its buffer is full."""


class SingleWriter:
    """
    The upload to the only destination, written in the downloading thread.

    :param destination: where it goes.
    :param open_upload: begins it.
    """

    def __init__(self, destination: str, open_upload: UploadOpener) -> None:
        self._destination = destination
        self._open_upload = open_upload
        self._upload: Upload | None = None
        self.failures: dict[str, IinkedSignError] = {}
        """Always empty: what fails here is raised at once."""

    @property
    def uploads(self) -> Mapping[str, Upload]:
        """The upload that has all bytes, by destination."""
        return {self._destination: self._upload} if self._upload is not None else {}

    @property
    def local_path(self) -> str | None:
        """Path of the unpublished copy, where it is a file of this worker."""
        return self._upload.local_path if self._upload is not None else None

    def start(self, suffix: str, size: int) -> None:
        """
        Begin the upload.

        :param suffix: the recording's file name suffix.
        :param size: its bytes.
        """
        self._upload = self._open_upload(suffix, size)

    def write(self, data: bytes) -> None:
        """
        Append bytes.

        :param data: the bytes.
        """
        if self._upload is not None:
            self._upload.write(data)

    def finish(self) -> None:
        """Do nothing: all bytes are written."""

    def discard(self) -> None:
        """Discard the upload."""
        upload, self._upload = self._upload, None
        if upload is not None:
            discard_upload(upload)


class FanOutWriter:
    """
    The uploads to several destinations.

    :param openers: begins the upload of each destination.
    """

    def __init__(self, openers: Mapping[str, UploadOpener]) -> None:
        self._openers = openers
        self._branches: dict[str, _Branch] = {}

    @property
    def failures(self) -> dict[str, IinkedSignError]:
        """What went wrong, by destination."""
        return {url: branch.failure for url, branch in self._branches.items() if branch.failure is not None}

    @property
    def uploads(self) -> Mapping[str, Upload]:
        """The uploads that have all bytes, by destination; complete after :meth:`finish`."""
        found = {url: branch.upload for url, branch in self._branches.items() if branch.failure is None}
        return {url: upload for url, upload in found.items() if upload is not None}

    def start(self, suffix: str, size: int) -> None:
        """
        Begin all uploads, side by side.

        :param suffix: the recording's file name suffix.
        :param size: its bytes.
        """
        self._branches = {
            url: _Branch(url, opener, suffix, size, STALL_TIMEOUT) for url, opener in self._openers.items()
        }

    def write(self, data: bytes) -> None:
        """
        Append bytes to each upload that is still good.

        :param data: the bytes.
        :raises StorageError: when none is.
        """
        for branch in self._branches.values():
            branch.put(data)
        self._check_any_left()

    def finish(self) -> None:
        """
        Wait until each upload has all bytes.

        :raises StorageError: when none has.
        """
        for branch in self._branches.values():
            branch.put(None)
        for branch in self._branches.values():
            branch.join()
        self._check_any_left()

    def discard(self) -> None:
        """Discard all uploads. A store that does not answer cleans up when it does."""
        branches, self._branches = self._branches, {}
        for branch in branches.values():
            branch.cancel()

    def _check_any_left(self) -> None:
        failures = self.failures
        if len(failures) == len(self._branches):
            reasons = "; ".join(str(error) for error in failures.values())
            raise most_retryable(failures.values(), f"No destination takes the copy: {reasons}")


class _Branch:
    """One upload, written by a thread of its own."""

    def __init__(self, url: str, opener: UploadOpener, suffix: str, size: int, stall_timeout: float) -> None:
        self._url = url
        self._stall_timeout = stall_timeout
        self._chunks: queue.Queue[bytes | None] = queue.Queue(_BUFFERED_CHUNKS)
        self._cancelled = threading.Event()
        self._opener, self._suffix, self._size = opener, suffix, size
        self.upload: Upload | None = None
        self.failure: IinkedSignError | None = None
        self._thread = threading.Thread(target=self._work, name="iinked-copy", daemon=True)
        self._thread.start()

    def put(self, data: bytes | None) -> None:
        if self.failure is not None:
            return
        try:
            self._chunks.put(data, timeout=self._stall_timeout)
        except queue.Full:
            self._fail_stalled()

    def join(self) -> None:
        """Wait for the thread, as long as it takes chunks."""
        left = self._chunks.qsize()
        while self._thread.is_alive() and self.failure is None:
            self._thread.join(self._stall_timeout)
            if self._thread.is_alive() and self._chunks.qsize() >= left:
                self._fail_stalled()
            left = self._chunks.qsize()

    def cancel(self) -> None:
        self._cancelled.set()
        # Wakes the thread when it waits for a chunk; a full buffer means that it has one.
        with contextlib.suppress(queue.Full):
            self._chunks.put_nowait(None)
        self._thread.join(_CANCEL_TIMEOUT)
        if not self._thread.is_alive() and self.upload is not None:
            discard_upload(self.upload)

    def _fail_stalled(self) -> None:
        self._cancelled.set()
        self.failure = StorageError(
            f"{self._url} took nothing for {self._stall_timeout:.0f} s; its copy was given up. Check the storage; "
            "clearing the task is safe"
        )

    def _work(self) -> None:
        try:
            self.upload = self._opener(self._suffix, self._size)
            while not self._cancelled.is_set() and (data := self._chunks.get()) is not None:
                if not self._cancelled.is_set():
                    self.upload.write(data)
        except IinkedSignError as error:
            self._fail(error)
        except Exception as error:
            self._fail(storage_error("write the copy", self._url, error))
        if self._cancelled.is_set() and self.upload is not None:
            discard_upload(self.upload)

    def _fail(self, error: IinkedSignError) -> None:
        self.failure = self.failure or error
        self._cancelled.set()
        # Nobody may wait for room in the buffer of a branch that has failed.
        while True:
            try:
                self._chunks.get_nowait()
            except queue.Empty:
                return


def discard_upload(upload: Upload) -> None:
    """
    Discard an upload. A clean-up that fails is a warning: it must not hide the error that it follows, nor end the task.

    :param upload: the upload.
    """
    try:
        upload.discard()
    except Exception as error:
        log.warning(
            "The unfinished upload of %s could not be removed (%s); a later run removes it.",
            upload.url,
            reason_of(error),
        )
