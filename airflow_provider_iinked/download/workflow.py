"""Carrying out an order: threads move bytes; looking, masking, publishing and talking to the API stay in the task's."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pendulum

from airflow_provider_iinked import metrics
from airflow_provider_iinked.custody.provenance import temp_file_token
from airflow_provider_iinked.custody.record import listing_mismatches
from airflow_provider_iinked.download.downloader import Fetch, Fetched, UrlEndedError
from airflow_provider_iinked.download.errors import incomplete
from airflow_provider_iinked.download.existing_copy import Existing, Verdict, look
from airflow_provider_iinked.download.log_masking import mask_signed_url
from airflow_provider_iinked.download.progress import Progress
from airflow_provider_iinked.download.publication import Publisher
from airflow_provider_iinked.download.request import DownloadRequest, Selection, keep_package_fields, select
from airflow_provider_iinked.exceptions import (
    IinkedSignError,
    NotArchivedError,
    RecordingDeletedError,
    StorageError,
    TransferError,
    VerificationError,
)
from airflow_provider_iinked.media.streamed import MediaCheck, require_parser
from airflow_provider_iinked.models import StoredVideo, Video, VideoList
from airflow_provider_iinked.storage import open_store
from airflow_provider_iinked.storage.layout import Kind, Layout, ids_of
from airflow_provider_iinked.storage.quarantine import quarantine
from airflow_provider_iinked.storage.url import check_destination, join

if TYPE_CHECKING:
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

log = logging.getLogger(__name__)

_TICK: Final = 1.0
_URL_MARGIN: Final = 30


def download_videos(hook: IinkedSignHook, order: DownloadRequest) -> list[StoredVideo]:
    """
    Copy recordings, prove the copies, write their custody records. Running it again keeps what is whole.

    :param hook: the API.
    :param order: what to copy, and where to.
    :return: the copies that are proved, in the order they were asked for or listed.
    :raises InvalidArgumentError: when the destination cannot be used; before any request.
    :raises IinkedSignError: after everything else is copied, when something could not be; what is copied stays.
    """
    return _Archive(hook, order).run()


class _Archive:
    """The state of one order."""

    def __init__(self, hook: IinkedSignHook, order: DownloadRequest) -> None:
        self._hook = hook
        self._order = order
        destination = check_destination(order.destination)
        if order.check_media:
            require_parser()
        self._folder = join(destination, order.package_id)
        self._store = open_store(destination, temp_file_token(order.stamp))
        self._stored: dict[str, StoredVideo] = {}
        self._failures: dict[str, IinkedSignError] = {}
        self._erased: set[str] = set()

    def run(self) -> list[StoredVideo]:
        order = self._order
        if order.meeting_video_ids == ():
            log.info("Package %s: an empty list of recordings, nothing to copy.", order.package_id)
            return []
        log.info("iinked Sign API: %s", self._hook.api_base)
        if self._store.on_worker_disk:
            log.warning("%s is a disk of this worker; see to it that it outlives the worker.", self._folder)
        listing = VideoList(self._hook.list_videos(order.package_id))
        selection = select(listing, order.meeting_video_ids)
        self._store.remove_stale(self._folder)
        recorded = self._recorded()
        to_fetch = [video for video in selection.archived if not self._is_there(video, recorded)]
        self._fetch_all(to_fetch)
        self._look_for_gone(selection, listing, recorded)
        self._note_later(selection)
        return self._result(listing)

    def _recorded(self) -> dict[str, str]:
        """Ids with a custody record at the destination, by their case-folded spelling."""
        names = self._store.list_names(self._folder)
        self._erased = {video_id.casefold() for video_id in ids_of(names, Kind.TOMBSTONE)}
        return {video_id.casefold(): video_id for video_id in ids_of(names, Kind.RECORD)}

    def _look(self, meeting_video_id: str, video: Video | None) -> Existing:
        return look(
            self._store,
            self._folder,
            api_base=self._hook.api_base,
            package_id=self._order.package_id,
            meeting_video_id=meeting_video_id,
            video=video,
        )

    def _is_there(self, video: Video, recorded: dict[str, str]) -> bool:
        """Keep a copy that is whole; set aside one that is not; True when nothing is to be fetched."""
        if self._was_erased(video.meeting_video_id):
            return True
        if video.meeting_video_id.casefold() not in recorded:
            return False
        with self._noting(video.meeting_video_id):
            existing = self._look(video.meeting_video_id, video)
            if existing.verdict is Verdict.WHOLE and existing.stored:
                log.info("Video %s: its copy is there and agrees with its record; kept.", video.meeting_video_id)
                self._stored[video.meeting_video_id] = existing.stored
            elif existing.verdict is Verdict.FOREIGN:
                raise VerificationError(f"what lies at the destination is not this recording's: {existing.reason}")
            else:
                self._set_aside(existing)
                return False
        return True

    def _set_aside(self, existing: Existing) -> None:
        """The record goes first: of two runs that found it wanting, one alone may go on to the copy."""
        for url, judged in zip(existing.set_aside, existing.judged, strict=True):
            if not quarantine(self._store, url, existing.reason, seen=judged):
                raise StorageError(
                    f"{url} changed while it was looked at: another run is at work there, and nothing was moved. "
                    "Clearing the task is safe"
                )

    def _look_for_gone(self, selection: Selection, listing: VideoList, recorded: dict[str, str]) -> None:
        """Recordings that are gone from the platform are done when their copies are whole."""
        gone = dict.fromkeys(selection.deleted, "deleted on the platform")
        unlisted = list(selection.unlisted)
        if self._order.meeting_video_ids is None:
            unlisted = [video_id for video_id in recorded.values() if listing.find(video_id) is None]
        gone.update(dict.fromkeys(unlisted, "not listed by the platform"))
        for video_id, how in gone.items():
            if self._was_erased(video_id):
                continue
            with self._noting(video_id, selected_only=True):
                self._take_gone(recorded.get(video_id.casefold(), video_id), how)

    def _was_erased(self, video_id: str) -> bool:
        """A copy that was erased on purpose is not made anew; for a selected recording that is a failure."""
        if video_id.casefold() not in self._erased:
            return False
        told = "its copy was erased on purpose, as its tombstone says, and is not made anew"
        if self._order.meeting_video_ids is None or self._order.allow_partial:
            log.info("Video %s: %s.", video_id, told)
        else:
            self._failures[video_id] = VerificationError(f"{told}; move the tombstone away to copy it again")
        return True

    def _take_gone(self, video_id: str, how: str) -> None:
        existing = self._look(video_id, None)
        if existing.verdict is Verdict.WHOLE and existing.stored:
            log.info("Video %s is %s; its copy is there and agrees with its record.", video_id, how)
            self._stored[video_id] = existing.stored
            return
        if existing.verdict is Verdict.ABSENT:
            kind: type[IinkedSignError] = NotArchivedError if how.startswith("not listed") else RecordingDeletedError
            raise kind(f"{how}, and there is no copy at {self._folder}")
        raise VerificationError(f"{how}, and what lies at {self._folder} is not its proved copy: {existing.reason}")

    def _note_later(self, selection: Selection) -> None:
        for video in selection.later:
            if self._order.meeting_video_ids is None or self._order.allow_partial:
                log.info("Video %s is %r, not archived; left for another day.", video.meeting_video_id, video.state)
            else:
                self._failures[video.meeting_video_id] = NotArchivedError(f"it is {video.state!r}, not archived yet")

    @contextmanager
    def _noting(self, video_id: str, *, selected_only: bool = False) -> Iterator[None]:
        """Keep one recording's error for the end, so that the others are copied."""
        try:
            yield
        except IinkedSignError as error:
            log.error("Video %s: %s", video_id, error)
            left_out = self._order.meeting_video_ids is None or self._order.allow_partial
            if not (selected_only and left_out):
                self._failures[video_id] = error

    def _result(self, listing: VideoList) -> list[StoredVideo]:
        positions = {video.meeting_video_id.casefold(): n for n, video in enumerate(listing.videos)}
        if self._order.meeting_video_ids is not None:
            positions = {video_id.casefold(): n for n, video_id in enumerate(self._order.meeting_video_ids)}
        order = sorted(self._stored, key=lambda video_id: positions.get(video_id.casefold(), len(positions)))
        stored = [self._stored[video_id] for video_id in order]
        if self._failures:
            raise incomplete(self._order.package_id, self._folder, stored, self._failures)
        log.info(
            "Package %s: %d recordings are copied and proved at %s.", self._order.package_id, len(stored), self._folder
        )
        return stored

    # --- fetching -----------------------------------------------------------------------------------------------

    def _fetch_all(self, videos: list[Video]) -> None:
        if not videos:
            return
        names = self._order.package_fields
        fields = keep_package_fields(self._hook.get_package(self._order.package_id), names) if names else {}
        publisher = Publisher(self._store, self._hook.api_base, self._order.package_id, self._order.stamp, fields)
        stop = threading.Event()
        waiting = deque(videos)
        running: dict[Future[Fetched], tuple[Video, Fetch]] = {}
        progress = Progress()
        pool = ThreadPoolExecutor(self._order.max_parallel, thread_name_prefix="iinked-download")
        try:
            while waiting or running:
                while waiting and len(running) < self._order.max_parallel:
                    video = waiting.popleft()
                    self._send_on(pool, running, video, self._new_fetch(video, stop), fresh=False)
                done, _ = wait(running, timeout=_TICK, return_when=FIRST_COMPLETED)
                for future in done:
                    self._take(pool, running, publisher, future)
                progress.log((video.meeting_video_id, fetch) for video, fetch in running.values())
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
            for _, fetch in running.values():
                fetch.abandon()

    def _new_fetch(self, video: Video, stop: threading.Event) -> Fetch:
        settings = self._hook.settings
        layout = Layout(self._folder)
        return Fetch(
            lambda suffix, size: self._store.upload(layout.copy(video.meeting_video_id, suffix), size),
            expected_size=video.size if self._order.check_size else None,
            timeout=settings.timeout,
            max_retries=settings.max_retries,
            stop=stop,
            start_check=self._start_check(video) if self._order.check_media else None,
        )

    def _start_check(self, video: Video) -> Callable[[str, int], MediaCheck]:
        return lambda suffix, size: MediaCheck(suffix, size, video.duration)

    def _send_on(
        self,
        pool: ThreadPoolExecutor,
        running: dict[Future[Fetched], tuple[Video, Fetch]],
        video: Video,
        fetch: Fetch,
        *,
        fresh: bool,
    ) -> None:
        """Give a transfer a URL that is good, and a thread."""
        with self._noting(video.meeting_video_id):
            if fresh or _url_has_ended(video):
                video = self._list_again(video)
            url = video.url
            if url is None:
                raise TransferError("the API gives no URL for it although it is archived")
            mask_signed_url(url, public=(self._order.package_id, video.meeting_video_id))
            running[pool.submit(fetch.run, url)] = (video, fetch)
            return
        fetch.abandon()

    def _take(
        self,
        pool: ThreadPoolExecutor,
        running: dict[Future[Fetched], tuple[Video, Fetch]],
        publisher: Publisher,
        future: Future[Fetched],
    ) -> None:
        """Take what a thread has fetched: publish it, send it on with a fresh URL, or note what is wrong."""
        video, fetch = running.pop(future)
        started = time.monotonic()
        try:
            with self._noting(video.meeting_video_id):
                fetched = future.result()
                stored = publisher.publish(video, fetched)
                self._stored[video.meeting_video_id] = stored
                metrics.count(metrics.VIDEOS_COPIED)
                metrics.count(metrics.BYTES_COPIED, stored.size)
                log.info(
                    "Video %s: copied to %s, %d bytes, sha256 %s (published in %.1f s).",
                    video.meeting_video_id,
                    stored.uri,
                    stored.size,
                    stored.sha256,
                    time.monotonic() - started,
                )
        except UrlEndedError as ended:
            log.info("Video %s: %s; asking the API for a fresh URL.", video.meeting_video_id, ended)
            self._send_on(pool, running, video, fetch, fresh=True)
        else:
            fetch.abandon()

    def _list_again(self, video: Video) -> Video:
        now = VideoList(self._hook.list_videos(self._order.package_id)).find(video.meeting_video_id)
        if now is None or not now.is_archived:
            state = "no longer listed" if now is None else f"{now.state!r} now"
            raise NotArchivedError(f"it is {state}; it disappeared while it was being copied")
        if problems := listing_mismatches({"video": video.public_fields()}, now):
            raise TransferError(f"it changed while it was being copied: {'; '.join(problems)}")
        return now


def _url_has_ended(video: Video) -> bool:
    ends = video.time_url_expires
    return video.url is None or (ends is not None and ends <= pendulum.now("UTC").add(seconds=_URL_MARGIN))
