"""Publishing one whole copy under its final name, never over another, and writing its custody record last."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from airflow_provider_iinked.exceptions import IinkedSignError, StorageError, VerificationError, reason_of
from airflow_provider_iinked.models import StoredVideo, Video
from airflow_provider_iinked.storage import ObjectInfo, Store, Upload
from airflow_provider_iinked.storage.base import json_bytes, parse_json
from airflow_provider_iinked.storage.layout import Layout
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.quarantine import quarantine

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.signing import DocumentSigner

log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 3
_SETTLE = 0.5


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

    def publish(
        self,
        video: Video,
        recording: DownloadedRecording,
        upload: Upload,
        *,
        copies: Sequence[str] = (),
        lock: Lock | None = None,
    ) -> StoredVideo:
        """
        Publish a copy, then its record; or find that another run has done so, verify its copy and drop ours.

        :param video: the recording as listed.
        :param recording: what was downloaded.
        :param upload: its whole copy, not visible yet.
        :param copies: URIs of its copies at the other destinations.
        :param lock: the lock that copy and record get, and that is read back; None for none.
        :return: where copy and record are.
        :raises VerificationError: when another run's record and copy do not agree.
        :raises StorageError: when the storage fails.
        """
        uri = upload.url
        custody_uri = Layout.beside(uri).record(video.meeting_video_id)
        claimed = self._claim_name(video, recording, upload, custody_uri)
        if isinstance(claimed, StoredVideo):
            return self._locked(claimed, lock)
        if claimed is None or claimed.size != recording.size:
            raise StorageError(f"{uri} was written, but the store does not show {recording.size} bytes there.")
        if lock is not None:
            self.store.ensure_lock(uri, lock)
        record = self._record(video, recording, uri, claimed, copies, lock)
        stored = StoredVideo(
            self.package_id, video.meeting_video_id, uri, recording.size, recording.sha256, custody_uri
        )
        if not self._create_record(stored, record, lock):
            winner = self._verify_winner(video, custody_uri)
            if winner.uri != uri:
                # The other run's copy has another suffix: ours would be there without a record.
                self._remove(uri)
            return self._locked(winner, lock)
        return self._locked(stored, lock)

    def _record(
        self,
        video: Video,
        recording: DownloadedRecording,
        uri: str,
        info: ObjectInfo,
        copies: Sequence[str],
        lock: Lock | None,
    ) -> dict[str, Any]:
        """Build the custody record of the copy, as the store shows it now."""
        return build_record(
            api_base=self.api_base,
            package_id=self.package_id,
            video=video,
            copy=VerifiedCopy(
                uri=uri,
                size=recording.size,
                sha256=recording.sha256,
                content_type=recording.content_type,
                validator=info.validator,
                modified=None if info.validator else info.modified,
            ),
            time=pendulum.now("UTC").isoformat(),
            stamp=self.task,
            provider_version=__version__,
            package_fields=self.package_fields,
            media=recording.media,
            copies=copies,
            lock=lock,
        )

    def _create_record(self, stored: StoredVideo, record: Mapping[str, Any], lock: Lock | None) -> bool:
        if self.signer is None:
            return self.store.create_json(stored.custody_uri, record, lock=lock)
        return self.signer.create_record(self.store, stored, json_bytes(record), lock=lock)

    def _locked(self, stored: StoredVideo, lock: Lock | None) -> StoredVideo:
        """Read back the locks of copy and record."""
        if lock is not None:
            self.store.ensure_lock(stored.uri, lock)
            self.store.ensure_lock(stored.custody_uri, lock)
        return stored

    def _claim_name(
        self, video: Video, recording: DownloadedRecording, upload: Upload, custody_uri: str
    ) -> ObjectInfo | StoredVideo | None:
        """Give the copy its final name; return what the store shows there, or the copy of a run that came first."""
        uri = upload.url
        for _ in range(_MAX_ATTEMPTS):
            try:
                return upload.publish()
            except FileExistsError:
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
                raise StorageError(
                    f"{uri} could not be published ({reason_of(error)}). Check the storage and its connection; "
                    "clearing the task is safe."
                ) from None
        raise StorageError(f"{uri} could not be published: others take its name again and again.")

    def _verify_winner(self, video: Video, custody_uri: str) -> StoredVideo:
        """Verify the copy of the run that published first."""
        stored, problems = self._check_winner(video, custody_uri)
        for _ in range(_MAX_ATTEMPTS - 1):
            if not problems:
                break
            # A store whose rename is a copy shows it unfinished while yet another run takes the same name.
            time.sleep(_SETTLE)
            stored, problems = self._check_winner(video, custody_uri)
        if stored is None or problems:
            raise VerificationError(
                f"Another run published video {video.meeting_video_id}, but its copy does not agree with its record: "
                f"{'; '.join(problems)}. Check {custody_uri}; move it and its copy away, then clear the task."
            )
        log.info("Video %s was published by another run meanwhile; its copy is verified.", video.meeting_video_id)
        return stored

    def _check_winner(self, video: Video, custody_uri: str) -> tuple[StoredVideo | None, list[str]]:
        data = self.store.read_bytes(custody_uri)
        record: Any = None if data is None else parse_json(data)
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
