"""What the recordings of one package share: its folder at each destination, and how far a download may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_iinked.download.existing_copy import ExistingCopy, inspect_copy
from airflow_provider_iinked.download.http import RecordingHosts
from airflow_provider_iinked.download.media_check import MediaExaminer
from airflow_provider_iinked.download.request import DownloadRequest
from airflow_provider_iinked.download.stopping import StopSignal
from airflow_provider_iinked.models import Video
from airflow_provider_iinked.storage import Store


@dataclass(frozen=True)
class Place:
    """
    The folder of one package at one destination.

    :param store: the opened storage.
    :param folder: the folder's URL.
    """

    store: Store
    folder: str


@dataclass(frozen=True)
class PackageContext:
    """
    What all recordings of one package share. Threads may share it.

    :param request: what to copy.
    :param package_id: the package.
    :param api_base: the API in use.
    :param timeout: seconds for connecting to a recording's host, and for each read.
    :param max_retries: how often a download is tried again without getting any further.
    :param places: the package's folder at each destination, by the destination's URL.
    :param stop: ends the download.
    :param hosts: how the hosts of recordings are reached.
    :param examiner: examines recordings before they are published; None for no media check.
    """

    request: DownloadRequest
    package_id: str
    api_base: str
    timeout: float
    max_retries: int
    places: Mapping[str, Place]
    stop: StopSignal
    hosts: RecordingHosts
    examiner: MediaExaminer | None = None

    def inspect(self, destination: str, meeting_video_id: str, video: Video | None) -> ExistingCopy:
        """
        Check the copy at one destination.

        :param destination: the destination.
        :param meeting_video_id: the recording.
        :param video: the recording as listed now; None when it is gone.
        :return: the result.
        :raises StorageError: when it cannot be checked.
        """
        place = self.places[destination]
        return inspect_copy(
            place.store,
            place.folder,
            api_base=self.api_base,
            package_id=self.package_id,
            meeting_video_id=meeting_video_id,
            video=video,
            signer=self.request.signer,
        )
