"""One recording on its way to every destination: check what is there, download once, publish and record each copy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

from airflow_provider_iinked.download.context import PackageContext, Place
from airflow_provider_iinked.download.downloader import (
    STOPPED,
    DownloadedRecording,
    RecordingDownloader,
    UrlExpiredError,
)
from airflow_provider_iinked.download.existing_copy import CopyState
from airflow_provider_iinked.download.media_check import RecordingCheck
from airflow_provider_iinked.download.publication import PublishedCopy, Publisher, ensure_locked
from airflow_provider_iinked.download.retention import Retention
from airflow_provider_iinked.download.workers import WorkerPool
from airflow_provider_iinked.download.writers import FanOutWriter, SingleWriter, UploadOpener
from airflow_provider_iinked.exceptions import (
    IinkedSignError,
    NotArchivedError,
    RecordingDeletedError,
    StorageError,
    TransferError,
    VerificationError,
    most_retryable,
)
from airflow_provider_iinked.models import StoredVideo, Video, parse_time
from airflow_provider_iinked.storage import Upload
from airflow_provider_iinked.storage.layout import Layout, name_of
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.quarantine import quarantine
from airflow_provider_iinked.storage.url import join

log = logging.getLogger(__name__)

T = TypeVar("T")

NOT_LISTED = "not listed by the platform"
DELETED = "deleted on the platform"


class RecordingCopy:
    """
    The copies of one recording. Workers call :meth:`inspect` and :meth:`download`, never at the same time.

    :param context: what it shares with its package.
    :param video: the recording as listed.
    :param recorded: the destinations that have a custody record of it.
    """

    def __init__(self, context: PackageContext, video: Video, recorded: frozenset[str]) -> None:
        self._context = context
        self.video = video
        self._uninspected = list(recorded)
        self._valid: dict[str, StoredVideo] = {}
        self._published: dict[str, StoredVideo] = {}
        self._fields: Mapping[str, Any] = {}
        self._writer: SingleWriter | FanOutWriter | None = None
        self._downloader: RecordingDownloader | None = None

    @property
    def meeting_video_id(self) -> str:
        """Its id."""
        return self.video.meeting_video_id

    @property
    def needs_inspection(self) -> bool:
        """Whether a destination has a record of it that was not looked at yet."""
        return bool(self._uninspected)

    @property
    def done(self) -> int:
        """Bytes downloaded so far."""
        return self._downloader.done if self._downloader is not None else 0

    @property
    def total(self) -> int | None:
        """Bytes in all, where known."""
        return self._downloader.total if self._downloader is not None else self.video.size

    @property
    def bytes_copied(self) -> int:
        """Bytes of the copies that this task made."""
        return sum(stored.size for stored in self._published.values())

    def stored(self) -> tuple[StoredVideo, ...]:
        """
        Name the copies.

        :return: those that are verified so far, in the order of the destinations.
        """
        found = {**self._valid, **self._published}
        return tuple(found[url] for url in self._context.places if url in found)

    def inspect(self) -> bool:
        """
        Check what is there: keep a valid copy, quarantine an invalid one.

        :return: whether every destination has its copy, so that there is nothing to download.
        :raises VerificationError: when something is there that is another's.
        :raises StorageError: when it cannot be checked or moved.
        """
        while self._uninspected:
            self._keep_or_quarantine(self._uninspected.pop())
        return len(self._valid) == len(self._context.places)

    def _keep_or_quarantine(self, destination: str) -> None:
        video_id = self.video.meeting_video_id
        store = self._context.places[destination].store
        existing = self._context.inspect(destination, video_id, self.video)
        if existing.state is CopyState.FOREIGN:
            raise VerificationError(f"the custody record at the destination is of another origin: {existing.reason}")
        if existing.state is CopyState.VALID and existing.stored:
            log.info("Video %s: its copy is there and agrees with its record; kept.", video_id)
            self._valid[destination] = ensure_locked(store, existing.stored, self._lock())
            return
        # The record goes first: of two runs that found it invalid, one alone may go on to the copy.
        for url, seen in zip(existing.quarantine, existing.seen, strict=True):
            if not quarantine(store, url, existing.reason, seen=seen):
                raise StorageError(
                    f"{url} changed during the check; another run is writing to it, and nothing was moved. "
                    "Clearing the task is safe"
                )

    def prepare(self, video: Video, fields: Mapping[str, Any]) -> None:
        """
        Take what the task's own thread has found out, before :meth:`download`.

        :param video: the recording as listed last.
        :param fields: the package fields to keep in the records.
        """
        self.video = video
        self._fields = fields
        if self._downloader is None:
            self._writer = self._new_writer()
            request = self._context.request
            self._downloader = RecordingDownloader(
                self._writer,
                expected_size=video.size if request.check_size else None,
                timeout=self._context.timeout,
                max_retries=self._context.max_retries,
                stop=self._context.stop,
                hosts=self._context.hosts,
                start_check=self._start_check if self._context.examiner is not None else None,
            )

    def download(self, url: str) -> Callable[[], None]:
        """
        Download the recording, then publish each copy.

        :param url: the signed URL.
        :return: writes the records of the copies. It is to be called, in any thread, also when the task ends: a copy
            without a record has to be read again by the next run.
        :raises UrlExpiredError: when a fresh URL is needed; what arrived so far is kept.
        :raises IinkedSignError: when a copy cannot be made; whole copies at other destinations stay.
        """
        if self._downloader is None or self._writer is None:
            raise TransferError("The download was not prepared.")
        try:
            recording = self._downloader.run(url)
            with self._downloader.storing():
                self._writer.finish()
                published = self._publish(recording, self._writer.uploads)
                failures = {**self._writer.failures, **published.failures}
        except UrlExpiredError:
            if self._context.stop.requested:
                self.abandon()
            raise
        except BaseException:
            self.abandon()
            raise
        self.abandon()
        return partial(self._record, recording, published.results, failures)

    def _publish(
        self, recording: DownloadedRecording, uploads: Mapping[str, Upload]
    ) -> _AtEach[PublishedCopy | StoredVideo]:
        if self._context.stop.requested:
            raise TransferError(STOPPED)
        self._compare_with_valid(recording)
        return _at_each(
            {
                destination: partial(self._publisher(destination).publish, self.video, recording, upload)
                for destination, upload in uploads.items()
            }
        )

    def _record(
        self,
        recording: DownloadedRecording,
        published: Mapping[str, PublishedCopy | StoredVideo],
        failures: Mapping[str, IinkedSignError],
    ) -> None:
        """Write and sign the records of the copies that were published."""
        recorded = _at_each(
            {
                destination: partial(self._record_one, recording, destination, copy)
                for destination, copy in published.items()
            }
        )
        self._published.update(recorded.results)
        if self._context.request.retention is not None and self._lock() is None:
            log.warning(
                "Video %s: retain_for has ended already, counted from when it was made; its copy is not locked.",
                self.meeting_video_id,
            )
        for stored in recorded.results.values():
            log.info(
                "Video %s: copied to %s, %d bytes, sha256 %s.",
                self.meeting_video_id,
                stored.uri,
                stored.size,
                stored.sha256,
            )
        if failed := {**failures, **recorded.failures}:
            raise self._failed_destinations(failed)

    def _record_one(
        self, recording: DownloadedRecording, destination: str, copy: PublishedCopy | StoredVideo
    ) -> StoredVideo:
        publisher = self._publisher(destination)
        name = name_of(copy.uri)
        others = [
            self._valid[url].uri if url in self._valid else join(place.folder, name)
            for url, place in self._context.places.items()
            if url != destination
        ]
        return publisher.record(self.video, recording, copy, copies=others, lock=self._lock())

    def _publisher(self, destination: str) -> Publisher:
        context = self._context
        store = context.places[destination].store
        request = context.request
        return Publisher(store, context.api_base, context.package_id, request.task, self._fields, request.signer)

    def _compare_with_valid(self, recording: DownloadedRecording) -> None:
        for stored in self._valid.values():
            if (stored.size, stored.sha256) != (recording.size, recording.sha256):
                raise VerificationError(
                    f"the recording's host sends other bytes than the verified copy {stored.uri} has; no further copy "
                    "was published. Find out which is right, move the other away, then clear the task"
                )

    def _failed_destinations(self, failed: Mapping[str, IinkedSignError]) -> IinkedSignError:
        if len(self._context.places) == 1:
            return next(iter(failed.values()))
        reasons = "; ".join(f"no copy at {url}: {error}" for url, error in failed.items())
        whole = ", ".join(stored.uri for stored in self.stored()) or "none"
        return most_retryable(failed.values(), f"{reasons}. Whole copies, which stay and are kept by a retry: {whole}")

    def _new_writer(self) -> SingleWriter | FanOutWriter:
        openers = {url: self._opener(url) for url in self._context.places if url not in self._valid}
        if len(openers) == 1:
            return SingleWriter(*next(iter(openers.items())))
        return FanOutWriter(openers)

    def _opener(self, destination: str) -> UploadOpener:
        place = self._context.places[destination]
        layout = Layout(place.folder)
        lock = self._lock()
        return lambda suffix, size: place.store.upload(layout.copy(self.meeting_video_id, suffix), size, lock=lock)

    def _lock(self) -> Lock | None:
        """The lock of copy and record; none without retain_for, or when its time has passed already."""
        return _lock_for(self._context.request.retention, self.video.time_created)

    def _start_check(self, suffix: str) -> RecordingCheck:
        examiner, writer = self._context.examiner, self._writer
        if examiner is None or writer is None:
            raise TransferError("The media check was not prepared; nothing was published.")
        destination = next((url for url in self._context.places if url not in self._valid), "")
        if isinstance(writer, SingleWriter) and self._context.places[destination].store.on_worker_disk:
            return examiner.in_place(suffix, self.video.duration, lambda: writer.local_path)
        return examiner.spooled(suffix, self.video.duration)

    def close_socket(self) -> None:
        """End a read of the recording's host that is under way in another thread."""
        if self._downloader is not None:
            self._downloader.close_socket()

    def abandon(self) -> None:
        """Leave nothing unpublished behind. Called by the worker itself, or when no worker has it."""
        if self._downloader is not None:
            self._downloader.abandon()
            self._downloader.release()

    def interrupt(self, timeout: float) -> bool:
        """
        Leave nothing unpublished behind although a worker may still be at it.

        :param timeout: seconds to wait for a write that is under way.
        :return: False when the storage still holds the worker, which cleans up itself then.
        """
        return self._downloader is None or self._downloader.abandon(timeout)


class MissingRecording:
    """
    A recording that is no longer at the source: done when every destination has its valid copy.

    :param context: what it shares with its package.
    :param meeting_video_id: its id.
    :param how: how it is gone: :data:`DELETED` or :data:`NOT_LISTED`.
    """

    def __init__(self, context: PackageContext, meeting_video_id: str, how: str) -> None:
        self._context = context
        self.meeting_video_id = meeting_video_id
        self._how = how

    def accept(self) -> tuple[StoredVideo, ...]:
        """
        Accept the copies that are there.

        :return: the copies, one for each destination.
        :raises RecordingDeletedError: when it is deleted, and a copy or a record's signature is missing.
        :raises NotArchivedError: when it is not listed, and a copy or a record's signature is missing.
        :raises VerificationError: when a copy does not agree with its record.
        :raises StorageError: when a copy cannot be locked as retain_for says.
        """
        found = []
        for destination, place in self._context.places.items():
            existing = self._context.inspect(destination, self.meeting_video_id, None)
            kind = RecordingDeletedError if self._how == DELETED else NotArchivedError
            if existing.state is CopyState.ABSENT:
                raise kind(f"{self._how}, and there is no copy at {place.folder}")
            if existing.state is CopyState.UNSIGNED:
                raise kind(
                    f"{self._how}, so that nothing can show that the record of its copy at {place.folder} is true, and "
                    f"{existing.reason}. It was not signed. For an archive that was begun before it was signed, seal "
                    "it with allow_unsigned; otherwise look who removed the envelope"
                )
            if existing.state is not CopyState.VALID or existing.stored is None:
                raise VerificationError(
                    f"{self._how}, and its copy at {place.folder} is not verified: {existing.reason}"
                )
            self._ensure_lock(place, existing.stored)
            found.append(existing.stored)
        log.info("Video %s is %s; its copy is there and agrees with its record.", self.meeting_video_id, self._how)
        return tuple(found)

    def _ensure_lock(self, place: Place, stored: StoredVideo) -> None:
        """Lock a copy that was made without the lock; its record says when the recording was made."""
        if (retention := self._context.request.retention) is None:
            return
        _, record = place.store.read_json(stored.custody_uri)
        video = record.get("video") if isinstance(record, dict) else None
        made = parse_time(video.get("timeCreated")) if isinstance(video, dict) else None
        ensure_locked(place.store, stored, _lock_for(retention, made))


def _lock_for(retention: Retention | None, time_created: datetime | None) -> Lock | None:
    if retention is None:
        return None
    until = retention.end_for(time_created)
    return Lock(retention.mode, until) if until > datetime.now(UTC) else None


@dataclass(frozen=True)
class _AtEach(Generic[T]):
    """What came of the same call at each destination."""

    results: Mapping[str, T]
    failures: Mapping[str, IinkedSignError]


def _at_each(calls: Mapping[str, Callable[[], T]]) -> _AtEach[T]:
    """Make a call for each destination side by side, the first of them in this thread."""
    first, *others = calls or [""]
    pool = WorkerPool(len(others))
    running = {destination: pool.submit(calls[destination]) for destination in others}
    results: dict[str, T] = {}
    failures: dict[str, IinkedSignError] = {}
    for destination, call in calls.items():
        try:
            results[destination] = call() if destination == first else running[destination].result()
        except IinkedSignError as error:
            failures[destination] = error
    pool.close()
    return _AtEach(results, failures)
