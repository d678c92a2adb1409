"""The calls of the API that a download needs; the hook has them."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_iinked.api.settings import ApiSettings
from airflow_provider_iinked.models import Package, Video


class RecordingApi(Protocol):
    """What a download asks the platform. Called in the task's own thread only."""

    @property
    def api_base(self) -> str:
        """Base URL of the API."""

    @property
    def settings(self) -> ApiSettings:
        """The connection, checked: timeout and number of retries count for the recording's host too."""

    def list_videos(self, package_id: str) -> list[Video]:
        """
        List the recordings of a package, with fresh URLs.

        :param package_id: the package.
        :return: its recordings.
        """

    def get_package(self, package_id: str) -> Package:
        """
        Read a package.

        :param package_id: the package.
        :return: the package.
        """
