"""What is to be copied. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_iinked.custody.record import TaskIdentity
from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.models import Package, Video, VideoList


@dataclass(frozen=True)
class DownloadRequest:
    """
    One package's copies, as the download operator's arguments say; ids are checked.

    :param package_id: the package.
    :param destination: URL below which the package's folder lies.
    :param meeting_video_ids: the recordings; None for all that are archived now.
    :param max_parallel: how many are fetched at a time.
    :param check_size: whether the API's ``size`` must be that of the copy.
    :param allow_partial: whether a selected recording that cannot be copied yet is left out silently.
    :param package_fields: package fields to keep in the custody record.
    :param stamp: the running task.
    :param check_media: whether a copy must be seen to play, for as long as the API says, before it is published.
    """

    package_id: str
    destination: str
    meeting_video_ids: tuple[str, ...] | None = None
    max_parallel: int = 4
    check_size: bool = True
    allow_partial: bool = False
    package_fields: tuple[str, ...] = ()
    stamp: TaskIdentity = field(default_factory=TaskIdentity)
    check_media: bool = False


@dataclass(frozen=True)
class Selection:
    """
    The recordings of an order, sorted by what can be done with them now.

    :param archived: can be copied.
    :param later: are listed, but not archived: another day.
    :param deleted: ids that are listed as deleted.
    :param unlisted: selected ids that are not listed.
    """

    archived: tuple[Video, ...]
    later: tuple[Video, ...]
    deleted: tuple[str, ...]
    unlisted: tuple[str, ...]


def select(listing: VideoList, wanted: Sequence[str] | None) -> Selection:
    """
    Sort the recordings of an order.

    :param listing: what is listed now.
    :param wanted: the selected ids; None for all.
    :return: the recordings, each once, in the order they were asked for or listed.
    """
    found: dict[str, Video] = {}
    unlisted = []
    if wanted is None:
        found = {video.meeting_video_id: video for video in listing.videos}
    else:
        for video_id in wanted:
            video = listing.find(video_id)
            if video is None:
                unlisted.append(video_id)
            else:
                found.setdefault(video.meeting_video_id, video)
    videos = found.values()
    return Selection(
        archived=tuple(video for video in videos if video.is_archived),
        later=tuple(video for video in videos if not video.is_archived and not video.is_deleted),
        deleted=tuple(video.meeting_video_id for video in videos if video.is_deleted),
        unlisted=tuple(unlisted),
    )


def check_package_fields(value: object) -> tuple[str, ...]:
    """
    Let names of package fields pass.

    :param value: the value of the argument.
    :return: the names.
    :raises InvalidArgumentError: for anything but a list of names.
    """
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    raise InvalidArgumentError("package_fields must be a list of names of package fields, such as ('name',).")


def keep_package_fields(package: Package, names: Sequence[str]) -> dict[str, Any]:
    """
    Pick package fields for the custody record. Only plain values and ``externalData`` are kept: other objects hold
    links that are secrets (fact sheet, section 11).

    :param package: the package.
    :param names: which fields.
    :return: the fields; None for one that the API does not give.
    :raises InvalidArgumentError: for a field that is no plain value.
    """
    kept: dict[str, Any] = {}
    for name in names:
        value = package.fields.get(name)
        plain = value is None or isinstance(value, (str, int, float, bool))
        if not plain and not (name == "externalData" and isinstance(value, Mapping)):
            raise InvalidArgumentError(f"package_fields: {name!r} is no plain value and is not kept. Leave it out.")
        kept[name] = value
    return kept
