"""Publishing one whole copy under its final name, never over another, and writing its custody record last."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pendulum

from airflow_provider_iinked import __version__
from airflow_provider_iinked.custody.record import (
    TaskIdentity,
    VerifiedCopy,
    build_record,
    origin_mismatches,
    read_stored_video,
)
from airflow_provider_iinked.download.downloader import Fetched
from airflow_provider_iinked.download.existing_copy import read_through
from airflow_provider_iinked.exceptions import IinkedSignError, StorageError, VerificationError, reason_of
from airflow_provider_iinked.models import StoredVideo, Video
from airflow_provider_iinked.storage import Store
from airflow_provider_iinked.storage.layout import Layout
from airflow_provider_iinked.storage.quarantine import quarantine

log = logging.getLogger(__name__)

_ROUNDS = 3


@dataclass(frozen=True)
class Publisher:
    """
    Publish the copies of one package.

    :param store: the storage.
    :param api_base: the API they come from.
    :param package_id: the package.
    :param stamp: the running task.
    :param package_fields: package fields to keep in the records.
    """

    store: Store
    api_base: str
    package_id: str
    stamp: TaskIdentity
    package_fields: Mapping[str, Any]

    def publish(self, video: Video, fetched: Fetched) -> StoredVideo:
        """
        Publish a copy, then its record; or find that another run has done so, check its copy and drop ours.

        :param video: the recording as listed.
        :param fetched: its whole copy.
        :return: where copy and record lie.
        :raises VerificationError: when another run's record and copy do not agree.
        :raises StorageError: when the storage fails.
        """
        uri = fetched.upload.url
        custody_uri = Layout.beside(uri).record(video.meeting_video_id)
        first = self._take_name(video, fetched, custody_uri)
        if first is not None:
            return first
        info = self.store.info(uri)
        if info is None or info.size != fetched.size:
            raise StorageError(f"{uri} was written, but the store does not show {fetched.size} bytes there.")
        record = build_record(
            api_base=self.api_base,
            package_id=self.package_id,
            video=video,
            copy=VerifiedCopy(
                uri=uri,
                size=fetched.size,
                sha256=fetched.sha256,
                content_type=fetched.content_type,
                validator=info.validator,
                modified=None if info.validator else info.modified,
            ),
            time=pendulum.now("UTC").isoformat(),
            stamp=self.stamp,
            provider_version=__version__,
            package_fields=self.package_fields,
            media=fetched.media,
        )
        if not self.store.create_json(custody_uri, record):
            first = self._check_first(video, custody_uri)
            if first.uri != uri:
                # The first run's copy has another suffix: ours would lie there without a record.
                self.store.remove(uri)
            return first
        return StoredVideo(self.package_id, video.meeting_video_id, uri, fetched.size, fetched.sha256, custody_uri)

    def _take_name(self, video: Video, fetched: Fetched, custody_uri: str) -> StoredVideo | None:
        """Give the copy its final name; return the copy of another run where that came first."""
        uri = fetched.upload.url
        for _ in range(_ROUNDS):
            try:
                fetched.upload.publish()
                return None
            except FileExistsError:
                seen = self.store.identity(uri)
                if self.store.read_json(custody_uri)[0]:
                    return self._check_first(video, custody_uri)
                if self.store.sha256(uri) == (fetched.sha256, fetched.size):
                    # A run that was killed before it wrote the record left the very same bytes.
                    return None
                quarantine(self.store, uri, "it has no custody record and is not the recording", seen=seen)
            except IinkedSignError:
                raise
            except Exception as error:
                raise StorageError(
                    f"{uri} could not be published ({reason_of(error)}). Check the storage and its connection; "
                    "clearing the task is safe."
                ) from None
        raise StorageError(f"{uri} could not be published: its name is taken again and again by others.")

    def _check_first(self, video: Video, custody_uri: str) -> StoredVideo:
        _, record = self.store.read_json(custody_uri)
        claim = read_stored_video(record, custody_uri)
        problems = ["the custody record cannot be read"]
        if claim is not None:
            problems = origin_mismatches(
                record,
                api_base=self.api_base,
                package_id=self.package_id,
                meeting_video_id=video.meeting_video_id,
            ) or read_through(self.store, claim, record)
        if claim is None or problems:
            raise VerificationError(
                f"Another run published video {video.meeting_video_id}, but its copy is not proved: "
                f"{'; '.join(problems)}. Look at {custody_uri}; move it and its copy away, then clear the task."
            )
        log.info("Video %s was published by another run meanwhile; its copy is proved.", video.meeting_video_id)
        return claim
