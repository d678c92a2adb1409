"""Recordings that wait for their copy: which of those whose retention ends soon have none at a destination yet."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypedDict

import pendulum

from airflow_provider_iinked.custody.parallel import ordered_map
from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.models import Video
from airflow_provider_iinked.storage import Store, open_store
from airflow_provider_iinked.storage.layout import Kind, Layout, ids_of

log = logging.getLogger(__name__)

_DAY: Final = 86_400.0
NEVER: Final = float("inf")

Ends = Mapping[str, float]
"""When the retention of each archived recording of a package ends (epoch seconds), by its id."""


class EndingPackage(TypedDict):
    """
    A package of which recordings are lost soon, as an XCom carries it.

    :param package_id: the package.
    :param meeting_video_ids: its recordings that end soon, the first to end in front.
    :param ends: when the first one ends, ISO 8601 in UTC.
    :param days_left: whole days until then; negative where it has passed.
    :param text: all of it as a line for a message.
    """

    package_id: str
    meeting_video_ids: list[str]
    ends: str
    days_left: int
    text: str


def retention_ends(videos: Iterable[Video]) -> dict[str, float]:
    """
    Return when the retention of each archived recording ends.

    :param videos: the recordings of a package.
    :return: epoch seconds by id; infinite where the platform names no end.
    """
    return {
        video.meeting_video_id: video.time_retention.timestamp() if video.time_retention else NEVER
        for video in videos
        if video.is_archived
    }


def ending_packages(found: Mapping[str, Ends], *, days: float, now: float) -> list[EndingPackage]:
    """
    Pick what ends soon.

    :param found: the recordings by package.
    :param days: within how many days.
    :param now: epoch seconds.
    :return: the packages, the one that ends first in front.
    """
    ending = []
    for package_id, ends in found.items():
        soon = sorted((end, video_id) for video_id, end in ends.items() if end < now + days * _DAY)
        if soon:
            ending.append((soon[0][0], package_id, [video_id for _, video_id in soon]))
    return [_describe(package_id, ids, end, now) for end, package_id, ids in sorted(ending)]


def _describe(package_id: str, ids: list[str], end: float, now: float) -> EndingPackage:
    when = pendulum.from_timestamp(end).format("YYYY-MM-DDTHH:mm:ss[Z]")
    left = int((end - now) // _DAY)
    return {
        "package_id": package_id,
        "meeting_video_ids": ids,
        "ends": when,
        "days_left": left,
        "text": f"Package {package_id}: {len(ids)} recordings end from {when} on, in {left} days",
    }


def without_copies(
    found: Mapping[str, Ends], destinations: Sequence[str], *, max_parallel: int
) -> dict[str, dict[str, float]]:
    """
    Leave out the recordings that have a custody record, which is written when the copy is whole, at every destination.

    :param found: the recordings by package.
    :param destinations: URLs as given to the download.
    :param max_parallel: how many folders are listed at a time.
    :return: the others. A package whose folder cannot be listed counts as not copied, with a warning.
    :raises InvalidArgumentError: for a destination that cannot be used.
    :raises StorageError: when no folder at all could be listed.
    """
    stores = {url: open_store(url) for url in destinations}
    uncopied: dict[str, dict[str, float]] = {}
    errors: list[StorageError] = []
    with ThreadPoolExecutor(max_parallel, thread_name_prefix="iinked-copies") as pool:
        copied = ordered_map(pool, partial(_copied_ids, stores), found, ahead=2 * max_parallel)
        for (package_id, ends), ids in zip(found.items(), copied, strict=True):
            if isinstance(ids, StorageError):
                log.warning("Package %s counts as not copied: %s", package_id, ids)
                errors.append(ids)
                ids = frozenset()
            if rest := {video_id: end for video_id, end in ends.items() if video_id.casefold() not in ids}:
                uncopied[package_id] = rest
    if errors and len(errors) == len(found):
        raise errors[0]
    return uncopied


def _copied_ids(stores: Mapping[str, Store], package_id: str) -> frozenset[str] | StorageError:
    """Return the case-folded ids that every destination has a record of; runs in any thread."""
    try:
        recorded = [frozenset(_recorded(store, Layout.of(url, package_id).folder)) for url, store in stores.items()]
    except StorageError as error:
        return error
    return frozenset.intersection(*recorded)


def _recorded(store: Store, folder: str) -> Iterator[str]:
    return (video_id.casefold() for video_id in ids_of(store.list_names(folder), Kind.RECORD))
