"""When the wait for recordings is over. Pure; sensor and trigger ask the same function, so no mode can differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_iinked.arguments import check_choice, check_id, check_video_ids, require_int
from airflow_provider_iinked.exceptions import RecordingDeletedError, RecordingFailedError
from airflow_provider_iinked.models import Video, VideoList, VideoState

if TYPE_CHECKING:
    from pendulum import DateTime

ON_FAILED: Final = ("fail", "wait", "ignore")
ON_DELETED: Final = ("fail", "ignore")
RETENTION_WARNING_DAYS: Final = 7


@dataclass(frozen=True)
class WaitCondition:
    """
    What is waited for, checked.

    :param package_id: the package.
    :param meeting_video_ids: the selected recordings; None for all that are listed.
    :param min_videos: without a selection: how many must be archived or already deleted.
    :param on_failed: what a failed recording means.
    :param on_deleted: what a selected recording that is deleted means.
    """

    package_id: str
    meeting_video_ids: tuple[str, ...] | None
    min_videos: int
    on_failed: str
    on_deleted: str


@dataclass(frozen=True)
class WaitStatus:
    """
    What a list says about a wait.

    :param ready: whether it is over.
    :param archived: the selected recordings that are archived.
    :param waiting_for: what is still waited for, in words.
    """

    ready: bool
    archived: tuple[Video, ...]
    waiting_for: tuple[str, ...] = ()


def parse_wait_condition(
    *, package_id: object, meeting_video_ids: object, min_videos: object, on_failed: object, on_deleted: object
) -> WaitCondition:
    """
    Check the arguments of a wait, as resolved at run time.

    :param package_id: the package.
    :param meeting_video_ids: one id, several ids, or ``"*"``.
    :param min_videos: at least 0.
    :param on_failed: ``fail``, ``wait`` or ``ignore``.
    :param on_deleted: ``fail`` or ``ignore``.
    :return: the criteria.
    :raises InvalidArgumentError: for whatever is empty-handed or malformed.
    """
    return WaitCondition(
        package_id=check_id(package_id, "package_id"),
        meeting_video_ids=check_video_ids(meeting_video_ids),
        min_videos=require_int(min_videos, "min_videos", minimum=0),
        on_failed=check_choice(on_failed, "on_failed", ON_FAILED),
        on_deleted=check_choice(on_deleted, "on_deleted", ON_DELETED),
    )


def judge(videos: Sequence[Video], criteria: WaitCondition) -> WaitStatus:
    """
    Decide whether a wait is over: every selected recording that is not deleted is archived and, without a selection,
    at least ``min_videos`` are archived or already deleted.

    :param videos: what is listed now.
    :param criteria: what is waited for.
    :return: whether the wait is over, and what it still waits for.
    :raises RecordingFailedError: for a failed recording, with ``on_failed="fail"``.
    :raises RecordingDeletedError: for a selected recording that is deleted, with ``on_deleted="fail"``.
    """
    selected, waiting = _select(videos, criteria)
    done = [video for video in selected if video.is_deleted]
    failed = [video for video in selected if video.state == VideoState.FAILED]
    archived = tuple(video for video in selected if video.is_archived)
    if criteria.meeting_video_ids is not None and criteria.on_deleted == "fail" and done:
        raise RecordingDeletedError(
            f"Package {criteria.package_id}: {_ids(done)} is deleted on the platform; the wait ends. Nothing was "
            "done. Take it out of meeting_video_ids, or set on_deleted='ignore'."
        )
    if criteria.on_failed == "fail" and failed:
        raise RecordingFailedError(
            f"Package {criteria.package_id}: the platform says that {_ids(failed)} failed; the wait ends. Nothing was "
            "done. Ask iinked Sign about it, or set on_failed='wait' or 'ignore'."
        )
    ended = {VideoState.ARCHIVED, VideoState.DELETED, *([VideoState.FAILED] if criteria.on_failed == "ignore" else [])}
    waiting += [f"{v.meeting_video_id} ({_state(v)})" for v in selected if v.state not in ended]
    short = criteria.min_videos - len(archived) - len(done)
    if criteria.meeting_video_ids is None and short > 0:
        waiting.append(f"{short} more of at least {criteria.min_videos} recordings")
    return WaitStatus(ready=not waiting, archived=archived, waiting_for=tuple(waiting))


def _select(videos: Sequence[Video], criteria: WaitCondition) -> tuple[list[Video], list[str]]:
    if criteria.meeting_video_ids is None:
        return list(videos), []
    listing = VideoList(videos)
    found: dict[str, Video] = {}
    missing = []
    for video_id in criteria.meeting_video_ids:
        video = listing.find(video_id)
        if video is None:
            missing.append(f"{video_id} (not listed)")
        else:
            found.setdefault(video.meeting_video_id, video)
    return list(found.values()), missing


def retention_warnings(videos: Sequence[Video], now: DateTime) -> list[str]:
    """
    Name recordings that the platform is about to drop.

    :param videos: what is listed now.
    :param now: the time.
    :return: a line for each live recording whose retention ends in less than a week.
    """
    lines = []
    for video in videos:
        ends = video.time_retention if not video.is_deleted else None
        if ends is not None and ends < now.add(days=RETENTION_WARNING_DAYS):
            lines.append(
                f"The platform's retention of video {video.meeting_video_id} ({_state(video)}) ends at "
                f"{ends.isoformat()}, less than {RETENTION_WARNING_DAYS} days away."
            )
    return lines


def ready_answer(package_id: str, archived: Sequence[Video]) -> dict[str, Any]:
    """
    Make the XCom of a wait that is over: the API's list response with the selected archived recordings, without URLs.

    :param package_id: the package.
    :param archived: the recordings.
    :return: ``packageId`` and ``videos``.
    """
    return {"packageId": package_id, "videos": [video.public_fields() for video in archived]}


def _state(video: Video) -> str:
    """Show a state, however odd, on one short line."""
    text = video.state[:40] or "no state"
    return text if text.isprintable() else ascii(text)


def _ids(videos: Sequence[Video]) -> str:
    return ", ".join(video.meeting_video_id for video in videos)
