"""One recording from its host: resumable, so that the task's own thread can supply a fresh URL and let it go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow_provider_iinked.api.retries import MAX_TOTAL_WAIT, backoff
from airflow_provider_iinked.download.hashing import BackgroundSha256
from airflow_provider_iinked.download.http import (
    HostConnectionError,
    RecordingHost,
    RecordingHosts,
    RecordingStream,
)
from airflow_provider_iinked.download.response import DownloadResponse, ResponseAction, classify_response, known_total
from airflow_provider_iinked.download.stopping import StopSignal
from airflow_provider_iinked.exceptions import IinkedSignError, StorageError, TransferError
from airflow_provider_iinked.media.container import SNIFF_SIZE, container_suffix, looks_like_page
from airflow_provider_iinked.storage.errors import advice_on, reason_of_store

if TYPE_CHECKING:
    from airflow_provider_iinked.download.media_check import RecordingCheck

CHUNK: Final = 1 << 20
_MAX_FRESH_URLS: Final = 3
STOPPED: Final = "The download was stopped; nothing was published."
_PAGE: Final = "its host answers with a page instead of a recording"


class UrlExpiredError(Exception):
    """The signed URL has expired; go on with a fresh one. Never leaves this package."""


class CopyWriter(Protocol):
    """Where the bytes of a recording go: nothing is visible under a final name before it is published."""

    def start(self, suffix: str, size: int) -> None:
        """
        Begin.

        :param suffix: the recording's file name suffix.
        :param size: its bytes.
        :raises StorageError: when no copy can be begun.
        """

    def write(self, data: bytes) -> None:
        """
        Append bytes.

        :param data: the bytes.
        :raises StorageError: when no copy can be written any more.
        """

    def discard(self) -> None:
        """Leave nothing behind. May be called again; a later :meth:`start` begins from the first byte."""


@dataclass(frozen=True)
class DownloadedRecording:
    """
    A recording that is whole and hashed, but not published.

    :param size: its bytes.
    :param sha256: hex digest.
    :param content_type: the host's Content-Type.
    :param media: what the media check found; None where it was not requested.
    """

    size: int
    sha256: str
    content_type: str
    media: Mapping[str, Any] | None = None


class RecordingDownloader:
    """
    Download one recording. Call :meth:`run` in any thread, again with a fresh URL as often as it asks for one.

    :param writer: takes the bytes.
    :param expected_size: the API's ``size``; None where it is known to be inexact, or unknown.
    :param timeout: seconds for connecting, and for each read.
    :param max_retries: how often to try again without getting any further.
    :param stop: ends the download at its next chunk.
    :param hosts: how the hosts of recordings are reached.
    :param start_check: begins the media check of a recording with a suffix; None for none.
    """

    def __init__(
        self,
        writer: CopyWriter,
        *,
        expected_size: int | None,
        timeout: float,
        max_retries: int,
        stop: StopSignal,
        hosts: RecordingHosts,
        start_check: Callable[[str], RecordingCheck] | None = None,
    ) -> None:
        self._writer = writer
        self._expected_size = expected_size
        self._max_retries = max_retries
        self._stop = stop
        self._host = RecordingHost(timeout, hosts)
        self._digest = BackgroundSha256()
        self._started = False
        self._start_check = start_check
        self._check: RecordingCheck | None = None
        self._validator: str | None = None
        self._content_type = ""
        self._furthest = 0
        self._failures = 0
        self._fresh_urls = 0
        self._waited = 0.0
        self._in_storage = threading.Lock()
        self.done = 0
        self.total: int | None = expected_size

    def run(self, url: str) -> DownloadedRecording:
        """
        Download what is missing.

        :param url: the signed URL.
        :return: the whole recording.
        :raises UrlExpiredError: when a fresh URL is needed; what arrived so far is kept.
        :raises TransferError: when it cannot be downloaded whole, or was stopped.
        :raises StorageError: when the storage fails.
        """
        while True:
            try:
                self._attempt(url)
            except HostConnectionError as error:
                self._pause(str(error), None)
            except (UrlExpiredError, IinkedSignError):
                raise
            except Exception as error:
                # A host may send what nobody has thought of; that must not end the downloads of other recordings.
                raise TransferError(
                    f"The recording cannot be downloaded ({type(error).__name__}); nothing was published."
                ) from None
            else:
                if self._started and self.done == self.total:
                    media = self._check.finish() if self._check is not None else None
                    return DownloadedRecording(self.done, self._digest.finish(), self._content_type, media)

    def storing(self) -> threading.Lock:
        """
        Give the lock that is held while the storage is written to.

        :return: a context manager; :meth:`abandon` in another thread waits for its end.
        """
        return self._in_storage

    def close_socket(self) -> None:
        """End a read that is under way in another thread."""
        self._host.close()

    def abandon(self, timeout: float = -1) -> bool:
        """
        Leave nothing of it behind.

        :param timeout: seconds to wait for a write that is under way in another thread; -1 for as long as it takes.
        :return: False when the storage still holds that thread, which cleans up itself then.
        """
        self._host.close()
        if not self._in_storage.acquire(timeout=timeout):
            return False
        try:
            self._discard()
        finally:
            self._in_storage.release()
        return True

    def release(self) -> None:
        """Free socket and thread; what was written stays."""
        self._host.release()
        self._digest.finish()

    def _attempt(self, url: str) -> None:
        self._check_stop()
        if self.done and self._validator is None:
            self._start_over()
        headers = {"Range": f"bytes={self.done}-", "If-Range": self._validator or ""} if self.done else {}
        stream = self._host.open(url, headers)
        try:
            response = DownloadResponse(stream.status, stream.headers)
            action = classify_response(response, offset=self.done, validator=self._validator, total=self.total)
            if action is ResponseAction.TRY_AGAIN:
                self._pause(f"its host answers HTTP {response.status}", response.wait)
            elif action is ResponseAction.NEW_URL:
                self._ask_fresh_url(f"its host answers HTTP {response.status}")
            elif action is ResponseAction.GIVE_UP:
                raise TransferError(f"The recording's host answers HTTP {response.status}; nothing was published.")
            elif action is ResponseAction.START_OVER:
                self._start_over()
                self._pause("what was downloaded so far cannot be continued", None)
            else:
                self._check_head(response)
                start = self._begin(stream, response) if action is ResponseAction.WHOLE else b""
                self._read(stream, response, start)
        finally:
            stream.close()

    def _check_head(self, response: DownloadResponse) -> None:
        if response.lengths_contradict:
            raise HostConnectionError("its host gives two lengths")
        if response.compressions:
            raise TransferError(
                f"The recording's host sends it compressed ({', '.join(response.compressions)}) although asked not to; "
                "nothing was published."
            )

    def _begin(self, stream: RecordingStream, response: DownloadResponse) -> bytes:
        """Read the first bytes, which outrank what the head says of their kind; then agree on the length."""
        start = stream.read(CHUNK, minimum=SNIFF_SIZE)
        if not start:
            raise HostConnectionError("its host answers without any bytes")
        if container_suffix(start) is None and looks_like_page(start, response.content_type):
            self._ask_fresh_url(_PAGE)
        self._start_over()
        self.total, problem = known_total(response, self._expected_size)
        if problem:
            raise TransferError(
                f"The length of the recording is in doubt: {problem}; nothing was published. Where the API's size is "
                "known to be inexact, set check_size=False."
            )
        self._validator = response.validator
        self._content_type = response.content_type
        return start

    def _read(self, stream: RecordingStream, response: DownloadResponse, start: bytes) -> None:
        total = self.total or 0
        data = start or stream.read(CHUNK)
        while data:
            self._check_stop()
            if self.done + len(data) > total:
                raise TransferError(f"The recording goes on after {total} bytes, its length; nothing was published.")
            if not self._started:
                self._start(data)
            self._digest.update(data)
            self._write(data)
            self.done += len(data)
            data = stream.read(CHUNK)
        if self.done < total:
            raise HostConnectionError(f"it broke off after {self.done} of {total} bytes")

    def _start(self, first: bytes) -> None:
        suffix = container_suffix(first)
        if suffix is None:
            raise TransferError("What the recording's host sends is no video container; nothing was published.")
        with self._in_storage:
            self._check_stop()
            if self._start_check is not None:
                self._check = self._start_check(suffix)
            self._writer.start(suffix, self.total or 0)
            self._started = True

    def _write(self, data: bytes) -> None:
        try:
            with self._in_storage:
                self._check_stop()
                if self._check is not None:
                    self._check.feed(data)
                self._writer.write(data)
        except IinkedSignError:
            raise
        except Exception as error:
            raise StorageError(
                f"Writing the copy failed after {self.done} bytes ({reason_of_store(error)}); nothing was published. "
                f"{advice_on(error)}"
            ) from None

    def _check_stop(self) -> None:
        if self._stop.requested:
            raise TransferError(STOPPED)

    def _start_over(self) -> None:
        with self._in_storage:
            self._discard()
        self._digest.finish()
        self._digest = BackgroundSha256()
        self._validator = None
        self.done = 0

    def _discard(self) -> None:
        self._started = False
        check, self._check = self._check, None
        if check is not None:
            check.discard()
        self._writer.discard()

    def _ask_fresh_url(self, why: str) -> None:
        self._note_progress()
        self._fresh_urls += 1
        if self._fresh_urls > _MAX_FRESH_URLS:
            raise TransferError(
                f"The recording cannot be downloaded: {why}, with fresh URLs too; nothing was published."
            )
        raise UrlExpiredError(why)

    def _pause(self, why: str, wait: float | None) -> None:
        """Wait before the next try, as long as the retries last; getting any further renews them."""
        self._check_stop()
        self._note_progress()
        self._failures += 1
        self._waited += wait or 0.0
        if self._failures > self._max_retries or self._waited > MAX_TOTAL_WAIT:
            asked = f"; it asks to come back in {wait:.0f} s" if wait else ""
            raise TransferError(
                f"The recording cannot be downloaded: {why} (after {self._failures} tries{asked}); "
                "nothing was published."
            )
        if self._stop.wait(backoff(self._failures) if wait is None else wait):
            raise TransferError(STOPPED)

    def _note_progress(self) -> None:
        if self.done > self._furthest:
            self._furthest = self.done
            self._failures = self._fresh_urls = 0
