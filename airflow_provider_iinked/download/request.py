"""What is to be copied. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.arguments import (
    PackageIds,
    check_folder,
    check_media_depth,
    check_package_ids,
    check_selection,
    require_bool,
    require_int,
)
from airflow_provider_iinked.custody.record import TaskIdentity
from airflow_provider_iinked.download.retention import MODES, Retention, parse_retention
from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.models import Package, Video, VideoList
from airflow_provider_iinked.storage.layout import Layout
from airflow_provider_iinked.storage.url import check_destination

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.signing import DocumentSigner


@dataclass(frozen=True)
class DownloadRequest:
    """
    The copies to make, as the download operator's arguments say; ids and destinations are checked.

    :param packages: the packages.
    :param destinations: URLs below which the packages' folders are.
    :param meeting_video_ids: the recordings; None for all that are archived now.
    :param max_parallel: how many recordings are at work at a time, over all packages.
    :param check_size: whether the API's ``size`` must be that of the copy.
    :param allow_partial: whether a selected recording that cannot be copied yet is left out silently.
    :param package_fields: package fields to keep in the custody record.
    :param task: the running task.
    :param check_media: whether a copy must play to its end before it is published; ``"decode"`` for every frame.
    :param media_spool_dir: folder of the worker that recordings are spooled to for that; None for the system's.
    :param retention: how long copies and records are locked; None for no lock.
    :param signer: signs the custody records; None for nobody.
    """

    packages: PackageIds
    destinations: tuple[str, ...]
    meeting_video_ids: tuple[str, ...] | None = None
    max_parallel: int = 4
    check_size: bool = True
    allow_partial: bool = False
    package_fields: tuple[str, ...] = ()
    task: TaskIdentity = field(default_factory=TaskIdentity)
    check_media: bool | str = False
    media_spool_dir: str | None = None
    retention: Retention | None = None
    signer: DocumentSigner | None = None

    @property
    def main_folder(self) -> str:
        """The folder that a link leads to: that of the only package, or the one below which all packages are."""
        ids = self.packages.ids
        return Layout.of(self.destinations[0], ids[0]).folder if len(ids) == 1 else self.destinations[0]

    @property
    def leaves_out(self) -> bool:
        """True when a recording that cannot be copied yet is no failure: nobody selected it, or that is allowed."""
        return self.meeting_video_ids is None or self.allow_partial


def parse_download_request(
    *,
    package_id: object,
    destination: object,
    meeting_video_ids: object,
    max_parallel: object = 4,
    check_size: object = True,
    allow_partial: object = False,
    package_fields: object = (),
    check_media: object = False,
    media_spool_dir: object = None,
    retain_for: object = None,
    retention_mode: object = MODES[0],
    task: TaskIdentity | None = None,
    signer: DocumentSigner | None = None,
) -> DownloadRequest:
    """
    Validate the download operator's arguments, as resolved at run time.

    :param package_id: one package, or a list of them.
    :param destination: one URL, or a list of them in different failure domains.
    :param meeting_video_ids: the recordings, or ``"*"``.
    :param max_parallel: how many recordings are at work at a time.
    :param check_size: whether the API's ``size`` must be that of the copy.
    :param allow_partial: whether selected recordings that cannot be copied yet are left out.
    :param package_fields: names of package fields.
    :param check_media: whether recordings must play to their end; ``"decode"`` to decode every frame.
    :param media_spool_dir: folder for spool files; None for the system's.
    :param retain_for: how long copies are locked: an ISO 8601 duration from the recording's ``timeCreated``, or a date.
    :param retention_mode: ``COMPLIANCE`` or ``GOVERNANCE``.
    :param task: the running task.
    :param signer: signs the custody records; None for nobody.
    :return: the request.
    :raises InvalidArgumentError: for whatever is empty or malformed; before any API call.
    """
    packages = check_package_ids(package_id)
    return DownloadRequest(
        packages=packages,
        destinations=check_destinations(destination),
        meeting_video_ids=check_selection(packages, meeting_video_ids),
        max_parallel=require_int(max_parallel, "max_parallel", minimum=1),
        check_size=require_bool(check_size, "check_size"),
        allow_partial=require_bool(allow_partial, "allow_partial"),
        package_fields=check_package_fields(package_fields),
        task=task or TaskIdentity(),
        check_media=check_media_depth(check_media),
        media_spool_dir=check_folder(media_spool_dir, "media_spool_dir"),
        retention=parse_retention(retain_for, retention_mode, now=datetime.now(UTC)),
        signer=signer,
    )


def check_destinations(value: object) -> tuple[str, ...]:
    """
    Validate one destination or several.

    :param value: a URL, or a list of URLs.
    :return: the URLs.
    :raises InvalidArgumentError: for an empty list, and a URL that cannot be used.
    """
    if not isinstance(value, (list, tuple)):
        return (check_destination(value),)
    if not value:
        raise InvalidArgumentError("destination is an empty list. Nothing was sent. Name at least one URL.")
    return tuple(check_destination(item, f"destination[{position}]") for position, item in enumerate(value))


@dataclass(frozen=True)
class Selection:
    """
    The recordings of one package, sorted by what can be done with them now.

    :param archived: can be copied.
    :param later: are listed, but not archived yet.
    :param deleted: ids that are listed as deleted.
    :param unlisted: selected ids that are not listed.
    """

    archived: tuple[Video, ...]
    later: tuple[Video, ...]
    deleted: tuple[str, ...]
    unlisted: tuple[str, ...]


def sort_recordings(listing: VideoList, wanted: Sequence[str] | None) -> Selection:
    """
    Sort the recordings of a package.

    :param listing: what is listed now.
    :param wanted: the selected ids; None for all.
    :return: the recordings, each once, in the order selected or listed.
    """
    videos, unlisted = listing.select(wanted)
    return Selection(
        archived=tuple(video for video in videos if video.is_archived),
        later=tuple(video for video in videos if not video.is_archived and not video.is_deleted),
        deleted=tuple(video.meeting_video_id for video in videos if video.is_deleted),
        unlisted=unlisted,
    )


def check_package_fields(value: object) -> tuple[str, ...]:
    """
    Validate names of package fields.

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
    links that are secrets.

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
