"""When the wait for recordings is over. Pure; sensor and trigger ask the same function, so no mode can differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from airflow_provider_iinked.arguments import (
    ALL,
    PackageIds,
    check_choice,
    check_package_ids,
    check_selection,
    require_int,
)
from airflow_provider_iinked.exceptions import RecordingDeletedError, RecordingFailedError
from airflow_provider_iinked.models import Video, VideoList, VideoState

ON_FAILED: Final = ("fail", "wait", "ignore")
ON_DELETED: Final = ("fail", "ignore")
DECISION_FIELDS: Final[tuple[str, ...]] = ()
"""
Fields of a video, in the API's spelling, that :func:`evaluate` rests on beside id and state. A list in which none of
them changed needs no new decision, so what is missing here goes unnoticed in the triggerer; a test compares.
"""


class WaitArguments(TypedDict):
    """
    What is waited for, as arguments of sensor and trigger, and as JSON in a trigger's row.

    :param package_id: one package id, or a list of them.
    :param meeting_video_ids: one id, several ids, or ``"*"``.
    :param min_videos: without a selection: how many must be archived or already deleted, in each package.
    :param on_failed: what a failed recording means: ``fail``, ``wait`` or ``ignore``.
    :param on_deleted: what a selected recording that is deleted means: ``fail`` or ``ignore``.
    """

    package_id: str | Sequence[str]
    meeting_video_ids: str | Sequence[str]
    min_videos: int
    on_failed: str
    on_deleted: str


@dataclass(frozen=True)
class WaitCondition:
    """
    What is waited for, checked. A new field stands here, in :class:`WaitArguments` and in the sensor's constructor.

    :param packages: the packages.
    :param meeting_video_ids: the selected recordings; None for all that are listed.
    :param min_videos: without a selection: how many must be archived or already deleted, in each package.
    :param on_failed: what a failed recording means.
    :param on_deleted: what a selected recording that is deleted means.
    """

    packages: PackageIds
    meeting_video_ids: tuple[str, ...] | None
    min_videos: int
    on_failed: str
    on_deleted: str

    @classmethod
    def from_dict(cls, arguments: Mapping[str, Any]) -> WaitCondition:
        """
        Check the arguments of a wait, as resolved at run time.

        :param arguments: the fields of :class:`WaitArguments`; other keys are not looked at.
        :return: the condition.
        :raises InvalidArgumentError: for whatever is missing, empty or malformed.
        """
        packages = check_package_ids(arguments.get("package_id"))
        return cls(
            packages=packages,
            meeting_video_ids=check_selection(packages, arguments.get("meeting_video_ids")),
            min_videos=require_int(arguments.get("min_videos"), "min_videos", minimum=0),
            on_failed=check_choice(arguments.get("on_failed"), "on_failed", ON_FAILED),
            on_deleted=check_choice(arguments.get("on_deleted"), "on_deleted", ON_DELETED),
        )

    def to_dict(self) -> WaitArguments:
        """Return the arguments that make the same condition again; JSON types only."""
        return {
            "package_id": self.packages.as_given,
            "meeting_video_ids": ALL if self.meeting_video_ids is None else list(self.meeting_video_ids),
            "min_videos": self.min_videos,
            "on_failed": self.on_failed,
            "on_deleted": self.on_deleted,
        }

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to wait for: no package, or an empty list of recordings."""
        return not self.packages.ids or self.meeting_video_ids == ()

    def response(self, videos: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
        """
        Make the XCom: the API's list response with the selected archived recordings, a list of these for several.

        :param videos: for each package the fields of its recordings, as an XCom may carry them.
        :return: ``packageId`` and ``videos``; a list of these where the packages were given as a list.
        """
        responses = [{"packageId": one, "videos": [dict(v) for v in videos.get(one, ())]} for one in self.packages.ids]
        return responses if self.packages.as_list else responses[0]

    def allows(self, package_id: str, videos: Sequence[Video]) -> bool:
        """
        Check that recordings may be the result of this wait, for what comes back through the database.

        :param package_id: the package.
        :param videos: the recordings.
        :return: whether the package is waited for, and all are archived and selected.
        """
        selected = None if self.meeting_video_ids is None else {one.casefold() for one in self.meeting_video_ids}
        return package_id in self.packages.ids and all(
            video.is_archived and (selected is None or video.meeting_video_id.casefold() in selected)
            for video in videos
        )


@dataclass(frozen=True)
class WaitStatus:
    """
    What a list says about the wait for one package.

    :param ready: whether it is over.
    :param archived: the selected recordings that are archived.
    :param waiting_for: what is still waited for, as words of a sentence.
    """

    ready: bool
    archived: tuple[Video, ...]
    waiting_for: tuple[str, ...] = ()


def evaluate(videos: Sequence[Video], condition: WaitCondition, package_id: str) -> WaitStatus:
    """
    Decide whether the wait for a package is over: every selected recording that is not deleted is archived and,
    without a selection, at least ``min_videos`` are archived or already deleted.

    :param videos: what is listed now.
    :param condition: what is waited for.
    :param package_id: the package.
    :return: whether the wait is over, and what it still waits for.
    :raises RecordingFailedError: for a failed recording, with ``on_failed="fail"``.
    :raises RecordingDeletedError: for a selected recording that is deleted, with ``on_deleted="fail"``.
    """
    selected, missing = VideoList(videos).select(condition.meeting_video_ids)
    deleted = [video for video in selected if video.is_deleted]
    failed = [video for video in selected if video.state == VideoState.FAILED]
    archived = tuple(video for video in selected if video.is_archived)
    if condition.meeting_video_ids is not None and condition.on_deleted == "fail" and deleted:
        raise RecordingDeletedError(
            f"Package {package_id}: {_ids(deleted)} is deleted on the platform; the wait ends. Nothing was "
            "done. Take it out of meeting_video_ids, or set on_deleted='ignore'."
        )
    if condition.on_failed == "fail" and failed:
        raise RecordingFailedError(
            f"Package {package_id}: the platform says that {_ids(failed)} failed; the wait ends. Nothing was "
            "done. Ask iinked Sign about it, or set on_failed='wait' or 'ignore'."
        )
    ended = {VideoState.ARCHIVED, VideoState.DELETED, *([VideoState.FAILED] if condition.on_failed == "ignore" else [])}
    waiting = [f"{video_id} (not listed)" for video_id in missing]
    waiting += [f"{v.meeting_video_id} ({shown_state(v)})" for v in selected if v.state not in ended]
    short = condition.min_videos - len(archived) - len(deleted)
    if condition.meeting_video_ids is None and short > 0:
        waiting.append(f"{short} more of at least {condition.min_videos} recordings")
    return WaitStatus(ready=not waiting, archived=archived, waiting_for=tuple(waiting))


def shown_state(video: Video) -> str:
    """
    Show a state, however odd, on one short line.

    :param video: the recording.
    :return: its state, fit for a log.
    """
    text = video.state[:40] or "no state"
    return text if text.isprintable() else ascii(text)


def _ids(videos: Sequence[Video]) -> str:
    return ", ".join(video.meeting_video_id for video in videos)
