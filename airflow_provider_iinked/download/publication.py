"""Publishing one whole copy under its final name, never over another, and writing its custody record last."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_iinked import __version__
from airflow_provider_iinked.custody.record import (
    TaskIdentity,
    VerifiedCopy,
    build_record,
    origin_mismatches,
    stored_beside,
)
from airflow_provider_iinked.download.downloader import DownloadedRecording
from airflow_provider_iinked.download.existing_copy import read_through
from airflow_provider_iinked.exceptions import IinkedSignError, StorageError, VerificationError
from airflow_provider_iinked.models import StoredVideo, Video
from airflow_provider_iinked.storage import ObjectInfo, Store, Upload
from airflow_provider_iinked.storage.base import json_bytes, parse_json
from airflow_provider_iinked.storage.errors import storage_error
from airflow_provider_iinked.storage.layout import Layout
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.quarantine import quarantine

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.signing import DocumentSigner

log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 3
_SETTLE = 0.5
_MAX_LOOKS = 120


@dataclass(frozen=True)
class PublishedCopy:
    """
    A copy under its final name.

    :param uri: its URI.
    :param info: what the store shows there.
    :param keeps_name: whether the store refuses later writers of its name.
    """

    uri: str
    info: ObjectInfo
    keeps_name: bool


def ensure_locked(store: Store, stored: StoredVideo, lock: Lock | None) -> StoredVideo:
    """
    Read back the locks of copy and record, and set those that are missing.

    :param store: the storage.
    :param stored: where copy and record are.
    :param lock: the lock that both shall have; None for none.
    :return: the same copy and record.
    :raises StorageError: when a lock is missing, weaker or ends earlier.
    """
    if lock is not None:
        store.ensure_lock(stored.uri, lock)
        store.ensure_lock(stored.custody_uri, lock)
    return stored


@dataclass(frozen=True)
class Publisher:
    """
    Publish the copies of one package at one destination. Threads may share it.

    :param store: the storage.
    :param api_base: the API they come from.
    :param package_id: the package.
    :param task: the running task.
    :param package_fields: package fields to keep in the records.
    :param signer: signs the records; None for nobody.
    """

    store: Store
    api_base: str
    package_id: str
    task: TaskIdentity
    package_fields: Mapping[str, Any]
    signer: DocumentSigner | None = None

    def publish(self, video: Video, recording: DownloadedRecording, upload: Upload) -> PublishedCopy | StoredVideo:
        """
        Publish a copy; or find that another run has done so, and verify its copy.

        :param video: the recording as listed.
        :param recording: what was downloaded.
        :param upload: its whole copy, not visible yet.
        :return: the copy, for :meth:`record`; or the verified one of another run, which has its record already.
        :raises VerificationError: when another run's record and copy do not agree.
        :raises StorageError: when the storage fails.
        """
        uri = upload.url
        claimed = self._claim_name(video, recording, upload, Layout.beside(uri).record(video.meeting_video_id))
        if isinstance(claimed, StoredVideo):
            return claimed
        if claimed is None or claimed.size != recording.size:
            raise StorageError(f"{uri} was written, but the store does not show {recording.size} bytes there.")
        return PublishedCopy(uri, claimed, upload.keeps_name)

    def record(
        self,
        video: Video,
        recording: DownloadedRecording,
        published: PublishedCopy | StoredVideo,
        *,
        copies: Sequence[str] = (),
        lock: Lock | None = None,
    ) -> StoredVideo:
        """
        Write the record of a published copy; or find that another run has done so, verify its copy and drop ours.

        :param video: the recording as listed.
        :param recording: what was downloaded.
        :param published: what :meth:`publish` returned.
        :param copies: URIs of its copies at the other destinations.
        :param lock: the lock that copy and record get, and that is read back; None for none.
        :return: where copy and record are.
        :raises VerificationError: when another run's record and copy do not agree.
        :raises StorageError: when the storage fails.
        """
        if isinstance(published, StoredVideo):
            return ensure_locked(self.store, published, lock)
        if lock is not None:
            self.store.ensure_lock(published.uri, lock)
        stored = self._record(video, recording, published, copies=copies, lock=lock)
        return ensure_locked(self.store, stored, lock)

    def _record(
        self,
        video: Video,
        recording: DownloadedRecording,
        copy: PublishedCopy,
        *,
        copies: Sequence[str],
        lock: Lock | None,
    ) -> StoredVideo:
        """
        Write the record of a published copy; no record may stay that stands for bytes that are not there.

        Another run may have set our copy aside, or we its copy, or either may have written over the other's where a
        store knows no conditions. So whoever finds a record that does not agree sets it aside if their own bytes are
        the ones that are there, and writes their own.
        """
        custody_uri = Layout.beside(copy.uri).record(video.meeting_video_id)
        own = StoredVideo(
            self.package_id, video.meeting_video_id, copy.uri, recording.size, recording.sha256, custody_uri
        )
        for _ in range(_MAX_ATTEMPTS):
            record = self._build_record(video, recording, copy, copies, lock)
            if self._create_record(own, record, lock):
                if copy.keeps_name or _is_same(copy.info, self.store.info(copy.uri)):
                    return own
            else:
                winner, problems = self._verified_winner(video, custody_uri)
                if winner is not None and not problems:
                    if winner.uri != copy.uri:
                        # The other run's copy has another suffix: ours would be there without a record.
                        self._remove(copy.uri)
                    return winner
                if winner is None or winner.uri != copy.uri:
                    raise _disagrees(video, custody_uri, problems)
            copy = self._withdraw_record(own, copy)
        raise StorageError(f"{custody_uri} could not be written: others take its name again and again.")

    def _create_record(self, stored: StoredVideo, record: Mapping[str, Any], lock: Lock | None) -> bool:
        if self.signer is None:
            return self.store.create_json(stored.custody_uri, record, lock=lock)
        return self.signer.create_record(self.store, stored, json_bytes(record), lock=lock)

    def _withdraw_record(self, own: StoredVideo, copy: PublishedCopy) -> PublishedCopy:
        """Set a record aside that does not stand for what is there; return our copy if that is what is there."""
        self._settle(copy.uri)
        seen = self.store.identity(own.custody_uri)
        is_ours = self.store.sha256(copy.uri) == (own.sha256, own.size)
        stored = stored_beside(self.store.read_json(own.custody_uri)[1], own.custody_uri)
        claims = (stored.sha256, stored.size) if stored is not None and stored.uri == copy.uri else None
        if is_ours or claims == (own.sha256, own.size):
            quarantine(self.store, own.custody_uri, "another run wrote its copy at the same time", seen=seen)
        info = self.store.info(copy.uri)
        if not is_ours or info is None:
            raise StorageError(
                f"Another run wrote other bytes to {copy.uri} at the same time; the record of these is not kept. "
                "Clear the task when no other run is at work there."
            )
        return replace(copy, info=info)

    def _build_record(
        self,
        video: Video,
        recording: DownloadedRecording,
        copy: PublishedCopy,
        copies: Sequence[str],
        lock: Lock | None,
    ) -> dict[str, Any]:
        return build_record(
            api_base=self.api_base,
            package_id=self.package_id,
            video=video,
            copy=VerifiedCopy(
                uri=copy.uri,
                size=recording.size,
                sha256=recording.sha256,
                content_type=recording.content_type,
                validator=copy.info.validator,
                modified=None if copy.info.validator else copy.info.modified,
            ),
            time=pendulum.now("UTC").isoformat(),
            stamp=self.task,
            provider_version=__version__,
            package_fields=self.package_fields,
            media=recording.media,
            copies=copies,
            lock=lock,
        )

    def _claim_name(
        self, video: Video, recording: DownloadedRecording, upload: Upload, custody_uri: str
    ) -> ObjectInfo | StoredVideo | None:
        """Give the copy its final name; return what the store shows there, or the copy of a run that came first."""
        uri = upload.url
        for _ in range(_MAX_ATTEMPTS):
            try:
                return upload.publish()
            except FileExistsError:
                self._settle(uri)
                seen = self.store.identity(uri)
                if self.store.read_json(custody_uri)[0]:
                    return self._verify_winner(video, custody_uri)
                if self.store.sha256(uri) == (recording.sha256, recording.size):
                    # A run that was killed before it wrote the record left the very same bytes.
                    return self.store.info(uri)
                quarantine(self.store, uri, "it has no custody record and is not the recording", seen=seen)
            except IinkedSignError:
                raise
            except Exception as error:
                raise storage_error("publish", uri, error) from None
        raise StorageError(f"{uri} could not be published: others take its name again and again.")

    def _settle(self, uri: str) -> None:
        """Where a copy can be seen before it is whole, wait while it still changes."""
        seen, again = None, self.store.identity(uri) if self.store.shows_unfinished else None
        for _ in range(_MAX_LOOKS):
            if again == seen:
                return
            time.sleep(_SETTLE)
            seen, again = again, self.store.identity(uri)

    def _verify_winner(self, video: Video, custody_uri: str) -> StoredVideo:
        """Verify the copy of the run that published first."""
        stored, problems = self._verified_winner(video, custody_uri)
        if stored is None or problems:
            raise _disagrees(video, custody_uri, problems)
        return stored

    def _verified_winner(self, video: Video, custody_uri: str) -> tuple[StoredVideo | None, list[str]]:
        """Check the copy of the run that published first; say what does not agree."""
        stored, problems = self._check_winner(video, custody_uri)
        for _ in range(_MAX_ATTEMPTS - 1):
            if not problems:
                break
            # A store whose rename is a copy shows it unfinished while yet another run takes the same name.
            time.sleep(_SETTLE)
            stored, problems = self._check_winner(video, custody_uri)
        if not problems:
            log.info("Video %s was published by another run meanwhile; its copy is verified.", video.meeting_video_id)
        return stored, problems

    def _check_winner(self, video: Video, custody_uri: str) -> tuple[StoredVideo | None, list[str]]:
        data = self.store.read_bytes(custody_uri)
        record = parse_json(data)
        stored = stored_beside(record, custody_uri)
        if data is None or stored is None:
            return None, ["the custody record cannot be read"]
        if self.signer is not None and (
            reason := self.signer.check(self.store, custody_uri, data, stored=stored).reason
        ):
            return stored, [f"the record is not signed: {reason}"]
        problems = origin_mismatches(
            record, api_base=self.api_base, package_id=self.package_id, meeting_video_id=video.meeting_video_id
        )
        return stored, problems or read_through(self.store, stored, record)

    def _remove(self, uri: str) -> None:
        try:
            self.store.remove(uri)
        except StorageError as error:
            log.warning("A copy without a record could not be removed: %s", error)


def _disagrees(video: Video, custody_uri: str, problems: Sequence[str]) -> VerificationError:
    return VerificationError(
        f"Another run published video {video.meeting_video_id}, but its copy does not agree with its record: "
        f"{'; '.join(problems)}. Check {custody_uri}; move it and its copy away, then clear the task."
    )


def _is_same(published: ObjectInfo, found: ObjectInfo | None) -> bool:
    """Tell whether an object is still the one that was published; an answer to a write may say less than a look."""
    if found is None or (found.size, found.validator) != (published.size, published.validator):
        return False
    return found.validator is not None or found.identity == published.identity
