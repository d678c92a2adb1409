"""
The download of one package or many: workers check, download, publish and record; what must be in the task's own thread
(the API, fresh URLs, masking, opening stores) stays there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, Final, TypeVar

import pendulum

from airflow_provider_iinked.api.errors import concerns_all
from airflow_provider_iinked.custody.provenance import temp_file_token
from airflow_provider_iinked.custody.record import listing_mismatches
from airflow_provider_iinked.download.api import RecordingApi
from airflow_provider_iinked.download.context import PackageContext, Place
from airflow_provider_iinked.download.downloader import STOPPED, UrlExpiredError
from airflow_provider_iinked.download.errors import batch_failure_error
from airflow_provider_iinked.download.http import RecordingHosts
from airflow_provider_iinked.download.log_masking import UrlMasker
from airflow_provider_iinked.download.media_check import MediaExaminer
from airflow_provider_iinked.download.package import PackageDownload
from airflow_provider_iinked.download.progress import BatchState, Progress
from airflow_provider_iinked.download.recording import MissingRecording, RecordingCopy
from airflow_provider_iinked.download.request import DownloadRequest
from airflow_provider_iinked.download.stopping import StopSignal
from airflow_provider_iinked.download.workers import WorkerPool
from airflow_provider_iinked.exceptions import (
    IinkedSignError,
    InvalidArgumentError,
    NotArchivedError,
    StorageError,
    TaskStoppedError,
    TransferError,
    UnrequestedDeletionError,
    VerificationError,
)
from airflow_provider_iinked.media.check import require_pyav
from airflow_provider_iinked.models import StoredVideo, Video, VideoList
from airflow_provider_iinked.storage import Store, open_store
from airflow_provider_iinked.storage.layout import Layout

log = logging.getLogger(__name__)

T = TypeVar("T")

_TICK: Final = 0.25
_STOP_GRACE: Final = 3.0
_URL_MARGIN: Final = 30
_OF_ONE_RECORDING: Final = (TransferError, StorageError, NotArchivedError, VerificationError, InvalidArgumentError)


def download_videos(
    api: RecordingApi,
    request: DownloadRequest,
    *,
    stop: StopSignal | None = None,
    on_partial: Callable[[list[StoredVideo]], None] | None = None,
) -> list[StoredVideo]:
    """
    Copy recordings, verify the copies, write their custody records. Running it again keeps what is whole.

    :param api: the API's calls.
    :param request: what to copy, and where to.
    :param stop: ends the download when it is requested: nothing more is published, nothing unpublished is left.
    :param on_partial: called with the verified copies of a task in which some of several packages failed, right before
        its error is raised; with none when an answer was about something that was not requested.
    :return: the verified copies, in the order of packages, recordings and destinations.
    :raises InvalidArgumentError: when a destination cannot be used; before any API call.
    :raises IinkedSignError: after everything else is copied, when something could not be; what is copied stays.
    """
    return _Download(api, request, stop or StopSignal(), on_partial).run()


class _Download:
    """The state of one request."""

    def __init__(
        self,
        api: RecordingApi,
        request: DownloadRequest,
        stop: StopSignal,
        on_partial: Callable[[list[StoredVideo]], None] | None,
    ) -> None:
        self._api = api
        self._on_partial = on_partial
        self._verified: dict[str, list[StoredVideo]] = {}
        self._request = request
        self._stop = stop
        self._examiner: MediaExaminer | None = None
        if request.check_media:
            require_pyav()
            self._examiner = MediaExaminer(request.check_media, request.media_spool_dir, lambda: stop.requested)
            self._examiner.prepare()
        self._stores = _open_stores(request.destinations, temp_file_token(request.task))
        if request.retention is not None:
            for url, store in self._stores.items():
                store.require_locks(url)
        self._unlisted = deque(request.packages.ids)
        self._ready: deque[tuple[PackageDownload, RecordingCopy | MissingRecording]] = deque()
        self._running: dict[Future[Any], Callable[[], None]] = {}
        self._finishing: dict[Future[Any], Callable[[], None]] = {}
        self._copying: dict[int, RecordingCopy] = {}
        self._results: dict[str, list[StoredVideo]] = {}
        self._errors: dict[str, IinkedSignError] = {}
        self._not_begun: list[str] = []
        self._recordings_done = self._bytes_done = 0
        self._pool = WorkerPool(request.max_parallel)
        self._records = WorkerPool(request.max_parallel) if request.max_parallel > 1 else None
        self._progress = Progress()
        self._masker = UrlMasker()
        self._hosts = RecordingHosts()

    def run(self) -> list[StoredVideo]:
        request = self._request
        if request.meeting_video_ids == () or not request.packages.ids:
            log.info("%s: an empty list, nothing to copy.", request.packages.label)
            return []
        log.info("iinked Sign API: %s", self._api.api_base)
        for destination, store in self._stores.items():
            if store.on_worker_disk:
                log.warning("%s is on this worker's local disk. Use shared or persistent storage.", destination)
        cleaner = threading.Thread(target=self._clean_up_when_stopped, name="iinked-cleaner", daemon=True)
        cleaner.start()
        try:
            self._work()
        finally:
            self._stop.request()
            self._pool.close()
            cleaner.join(2 * _STOP_GRACE)
            if self._records is not None:
                self._records.close()
        return self._result()

    def _work(self) -> None:
        while self._unlisted or self._ready or self._running or self._finishing:
            if self._stop.requested:
                raise TaskStoppedError(f"{STOPPED} Clearing the task is safe: whole copies are kept.")
            self._list_packages()
            # A fetch waits only where records are written so slowly that they pile up.
            most = self._request.max_parallel
            while self._ready and len(self._running) < most and len(self._finishing) < 2 * most:
                self._submit(*self._ready.popleft())
            done, _ = wait([*self._running, *self._finishing], timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in done:
                (self._running if future in self._running else self._finishing).pop(future)()
            if self._progress.is_due:
                transfers = [(copy.meeting_video_id, copy) for copy in self._copying.values()]
                self._progress.log(transfers, self._state())

    def _clean_up_when_stopped(self) -> None:
        """Runs beside the task's own thread, which may be held by the API, or inside a signal handler."""
        self._stop.wait()
        copies = tuple(self._copying.values())
        for copy in copies:
            copy.close_socket()
        until = time.monotonic() + (_STOP_GRACE if copies else 0)
        # A copy that is published gets its record. What the task's own thread knows of may be behind the workers.
        for pool in filter(None, (self._pool, self._records)):
            wait(pool.unfinished(), timeout=max(0.0, until - time.monotonic()))
        for copy in copies:
            if not copy.interrupt(timeout=0.1):
                log.warning(
                    "Video %s: the storage does not answer; a later run removes its unfinished upload.",
                    copy.meeting_video_id,
                )

    def _state(self) -> BatchState:
        return BatchState(
            packages=len(self._request.packages.ids),
            packages_done=len(self._results) + len(self._errors),
            recordings_done=self._recordings_done,
            at_work=len(self._copying),
            bytes_done=self._bytes_done + sum(copy.done for copy in self._copying.values()),
        )

    def _start(self, call: Callable[[], T], collect: Callable[[Future[T]], None]) -> None:
        future = self._pool.submit(call)
        self._running[future] = partial(collect, future)

    # --- packages -----------------------------------------------------------------------------------------------

    def _list_packages(self) -> None:
        """List the next packages, as far ahead as keeps the workers busy: URLs end while they wait."""
        while self._unlisted and len(self._ready) + len(self._running) < 2 * self._request.max_parallel:
            package_id = self._unlisted.popleft()
            try:
                package = PackageDownload(self._context(package_id), VideoList(self._api.list_videos(package_id)))
            except IinkedSignError as error:
                self._fail_package(package_id, error)
            else:
                self._start(package.scan, partial(self._collect_scan, package))

    def _context(self, package_id: str) -> PackageContext:
        settings = self._api.settings
        return PackageContext(
            request=self._request,
            package_id=package_id,
            api_base=self._api.api_base,
            timeout=settings.timeout,
            max_retries=settings.max_retries,
            places={url: Place(store, Layout.of(url, package_id).folder) for url, store in self._stores.items()},
            stop=self._stop,
            hosts=self._hosts,
            examiner=self._examiner,
        )

    def _collect_scan(self, package: PackageDownload, future: Future[Any]) -> None:
        try:
            planned = package.plan(future.result())
        except IinkedSignError as error:
            self._fail_package(package.package_id, error)
            return
        self._ready.extend((package, recording) for recording in planned)
        self._finish_if_done(package)

    def _fail_package(self, package_id: str, error: IinkedSignError) -> None:
        if len(self._request.packages.ids) == 1:
            raise error
        log.error("Package %s failed: %s", package_id, error)
        self._errors[package_id] = error
        self._end_all_if_service(error)

    def _end_all_if_service(self, error: IinkedSignError) -> None:
        """Begin nothing more when an error concerns the service as a whole; what is at work is finished."""
        if isinstance(error, _OF_ONE_RECORDING) or not concerns_all(error):
            return
        self._not_begun.extend(self._unlisted)
        self._unlisted.clear()
        waiting, self._ready = self._ready, deque()
        for package, recording in waiting:
            package.add_failure(
                recording.meeting_video_id, type(error)("not begun, since the task ended for all recordings")
            )
            self._finish_one(package)

    def _finish_one(self, package: PackageDownload) -> None:
        package.pending -= 1
        self._finish_if_done(package)

    def _finish_if_done(self, package: PackageDownload) -> None:
        if package.pending:
            return
        self._verified[package.package_id] = package.verified()
        try:
            self._results[package.package_id] = package.result()
        except IinkedSignError as error:
            if len(self._request.packages.ids) > 1:
                log.error("%s", error)
            self._errors[package.package_id] = error

    def _result(self) -> list[StoredVideo]:
        packages = self._request.packages.ids
        if self._errors and len(packages) == 1:
            raise self._errors[packages[0]]
        if self._errors:
            ordered = {package_id: self._errors[package_id] for package_id in packages if package_id in self._errors}
            if self._on_partial is not None:
                self._on_partial(self._copies_to_hand_over())
            raise batch_failure_error(ordered, packages=len(packages), not_begun=self._not_begun)
        return [stored for package_id in packages for stored in self._results[package_id]]

    def _copies_to_hand_over(self) -> list[StoredVideo]:
        """What a deletion may go on with; nothing where an answer was about something that was not requested."""
        if any(isinstance(error, UnrequestedDeletionError) for error in self._errors.values()):
            return []
        return [copy for package_id in self._request.packages.ids for copy in self._verified.get(package_id, ())]

    # --- recordings ---------------------------------------------------------------------------------------------

    def _submit(self, package: PackageDownload, recording: RecordingCopy | MissingRecording) -> None:
        if isinstance(recording, MissingRecording):
            self._start(recording.accept, partial(self._collect_missing, package, recording))
        elif recording.needs_inspection:
            self._start(recording.inspect, partial(self._collect_inspection, package, recording))
        else:
            self._submit_download(package, recording, fresh=False)

    def _submit_download(self, package: PackageDownload, recording: RecordingCopy, *, fresh: bool) -> None:
        """Give a download a URL that is good, and a worker."""
        try:
            video = recording.video
            if fresh or _url_has_expired(video):
                video = self._list_again(package, video)
            url = video.url
            if url is None:
                raise TransferError("the API gives no URL for it although it is archived")
            self._masker.mask(url, public=(package.package_id, video.meeting_video_id))
            recording.prepare(video, package.read_fields(self._api))
        except IinkedSignError as error:
            recording.abandon()
            self._fail(package, recording, error)
            return
        self._copying[id(recording)] = recording
        self._start(partial(self._download, recording, url), partial(self._collect, package, recording))

    def _download(self, recording: RecordingCopy, url: str) -> Future[None]:
        """
        In a worker: fetch and publish; the records are written in another one, while this one fetches the next.

        They are handed on here, not in the task's own thread, which may have been told to end meanwhile.
        """
        write_records = recording.download(url)
        if self._records is not None:
            return self._records.submit(write_records)
        write_records()
        written: Future[None] = Future()
        written.set_result(None)
        return written

    def _collect(self, package: PackageDownload, recording: RecordingCopy, future: Future[Future[None]]) -> None:
        """Note what a worker has done, or let it go on with a fresh URL."""
        try:
            written = future.result()
        except UrlExpiredError as expired:
            log.info("Video %s: %s; requesting a fresh URL.", recording.meeting_video_id, expired)
            self._submit_download(package, recording, fresh=True)
        except IinkedSignError as error:
            self._fail(package, recording, error)
        else:
            self._finishing[written] = partial(self._collect_records, package, recording, written)

    def _collect_records(self, package: PackageDownload, recording: RecordingCopy, written: Future[None]) -> None:
        try:
            written.result()
        except IinkedSignError as error:
            self._fail(package, recording, error)
        else:
            self._copied(package, recording)

    def _collect_inspection(self, package: PackageDownload, recording: RecordingCopy, future: Future[bool]) -> None:
        try:
            complete = future.result()
        except IinkedSignError as error:
            self._fail(package, recording, error)
            return
        if complete:
            self._copied(package, recording)
        else:
            self._submit_download(package, recording, fresh=False)

    def _collect_missing(
        self, package: PackageDownload, recording: MissingRecording, future: Future[tuple[StoredVideo, ...]]
    ) -> None:
        try:
            package.add_copies(recording.meeting_video_id, future.result())
        except IinkedSignError as error:
            package.add_failure(recording.meeting_video_id, error, missing=True)
        self._finish_one(package)

    def _copied(self, package: PackageDownload, recording: RecordingCopy) -> None:
        self._copying.pop(id(recording), None)
        self._recordings_done += 1
        self._bytes_done += recording.done
        package.add_copies(recording.meeting_video_id, recording.stored(), copied_bytes=recording.bytes_copied)
        self._finish_one(package)

    def _fail(self, package: PackageDownload, recording: RecordingCopy, error: IinkedSignError) -> None:
        self._copying.pop(id(recording), None)
        package.add_failure(recording.meeting_video_id, error)
        self._finish_one(package)
        self._end_all_if_service(error)

    def _list_again(self, package: PackageDownload, video: Video) -> Video:
        now = VideoList(self._api.list_videos(package.package_id)).find(video.meeting_video_id)
        if now is None or not now.is_archived:
            state = "no longer listed" if now is None else f"{now.state!r} now"
            raise NotArchivedError(f"it is {state}; it disappeared while it was being copied")
        if problems := listing_mismatches({"video": video.public_fields()}, now):
            raise TransferError(f"it changed while it was being copied: {'; '.join(problems)}")
        return now


def _open_stores(destinations: Sequence[str], token: str | None) -> dict[str, Store]:
    """Open each destination; two that are lost together are refused."""
    stores: dict[str, Store] = {}
    domains: dict[str, str] = {}
    for url in destinations:
        store = open_store(url, token)
        domain = store.failure_domain(url) if len(destinations) > 1 else ""
        if domain in domains:
            raise InvalidArgumentError(
                f"The destinations {domains[domain]} and {url} are in one failure domain ({domain}): what takes one "
                "copy away takes the other one too. Nothing was sent. Use another bucket, container, host or disk."
            )
        domains[domain] = url
        stores[url] = store
    return stores


def _url_has_expired(video: Video) -> bool:
    expires = video.time_url_expires
    return video.url is None or (expires is not None and expires <= pendulum.now("UTC").add(seconds=_URL_MARGIN))
