"""The chain as one call: wait until archived, download and prove the copies, delete exactly what was proved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import task_group

from airflow_provider_iinked.arguments import ALL, DEFAULT_CONN_ID
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor


@task_group(group_id="archive_and_delete_videos")
def archive_and_delete_videos(
    *,
    package_id: str,
    destination: str,
    meeting_video_ids: str | Sequence[str] = ALL,
    min_videos: int = 1,
    on_failed: str = "fail",
    poke_interval: float = 60.0,
    timeout: float = timedelta(days=7).total_seconds(),
    deferrable: bool | None = None,
    max_parallel: int = 4,
    check_size: bool = True,
    check_media: bool = False,
    package_fields: Sequence[str] = (),
    recheck: str = "sha256",
    preview: bool = False,
    signing_conn_id: str | None = None,
    iinked_sign_conn_id: str = DEFAULT_CONN_ID,
) -> None:
    """
    Wait for a package's recordings, copy and prove them, then delete exactly those.

    Its tasks are ``wait``, ``download`` and ``delete``. One package:
    ``archive_and_delete_videos(package_id=..., destination=...)``. Many:
    ``archive_and_delete_videos.partial(destination=...).expand(package_id=[...])``; what is not expanded goes into
    ``partial``. Another name, retries and the like:
    ``archive_and_delete_videos.override(group_id=..., default_args={...})``.

    It may be cleared and run again as a whole: recordings that are deleted on the platform are not waited for, and
    count as done when their proved copies lie at the destination. One that was deleted without a copy is an error.

    :param package_id: the package. (templated)
    :param destination: URL with an explicit scheme that ``ObjectStoragePath`` opens. (templated)
    :param meeting_video_ids: one id or several; ``"*"`` for all that are listed. (templated)
    :param min_videos: without a selection: how many recordings must be archived or already deleted.
    :param on_failed: what a failed recording means: ``fail``, ``wait``, or ``ignore`` (it is left out).
    :param poke_interval: seconds between two looks.
    :param timeout: seconds after which the wait fails.
    :param deferrable: whether to wait in the triggerer; Airflow's ``[operators] default_deferrable`` where it is None.
        Without, the wait frees its worker between two looks (``mode="reschedule"``).
    :param max_parallel: how many recordings of a package are fetched at a time.
    :param check_size: whether a copy must have the API's ``size``.
    :param check_media: whether a recording must play, and as long as the API's ``duration`` says (extra ``media``).
    :param package_fields: names of package fields to keep in the custody records.
    :param recheck: how copies are proved again right before the deletion: ``sha256`` or ``metadata``.
    :param preview: True to do all but send the deletions.
    :param signing_conn_id: the Airflow connection whose password is the private key that signs records and receipts;
        None for no signatures. (templated)
    :param iinked_sign_conn_id: the Airflow connection. (templated)
    """
    common: dict[str, Any] = {"package_id": package_id, "iinked_sign_conn_id": iinked_sign_conn_id}
    wait = IinkedVideosArchivedSensor(
        task_id="wait",
        meeting_video_ids=meeting_video_ids,
        min_videos=min_videos,
        on_failed=on_failed,
        on_deleted="ignore",
        poke_interval=poke_interval,
        timeout=timeout,
        mode="reschedule",
        **(common if deferrable is None else {**common, "deferrable": deferrable}),
    )
    download = IinkedDownloadVideosOperator(
        task_id="download",
        destination=destination,
        meeting_video_ids=meeting_video_ids,
        max_parallel=max_parallel,
        check_size=check_size,
        check_media=check_media,
        # What has failed is never archived, so a selection that may ignore it must be able to leave it out.
        allow_partial=on_failed == "ignore",
        package_fields=package_fields,
        signing_conn_id=signing_conn_id,
        **common,
    )
    copies: Any = download.output
    delete = IinkedDeleteVideosOperator(
        task_id="delete",
        verified_copies=copies,
        recheck=recheck,
        preview=preview,
        signing_conn_id=signing_conn_id,
        **common,
    )
    wait >> download >> delete
