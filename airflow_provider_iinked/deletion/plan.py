"""What exactly may be deleted, and whether an answer says that more was. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_iinked.exceptions import StateNotAllowedError
from airflow_provider_iinked.models import Video, VideoList

MAX_LIST_AGE = 60.0
"""Seconds: a list that is older says nothing about what may be deleted now."""
MAX_PROOF_AGE = 10.0
"""Seconds: a copy that was read longer ago is read again before its source is deleted."""


@dataclass(frozen=True)
class Plan:
    """
    What is to be done about each recording that was asked for.

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

    :param listed_at: when it was asked for, in seconds of the same clock as ``now``.
    :param now: the time.
    :return: True when it is young enough.
    """
    return now - listed_at <= MAX_LIST_AGE


def is_fresh_enough(*, now: float, listed_at: float, proved_at: float | None) -> bool:
    """
    Tell whether a request may follow what was looked at, or whether that was too long ago.

    :param now: the time, in seconds of the same clock as the others.
    :param listed_at: when the list was asked for.
    :param proved_at: when the copy was read to its end; None for a deletion that rests on no copy.
    :return: True when both are recent.
    """
    return is_recent(listed_at, now=now) and (proved_at is None or now - proved_at <= MAX_PROOF_AGE)


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


def unrequested_ids(answer: Iterable[Video], *, asked: Collection[str], gone_before: Collection[str]) -> list[str]:
    """
    Find what an answer names although it was not asked for.

    :param answer: the videos that the API says it deleted.
    :param asked: case-folded ids that were asked for so far.
    :param gone_before: case-folded ids that the list showed as deleted before anything was asked for.
    :return: ids of the strangers.
    """
    return [
        video.meeting_video_id
        for video in answer
        if video.meeting_video_id.casefold() not in asked and video.meeting_video_id.casefold() not in gone_before
    ]


def disappeared(before: VideoList, now: VideoList, *, asked: Collection[str]) -> list[str]:
    """
    Find what was live, was not asked for, and is gone.

    :param before: the earlier list.
    :param now: the later list.
    :param asked: case-folded ids that were asked for so far.
    :return: ids of what disappeared.
    """
    return [
        video.meeting_video_id
        for video in before.videos
        if not video.is_deleted and video.meeting_video_id.casefold() not in asked and is_gone(now, video)
    ]


def is_gone(listing: VideoList, video: Video) -> bool:
    """
    Tell whether a recording is deleted, or listed no more.

    :param listing: the list.
    :param video: the recording.
    :return: True when it is gone.
    """
    now = listing.find(video.meeting_video_id)
    return now is None or now.is_deleted
