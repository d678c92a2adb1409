"""One recording on its way: resumable, so that the task's own thread can hand it a fresh URL and send it on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import requests
from urllib3.exceptions import HTTPError

from airflow_provider_iinked.api.retries import MAX_TOTAL_WAIT, backoff
from airflow_provider_iinked.download.hashing import Digest
from airflow_provider_iinked.download.http import Source, SourceBrokenError
from airflow_provider_iinked.download.response import Answer, ResponseAction, classify_response, known_total
from airflow_provider_iinked.exceptions import IinkedSignError, StorageError, TransferError, reason_of
from airflow_provider_iinked.media.container import SNIFF_SIZE, container_suffix, looks_like_page
from airflow_provider_iinked.storage import Upload

if TYPE_CHECKING:
    from airflow_provider_iinked.media.streamed import MediaCheck

CHUNK: Final = 1 << 20
_LEAST_CHUNK: Final = 16 << 10
_MOST_FRESH_URLS: Final = 3


class UrlEndedError(Exception):
    """The signed URL has ended; go on with a fresh one. Never leaves the archive."""


@dataclass(frozen=True)
class Fetched:
    """
    A recording that is whole and hashed, but not published.

    :param upload: where its bytes are.
    :param size: its bytes.
    :param sha256: hex digest.
    :param content_type: the host's Content-Type.
    :param media: what checking that it plays found out; None where that was not asked for.
    """

    upload: Upload
    size: int
    sha256: str
    content_type: str
    media: Mapping[str, Any] | None = None


class Fetch:
    """
    Fetch one recording. Call :meth:`run` in any thread, again and again with fresh URLs as it asks for them.

    :param start_upload: opens an upload for a suffix and a size.
    :param expected_size: the API's ``size``; None where it is not to be trusted, or unknown.
    :param timeout: seconds for connecting, and for each read.
    :param max_retries: how often to try again without getting any further.
    :param stop: set when the task ends; a transfer then stops at its next chunk.
    :param start_check: makes what checks that a recording of a suffix and a size plays; None to leave that out.
    """

    def __init__(
        self,
        start_upload: Callable[[str, int], Upload],
        *,
        expected_size: int | None,
        timeout: float,
        max_retries: int,
        stop: threading.Event,
        start_check: Callable[[str, int], MediaCheck] | None = None,
    ) -> None:
        self._start_upload = start_upload
        self._expected_size = expected_size
        self._max_retries = max_retries
        self._stop = stop
        self._source = Source(timeout)
        self._digest = Digest()
        self._upload: Upload | None = None
        self._start_check = start_check
        self._check: MediaCheck | None = None
        self._validator: str | None = None
        self._content_type = ""
        self._furthest = 0
        self._failures = 0
        self._fresh_urls = 0
        self._waited = 0.0
        self._chunk = CHUNK
        self.done = 0
        self.total: int | None = expected_size

    def run(self, url: str) -> Fetched:
        """
        Fetch what is missing.

        :param url: the signed URL.
        :return: the whole recording.
        :raises UrlEndedError: when a fresh URL is needed; what is fetched so far is kept.
        :raises TransferError: when it cannot be fetched whole.
        :raises StorageError: when the storage fails.
        """
        while True:
            try:
                self._attempt(url)
            except (SourceBrokenError, requests.RequestException, HTTPError, OSError) as error:
                self._pause(str(error) if isinstance(error, SourceBrokenError) else type(error).__name__, None)
            except (UrlEndedError, IinkedSignError):
                raise
            except Exception as error:
                # A host may send what nobody has thought of; that must not end the transfers of other recordings.
                raise TransferError(
                    f"The recording cannot be fetched ({type(error).__name__}); nothing was published."
                ) from None
            else:
                if self._upload is not None and self.done == self.total:
                    media = self._check.finish() if self._check is not None else None
                    return Fetched(self._upload, self.done, self._digest.finish(), self._content_type, media)

    def abandon(self) -> None:
        """Leave nothing of it behind."""
        self._source.close()
        self._digest.finish()
        if self._upload is not None:
            self._upload.discard()
            self._upload = None

    def close(self) -> None:
        """Close the sockets; what was fetched stays."""
        self._source.close()

    def _attempt(self, url: str) -> None:
        if self.done and self._validator is None:
            self._start_over()
        headers = {"Range": f"bytes={self.done}-", "If-Range": self._validator or ""} if self.done else {}
        response = self._source.open(url, headers)
        try:
            answer = Answer(response.status_code, {name.lower(): text for name, text in response.headers.items()})
            meaning = classify_response(answer, offset=self.done, validator=self._validator, total=self.total)
            if meaning is ResponseAction.TRY_AGAIN:
                self._pause(f"its host answers HTTP {answer.status}", answer.wait)
            elif meaning is ResponseAction.NEW_URL:
                self._ask_fresh_url(f"its host answers HTTP {answer.status}")
            elif meaning is ResponseAction.GIVE_UP:
                raise TransferError(f"The recording's host answers HTTP {answer.status}; nothing was published.")
            elif meaning is ResponseAction.START_OVER:
                self._start_over()
                self._pause("what was fetched so far cannot be continued", None)
            else:
                self._check_kind(answer)
                if meaning is ResponseAction.WHOLE:
                    self._begin(response, answer)
                self._read(response, answer)
        finally:
            response.close()

    def _check_kind(self, answer: Answer) -> None:
        if answer.is_encoded:
            raise TransferError(
                "The recording's host sends it compressed although asked not to; nothing was published."
            )
        if looks_like_page(b"", answer.content_type):
            self._ask_fresh_url("its host answers with a page instead of a recording")

    def _begin(self, response: requests.Response, answer: Answer) -> None:
        self._start_over()
        self.total, problem = known_total(answer, self._expected_size)
        if problem:
            if looks_like_page(response.raw.read(SNIFF_SIZE, decode_content=False), answer.content_type):
                self._ask_fresh_url("its host answers with a page instead of a recording")
            if answer.length == 0:
                raise SourceBrokenError("its host answers without any bytes")
            raise TransferError(
                f"The length of the recording is in doubt: {problem}; nothing was published. Where the API's size is "
                "known to be inexact, set check_size=False."
            )
        self._validator = answer.validator
        self._content_type = answer.content_type

    def _read(self, response: requests.Response, answer: Answer) -> None:
        total = self.total or 0
        while data := response.raw.read(self._chunk, decode_content=False):
            if self._stop.is_set():
                raise TransferError("The transfer was stopped; nothing was published.")
            if self._upload is None:
                self._upload = self._open_upload(data, answer)
            if self.done + len(data) > total:
                raise TransferError(
                    f"The recording goes on after {total} bytes, its length as told; nothing was published."
                )
            self._digest.update(data)
            if self._check is not None:
                self._check.feed(data)
            self._write(data)
            self.done += len(data)
        if self.done < total:
            raise SourceBrokenError(f"it broke off after {self.done} of {total} bytes")
        if not self.done:
            raise SourceBrokenError("its host answers without any bytes")

    def _open_upload(self, start: bytes, answer: Answer) -> Upload:
        suffix = container_suffix(start)
        if suffix is None:
            if looks_like_page(start, answer.content_type):
                self._ask_fresh_url("its host answers with a page instead of a recording")
            raise TransferError("What the recording's host sends is no video container; nothing was published.")
        if self._start_check is not None:
            self._check = self._start_check(suffix, self.total or 0)
        return self._start_upload(suffix, self.total or 0)

    def _write(self, data: bytes) -> None:
        try:
            if self._upload is not None:
                self._upload.write(data)
        except IinkedSignError:
            raise
        except Exception as error:
            raise StorageError(
                f"Writing the copy failed after {self.done} bytes ({reason_of(error)}); nothing was published."
            ) from None

    def _start_over(self) -> None:
        if self._upload is not None:
            self._upload.discard()
            self._upload = None
        self._check = None
        self._digest.finish()
        self._digest = Digest()
        self._validator = None
        self.done = 0

    def _ask_fresh_url(self, why: str) -> None:
        self._note_progress()
        self._fresh_urls += 1
        if self._fresh_urls > _MOST_FRESH_URLS:
            raise TransferError(f"The recording cannot be fetched: {why}, with fresh URLs too; nothing was published.")
        raise UrlEndedError(why)

    def _pause(self, why: str, wait: float | None) -> None:
        """Wait before the next try, as long as patience lasts; getting any further renews it."""
        self._note_progress()
        self._failures += 1
        self._waited += wait or 0.0
        if self._failures > self._max_retries or self._waited > MAX_TOTAL_WAIT:
            asked = f"; it asks to come back in {wait:.0f} s" if wait else ""
            raise TransferError(
                f"The recording cannot be fetched: {why} (after {self._failures} tries{asked}); nothing was published."
            )
        if self._stop.wait(backoff(self._failures) if wait is None else wait):
            raise TransferError("The transfer was stopped; nothing was published.")

    def _note_progress(self) -> None:
        if self.done > self._furthest:
            self._furthest = self.done
            self._failures = self._fresh_urls = 0
        else:
            # A connection that is reset takes with it what was not yet read as a whole chunk.
            self._chunk = max(_LEAST_CHUNK, self._chunk // 4)
