"""One package's download: what to copy and what to accept, decided once its list and its folders are known."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_iinked import metrics
from airflow_provider_iinked.download.api import RecordingApi
from airflow_provider_iinked.download.context import PackageContext, Place
from airflow_provider_iinked.download.errors import partial_failure_error
from airflow_provider_iinked.download.recording import DELETED, NOT_LISTED, MissingRecording, RecordingCopy
from airflow_provider_iinked.download.request import keep_package_fields, sort_recordings
from airflow_provider_iinked.exceptions import IinkedSignError, NotArchivedError, VerificationError
from airflow_provider_iinked.models import StoredVideo, Video, VideoList
from airflow_provider_iinked.storage.layout import Kind, ids_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderScan:
    """
    What a package's folder has at one destination.

    :param recorded: ids with a custody record, by their case-folded spelling.
    :param erased: case-folded ids with a tombstone.
    """

    recorded: Mapping[str, str]
    erased: frozenset[str]


class PackageDownload:
    """
    The download of one package. All but :meth:`scan` is called in the task's own thread.

    :param context: what its recordings share.
    :param listing: its recordings as listed now.
    """

    def __init__(self, context: PackageContext, listing: VideoList) -> None:
        self._request = context.request
        self._listing = listing
        self._selection = sort_recordings(listing, context.request.meeting_video_ids)
        self._stored: dict[str, tuple[StoredVideo, ...]] = {}
        self._failures: dict[str, IinkedSignError] = {}
        self.context = context
        self._fields: Mapping[str, Any] | IinkedSignError | None = None
        self.pending = 0
        """Recordings that are not finished."""

    @property
    def package_id(self) -> str:
        """The package."""
        return self.context.package_id

    def read_fields(self, api: RecordingApi) -> Mapping[str, Any]:
        """
        Read the package fields to keep in the records; once, whatever comes of it.

        :param api: the API's calls.
        :return: the fields.
        :raises IinkedSignError: when they cannot be read or kept.
        """
        names = self._request.package_fields
        if self._fields is None:
            try:
                self._fields = keep_package_fields(api.get_package(self.package_id), names) if names else {}
            except IinkedSignError as error:
                self._fields = error
        if isinstance(self._fields, IinkedSignError):
            raise self._fields
        return self._fields

    def scan(self) -> dict[str, FolderScan]:
        """
        Remove what killed runs left, then list the package's folder at each destination. May run in any thread.

        :return: what each destination has.
        :raises StorageError: when a folder cannot be listed.
        """
        return {url: _scan_destination(place) for url, place in self.context.places.items()}

    def plan(self, scans: Mapping[str, FolderScan]) -> list[RecordingCopy | MissingRecording]:
        """
        Decide what is to be done for each recording; what needs nothing more is settled here.

        :param scans: what each destination has.
        :return: the recordings to copy, then those to accept.
        """
        erased = {video_id for scan in scans.values() for video_id in scan.erased}
        items: list[RecordingCopy | MissingRecording] = [
            RecordingCopy(self.context, video, _recorded_at(scans, video)) for video in self._selection.archived
        ]
        items += self._accept_deleted(scans) + self._accept_missing(scans)
        planned = [item for item in items if item.meeting_video_id.casefold() not in erased]
        for item in items:
            if item.meeting_video_id.casefold() in erased:
                self._refuse_erased(item.meeting_video_id)
        self._report_not_archived()
        self.pending = len(planned)
        return planned

    def _accept_deleted(self, scans: Mapping[str, FolderScan]) -> list[MissingRecording]:
        return [
            MissingRecording(self.context, _spelling(scans, video_id), DELETED) for video_id in self._selection.deleted
        ]

    def _accept_missing(self, scans: Mapping[str, FolderScan]) -> list[MissingRecording]:
        """Recordings that the platform no longer lists: the selected ones, or all that were copied before."""
        unlisted: Sequence[str] = self._selection.unlisted
        if self._request.meeting_video_ids is None:
            recorded = {key: video_id for scan in scans.values() for key, video_id in scan.recorded.items()}
            unlisted = [video_id for video_id in recorded.values() if self._listing.find(video_id) is None]
        return [MissingRecording(self.context, _spelling(scans, video_id), NOT_LISTED) for video_id in unlisted]

    def _refuse_erased(self, video_id: str) -> None:
        """A copy that was erased on purpose is not made again; for a selected recording that is a failure."""
        reason = "its copy was erased on purpose, as its tombstone says, and is not made again"
        if self._request.leaves_out:
            log.info("Video %s: %s.", video_id, reason)
        else:
            self._failures[video_id] = VerificationError(f"{reason}; move the tombstone away to copy it again")

    def _report_not_archived(self) -> None:
        for video in self._selection.later:
            if self._request.leaves_out:
                log.info("Video %s is %r: skipped; not archived yet.", video.meeting_video_id, video.state)
            else:
                self._failures[video.meeting_video_id] = NotArchivedError(f"it is {video.state!r}, not archived yet")

    def add_copies(self, video_id: str, stored: tuple[StoredVideo, ...], *, copied_bytes: int = 0) -> None:
        """
        Note the copies of a recording that is done.

        :param video_id: the recording.
        :param stored: its copies.
        :param copied_bytes: bytes of those that this task made.
        """
        self._stored[video_id] = stored
        if copied_bytes:
            metrics.count(metrics.VIDEOS_COPIED)
            metrics.count(metrics.BYTES_COPIED, copied_bytes)

    def add_failure(self, video_id: str, error: IinkedSignError, *, missing: bool = False) -> None:
        """
        Keep one recording's error for the end, so that the others are copied.

        :param video_id: the recording.
        :param error: what is wrong.
        :param missing: whether it is gone from the platform: a failure only where it was selected.
        """
        log.error("Video %s: %s", video_id, error)
        if not (missing and self._request.leaves_out):
            self._failures[video_id] = error

    def verified(self) -> list[StoredVideo]:
        """
        List what is copied and verified so far.

        :return: the copies, in the order in which their recordings were selected or are listed.
        """
        return [copy for video_id in self._order() for copy in self._stored[video_id]]

    def result(self) -> list[StoredVideo]:
        """
        Conclude the package.

        :return: its copies, in the order selected or listed.
        :raises IinkedSignError: when a recording could not be copied.
        """
        folders = ", ".join(place.folder for place in self.context.places.values())
        order = self._order()
        if self._failures:
            raise partial_failure_error(self.package_id, folders, order, self._failures)
        log.info("Package %s: %d recordings are copied and verified at %s.", self.package_id, len(order), folders)
        return self.verified()

    def _order(self) -> list[str]:
        keys = [video.meeting_video_id for video in self._listing.videos]
        keys = list(self._request.meeting_video_ids) if self._request.meeting_video_ids is not None else keys
        positions = {video_id.casefold(): position for position, video_id in enumerate(keys)}
        return sorted(self._stored, key=lambda video_id: positions.get(video_id.casefold(), len(positions)))


def _scan_destination(place: Place) -> FolderScan:
    names = place.store.list_names(place.folder)
    place.store.remove_stale(place.folder, names)
    return FolderScan(
        recorded={video_id.casefold(): video_id for video_id in ids_of(names, Kind.RECORD)},
        erased=frozenset(video_id.casefold() for video_id in ids_of(names, Kind.TOMBSTONE)),
    )


def _recorded_at(scans: Mapping[str, FolderScan], video: Video) -> frozenset[str]:
    return frozenset(url for url, scan in scans.items() if video.meeting_video_id.casefold() in scan.recorded)


def _spelling(scans: Mapping[str, FolderScan], video_id: str) -> str:
    """An id as the record's name spells it, where there is a record."""
    found = (scan.recorded.get(video_id.casefold()) for scan in scans.values())
    return next((spelled for spelled in found if spelled is not None), video_id)
