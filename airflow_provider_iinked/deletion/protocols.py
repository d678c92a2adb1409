"""The calls to the API that a deletion needs, and no more."""

from __future__ import annotations

from typing import Any, Protocol

from airflow_provider_iinked.api.stopping import StopFlag
from airflow_provider_iinked.models import Video


class DeletionApi(Protocol):
    """What a deletion asks of the API; :class:`~airflow_provider_iinked.hooks.iinked_sign.IinkedSignHook` has it."""

    @property
    def api_base(self) -> str:
        """Base URL of the API in use."""

    @property
    def max_retries(self) -> int:
        """How often one request may be sent again."""

    @property
    def stopping(self) -> StopFlag:
        """Set when the task is to end; nothing is sent after that."""

    def list_videos(self, package_id: str) -> list[Video]:
        """
        List the videos of a package.

        :param package_id: the package.
        :return: its videos.
        :raises IinkedSignError: when there is no such list.
        """

    def delete_video(self, package_id: str, meeting_video_id: str, *, max_retries: int | None = None) -> dict[str, Any]:
        """
        Send the deletion of one video.

        :param package_id: the package.
        :param meeting_video_id: the video.
        :param max_retries: how often to send it again by itself; a deletion passes 0.
        :return: the API's answer.
        :raises IinkedSignError: as the answer says.
        """

    def wait_for_slot(self) -> None:
        """Wait until the next request would go out at once, under the ceiling of requests a second."""
