"""How packages and recordings look in API answers."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.simulator.clock import to_api_duration, to_api_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_iinked.simulator.quirks import Quirks
    from airflow_provider_iinked.simulator.state import SimPackage, SimVideo

PACKAGE_TEXTS = ("category", "clientNumber", "matterNumber", "description", "message")
OWNER_FIELDS = ("organizationId", "memberId", "teamId", "folderId", "shared")
TIME_FIELDS = ("timeCreated", "timeLastModified", "timeSignBy")
KIND_FIELDS = ("type", "state", "externalData", "documents", "signers", "recipients", "isExecuted", "timeExecuted")
ITEM_FIELDS = (*OWNER_FIELDS, *TIME_FIELDS, "name", *PACKAGE_TEXTS[:-1], *KIND_FIELDS)
STATUS_FIELDS = ("organizationId", "memberId", "name", "timeSignBy", "type", "state", "externalData", "isExecuted")
STATUS_LISTS = ("documents", "signers")


class Views:
    """Renders answers.

    :param quirks: what to leave out, null or add.
    :param mint_url: gives a recording's new URL and its expiry (seconds since 1970).
    """

    def __init__(self, quirks: Quirks, mint_url: Callable[[SimVideo], tuple[str, float]]) -> None:
        self._quirks = quirks
        self._mint_url = mint_url

    def video(self, video: SimVideo, *, state: str) -> dict[str, Any]:
        """One recording, its fields in the order of the documents.

        :param video: the recording.
        :param state: the state to show.
        """
        quirks, own = self._quirks, video.fields
        deleted = state == "deleted"
        known_length = video.live_state not in ("started", "stopped", "queued", "failed")
        url, expires = self._mint_url(video) if state == "archived" else (None, 0.0)
        size = video.size + quirks.lie_about_size
        shown: dict[str, Any] = {
            "meetingVideoId": video.meeting_video_id,
            "meetingVideoSharedId": own["meetingVideoSharedId"],
            "meetingId": own["meetingId"],
            "meetingSessionId": own["meetingSessionId"],
            "externalVideoId": None,
            "externalStorageId": None,
            "timeCreated": video.time_created,
            "timeRetention": None if video.retention_at is None else to_api_time(video.retention_at),
            "timeDeleted": to_api_time(video.deleted_at) if deleted and video.deleted_at is not None else None,
            "duration": None if video.live_state == "started" else to_api_duration(video.duration),
            "size": size if known_length else None,
            "source": own["source"],
            "type": "video",
            "state": state,
            "url": url,
            "timeUrlExpires": to_api_time(expires) if url else None,
        }
        for name, value in own.items():
            if name != "timeDeleted" or deleted:
                shown[name] = value
        shown.update(quirks.extra_fields)
        shown.update(dict.fromkeys(quirks.null_fields & shown.keys()))
        for name in video.omit | quirks.omit_fields:
            shown.pop(name, None)
        return shown

    def listed(self, package: SimPackage) -> list[dict[str, Any]]:
        """A package's recordings as lists show them.

        :param package: the package.
        """
        return [shown for _, shown in self._shown(package)]

    def videos_answer(self, package: SimPackage) -> dict[str, Any]:
        """The answer of ``GET /packages/{packageId}/videos``.

        :param package: the package.
        """
        videos = self.listed(package)
        if videos or self._quirks.empty_list == "list":
            return {"packageId": package.package_id, "videos": videos}
        if self._quirks.empty_list == "null":
            return {"packageId": package.package_id, "videos": None}
        return {"packageId": package.package_id}

    def package(self, package: SimPackage) -> dict[str, Any]:
        """The answer of ``GET /packages/{packageId}``.

        :param package: the package.
        """
        meetings = self._meetings(package)
        shown = {**_defaults(), **dict.fromkeys(PACKAGE_TEXTS), **package.fields, "packageId": package.package_id}
        current = {key: value for key, value in meetings[-1].items() if key != "sessions"} if meetings else None
        return {**shown, "meetingId": current and current["meetingId"], "meeting": current, "meetings": meetings}

    def item(self, package: SimPackage) -> dict[str, Any]:
        """One item of ``POST /packages/list``; the documents show neither meetings nor videos there.

        :param package: the package.
        """
        values = {**_defaults(), **package.fields}
        return {"packageId": package.package_id, **{name: values.get(name) for name in ITEM_FIELDS}}

    def status(self, package: SimPackage) -> dict[str, Any]:
        """The answer of ``GET /packages/{packageId}/status``.

        :param package: the package.
        """
        values = {**_defaults(), **package.fields}
        return {"packageId": package.package_id, **{name: values.get(name) for name in STATUS_FIELDS + STATUS_LISTS}}

    def _shown(self, package: SimPackage) -> Iterator[tuple[SimVideo, dict[str, Any]]]:
        for video in package.videos.values():
            gone = video.shown_deleted(self._quirks.deletion_delay)
            if not gone or self._quirks.list_deleted:
                yield video, self.video(video, state="deleted" if gone else video.live_state)

    def _meetings(self, package: SimPackage) -> list[dict[str, Any]]:
        meetings: dict[str, dict[str, dict[str, Any]]] = {}
        for video, shown in self._shown(package):
            meeting_id = video.fields["meetingId"]
            session_id = video.fields["meetingSessionId"] or str(uuid.uuid5(uuid.NAMESPACE_OID, meeting_id))
            session = meetings.setdefault(meeting_id, {}).setdefault(
                session_id, {"meetingSessionId": session_id, "videos": []}
            )
            session["videos"].append(shown)
        return [
            {
                "meetingId": meeting_id,
                "organizationId": package.fields["organizationId"],
                "packageId": package.package_id,
                "timeStart": package.fields["timeCreated"],
                "duration": "PT1H",
                "isPrivate": True,
                "type": "video",
                "state": "ended",
                "sessions": list(sessions.values()),
            }
            for meeting_id, sessions in meetings.items()
        ]


def _defaults() -> dict[str, Any]:
    return {
        "shared": False,
        "timeRetention": None,
        "timeRescinded": None,
        "timeDeleted": None,
        "timeSignBy": None,
        "externalData": None,
        "documents": [],
        "signers": [],
        "recipients": [],
        "isExecuted": False,
        "timeExecuted": None,
    }
