"""What exactly may be deleted, and whether an answer says that more was. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from airflow_provider_iinked.exceptions import StateNotAllowedError
from airflow_provider_iinked.models import Video, VideoList

MAX_LIST_AGE: Final = 60.0
"""Seconds: an older list says nothing about what may be deleted now."""
MAX_VERIFICATION_AGE: Final = 10.0
"""Seconds: a copy that was verified longer ago is verified again before its source is deleted."""


@dataclass(frozen=True)
class Plan:
    """
    What is to be done about each selected recording.

    :param to_delete: are live, in a state that may be deleted.
    :param already_deleted: are listed as deleted.
    :param unlisted: selected ids that are not listed.
    """

    to_delete: tuple[Video, ...]
    already_deleted: tuple[Video, ...]
    unlisted: tuple[str, ...]


def is_recent(listed_at: float, *, now: float) -> bool:
    """
    Tell whether a list still says what may be deleted.

    :param listed_at: when it was requested, in seconds of the same clock as ``now``.
    :param now: the time.
    :return: True when it is young enough.
    """
    return now - listed_at <= MAX_LIST_AGE


def is_fresh_enough(verified_at: float, *, now: float) -> bool:
    """
    Tell whether a request may follow a verification.

    :param verified_at: when the copy was read to its end, in seconds of the same clock as ``now``.
    :param now: the time.
    :return: True when it is young enough.
    """
    return now - verified_at <= MAX_VERIFICATION_AGE


def make_plan(listing: VideoList, wanted: Sequence[str] | None, states: Collection[str]) -> Plan:
    """
    Decide what may be deleted.

    :param listing: what is listed now.
    :param wanted: the selected ids; None for all that are listed.
    :param states: states that may be deleted.
    :return: the plan.
    :raises StateNotAllowedError: when a selected recording is live in another state; nothing may be sent then.
    """
    found: dict[str, Video] = {}
    unlisted = []
    for video_id in [video.meeting_video_id for video in listing.videos] if wanted is None else wanted:
        video = listing.find(video_id)
        if video is None:
            unlisted.append(video_id)
        else:
            found.setdefault(video.meeting_video_id, video)
    live = [video for video in found.values() if not video.is_deleted]
    refused = [f"{video.meeting_video_id} ({video.state or 'no state'})" for video in live if video.state not in states]
    if refused:
        raise StateNotAllowedError(
            f"Refused as a whole, nothing was sent: {', '.join(refused)} may not be deleted in that state "
            f"(allowed: {', '.join(states)}). Wait until they are archived, or leave them out."
        )
    return Plan(
        to_delete=tuple(live),
        already_deleted=tuple(video for video in found.values() if video.is_deleted),
        unlisted=tuple(unlisted),
    )


def unrequested_ids(answer: Iterable[Video], *, requested: Collection[str], gone_before: Collection[str]) -> list[str]:
    """
    Find what an answer names although nobody requested its deletion.

    :param answer: the videos that the API says it deleted.
    :param requested: case-folded ids whose deletion was requested so far.
    :param gone_before: case-folded ids that a list showed as deleted, or no more, before their deletion was requested.
    :return: the ids.
    """
    return [
        video.meeting_video_id
        for video in answer
        if video.meeting_video_id.casefold() not in requested and video.meeting_video_id.casefold() not in gone_before
    ]


def disappeared(before: VideoList, now: VideoList, *, requested: Collection[str]) -> list[str]:
    """
    Find what was live and is gone although its deletion was not requested.

    :param before: the earlier list.
    :param now: the later list.
    :param requested: case-folded ids whose deletion was requested so far.
    :return: the ids.
    """
    return [
        video.meeting_video_id
        for video in before.videos
        if not video.is_deleted and video.meeting_video_id.casefold() not in requested and is_gone(now, video)
    ]


def is_gone(listing: VideoList, video: Video) -> bool:
    """
    Tell whether a recording is deleted, or no longer listed.

    :param listing: the list.
    :param video: the recording.
    :return: True when it is gone.
    """
    now = listing.find(video.meeting_video_id)
    return now is None or now.is_deleted
