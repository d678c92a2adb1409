"""What a deletion does: without a video id, every live video of the package goes. That is the documented danger."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.simulator.answers import ApiError

if TYPE_CHECKING:
    from airflow_provider_iinked.simulator.quirks import Quirks
    from airflow_provider_iinked.simulator.state import SimPackage, SimVideo, Store
    from airflow_provider_iinked.simulator.views import Views


@dataclasses.dataclass
class Deleted:
    """What a deletion did.

    :param answer: the API's answer.
    :param removed: videos that went now.
    :param by_id: whether a video id was given and obeyed.
    """

    answer: dict[str, Any]
    removed: list[SimVideo]
    by_id: bool


class Deleter:
    """Carries deletions out.

    :param store: packages and videos.
    :param quirks: how the service departs from the documents.
    :param views: renders the answers.
    """

    def __init__(self, store: Store, quirks: Quirks, views: Views) -> None:
        self._store = store
        self._quirks = quirks
        self._views = views

    def delete(
        self, package: SimPackage, video_id: str | None, *, everything: bool = False, hide: bool = False
    ) -> Deleted:
        """Delete one video, or all of them.

        :param package: the package.
        :param video_id: the video; None or '' means all, as the documents warn.
        :param everything: a fault: all videos go although one was requested.
        :param hide: with ``everything``: the answer names only the requested one.
        """
        if not video_id or everything:
            removed = self._remove(package.live())
            named = [v for v in removed if v.meeting_video_id == video_id] if hide else removed
            return Deleted(self._answer(package, named), removed, by_id=False)
        video = self._store.find_video(package, video_id, any_case=self._quirks.case_insensitive_ids)
        if video is None:
            return self._unknown(package)
        if video.deleted:
            return Deleted(self._repeated(package, video), [], by_id=True)
        if self._quirks.retention_forbids and (video.retention_at or 0) > self._store.clock.timestamp():
            raise ApiError(400, "package_delete_retention", "A retention policy does not allow this deletion.")
        return self._with_hostility(package, self._remove([video]))

    def _unknown(self, package: SimPackage) -> Deleted:
        if self._quirks.unknown_video == "not_found":
            raise ApiError(404, "video_not_found", "The video was not found.")
        removed = self._remove(package.live()) if self._quirks.unknown_video == "delete_all" else []
        return Deleted(self._answer(package, removed), removed, by_id=False)

    def _repeated(self, package: SimPackage, video: SimVideo) -> dict[str, Any]:
        repeat = self._quirks.repeat_delete
        if repeat == "not_found":
            raise ApiError(404, "video_not_found", "The video was not found.")
        if repeat == "bad_request":
            raise ApiError(400, "video_invalid_state", "The video is deleted already.")
        return self._answer(package, [video] if repeat == "ok" else [])

    def _with_hostility(self, package: SimPackage, removed: list[SimVideo]) -> Deleted:
        hostile = self._quirks.hostile
        named = list(removed)
        neighbour = package.live()[:1]
        if hostile in ("deletes_more", "deletes_more_hidden"):
            removed = removed + self._remove(neighbour)
        if hostile in ("names_more", "deletes_more"):
            named += neighbour
        answer = self._answer(package, named)
        if hostile == "names_stranger" and answer["videos"]:
            answer["videos"].append({**answer["videos"][0], "meetingVideoId": str(uuid.uuid4())})
        return Deleted(answer, removed, by_id=True)

    def _remove(self, videos: list[SimVideo]) -> list[SimVideo]:
        now = self._store.clock.timestamp()
        for video in videos:
            video.deleted_at = now
        return videos

    def _answer(self, package: SimPackage, named: list[SimVideo]) -> dict[str, Any]:
        style = self._quirks.delete_answer
        if style == "all_listed":
            videos = self._views.listed(package)
        else:
            videos = [] if style == "empty" else [self._views.video(video, state="deleted") for video in named]
        return {"packageId": package.package_id, "videos": videos}
