"""The chain as one call: wait until archived, download and verify the copies, delete exactly what was verified."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import XComArg, task_group

from airflow_provider_iinked.arguments import ALL, DEFAULT_CONN_ID, require_bool
from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator, IinkedDownloadVideosOperator
from airflow_provider_iinked.sensors.videos import PACKAGES_KEY, IinkedVideosArchivedSensor

try:
    from airflow.providers.standard.operators.empty import EmptyOperator
except ImportError:  # Airflow 2.11
    from airflow.operators.empty import EmptyOperator  # type: ignore[import-not-found,no-redef]

if TYPE_CHECKING:
    from airflow_provider_iinked.operators.approval import IinkedApproveDeletionOperator


@task_group(group_id="archive_and_delete_videos")
def archive_and_delete_videos(
    *,
    package_id: str | Sequence[str] | XComArg,
    destination: str | Sequence[str],
    meeting_video_ids: str | Sequence[str] = ALL,
    min_videos: int = 1,
    on_failed: str = "fail",
    poke_interval: float = 60.0,
    timeout: float = timedelta(days=7).total_seconds(),
    deferrable: bool | None = None,
    max_parallel: int = 4,
    check_size: bool = True,
    check_media: bool | str = False,
    media_spool_dir: str | None = None,
    package_fields: Sequence[str] = (),
    retain_for: str | None = None,
    retention_mode: str = "COMPLIANCE",
    recheck: str = "sha256",
    min_copies: int = 1,
    preview: bool = False,
    approval: bool | Sequence[Any] = False,
    require_other_person: bool = False,
    response_timeout: timedelta | None = None,
    signing_conn_id: str | None = None,
    iinked_sign_conn_id: str = DEFAULT_CONN_ID,
) -> None:
    """
    Wait for a package's recordings, copy and verify them, then delete exactly those.

    Its tasks are ``wait``, ``download`` and ``delete``; with ``approval`` also ``preview`` and ``approve``, before
    ``delete``. One package, or a list of them for one task each:
    ``archive_and_delete_videos(package_id=..., destination=...)``. Many:
    ``archive_and_delete_videos.partial(destination=...).expand(package_id=[...])``, with ids or lists of ids; what is
    not expanded goes into ``partial``. Another name, retries and the like:
    ``archive_and_delete_videos.override(group_id=..., default_args={...})``.

    A package that fails holds up no other one. Unless ``package_id`` is a plain text, each task works on what the one
    before it handed over, also when that one failed for some packages, and a last task, ``done``, is there: it runs
    nothing, and fails the Dag run when a task before it failed. With ``approval`` a preview that fails ends the group.

    It may be cleared and run again as a whole: recordings that are deleted on the platform are not waited for, and
    count as done when their verified copies lie at the destination. One that was deleted without a copy is an error.

    :param package_id: the package, or a list of packages; a task's output for either. (templated)
    :param destination: URL with an explicit scheme that ``ObjectStoragePath`` opens, or several in different failure
        domains. (templated)
    :param meeting_video_ids: one id or several; ``"*"`` for all that are listed. (templated)
    :param min_videos: without a selection: how many recordings must be archived or already deleted.
    :param on_failed: what a failed recording means: ``fail``, ``wait``, or ``ignore`` (it is left out).
    :param poke_interval: seconds between two looks.
    :param timeout: seconds after which the wait fails.
    :param deferrable: whether to wait in the triggerer; Airflow's ``[operators] default_deferrable`` where it is None.
        Without, the wait frees its worker between two looks (``mode="reschedule"``).
    :param max_parallel: how many recordings are fetched, or verified, at a time.
    :param check_size: whether a copy must have the API's ``size``.
    :param check_media: whether a recording must play, and as long as the API's ``duration`` says (extra ``media``).
    :param media_spool_dir: folder of the worker for recordings while they are played; the system's temporary one where
        it is None.
    :param package_fields: names of package fields to keep in the custody records.
    :param retain_for: for how long the store locks each copy, such as ``P10Y``, or until which date; None for no lock.
        (templated)
    :param retention_mode: ``COMPLIANCE`` (nobody can lift the lock) or ``GOVERNANCE``.
    :param recheck: how copies are verified again right before the deletion: ``sha256`` or ``metadata``.
    :param min_copies: in how many failure domains verified copies of a recording must lie.
    :param preview: True to do all but send the deletions.
    :param approval: True to ask a person before the deletion, or the users who may answer, as
        ``HITLUser(id=..., name=...)``. Airflow 3.1 and newer.
    :param require_other_person: with ``approval``: True to refuse an answer by the user who triggered the run.
    :param response_timeout: with ``approval``: how long to wait for an answer; without one nothing is deleted.
    :param signing_conn_id: the Airflow connection whose password is the private key that signs records and receipts;
        None for no signatures. (templated)
    :param iinked_sign_conn_id: the Airflow connection. (templated)
    :raises InvalidArgumentError: when arguments contradict each other.
    :raises ImportError: with ``approval``, below Airflow 3.1.
    """
    _check_approval_arguments(approval, require_other_person, response_timeout, preview)
    wait = IinkedVideosArchivedSensor(
        task_id="wait",
        package_id=cast("Any", package_id),
        meeting_video_ids=meeting_video_ids,
        min_videos=min_videos,
        on_failed=on_failed,
        on_deleted="ignore",
        poke_interval=poke_interval,
        timeout=timeout,
        mode="reschedule",
        iinked_sign_conn_id=iinked_sign_conn_id,
        **({} if deferrable is None else {"deferrable": deferrable}),
    )
    # A text is one package. Of several, what is ready, and then what is verified, goes on although others failed.
    one = isinstance(package_id, str)
    ready: Any = wait.output
    common: dict[str, Any] = {
        "package_id": package_id if one else ready[PACKAGES_KEY],
        "signing_conn_id": signing_conn_id,
        "iinked_sign_conn_id": iinked_sign_conn_id,
    }
    rule: dict[str, Any] = {} if one else {"trigger_rule": "none_skipped"}
    download = IinkedDownloadVideosOperator(
        task_id="download",
        destination=destination,
        meeting_video_ids=meeting_video_ids,
        max_parallel=max_parallel,
        check_size=check_size,
        check_media=check_media,
        # What has failed is never archived, so a selection that may ignore it must be able to leave it out.
        allow_partial=on_failed == "ignore",
        media_spool_dir=media_spool_dir,
        package_fields=package_fields,
        retain_for=retain_for,
        retention_mode=retention_mode,
        **rule,
        **common,
    )
    copies: Any = download.output
    deletion = partial(
        IinkedDeleteVideosOperator,
        verified_copies=copies,
        recheck=recheck,
        min_copies=min_copies,
        max_parallel=max_parallel,
        **common,
    )
    wait >> download
    if approval is False:
        delete = deletion(task_id="delete", preview=preview, **rule)
        download >> delete
    else:
        look = deletion(task_id="preview", preview=True, **rule)
        approve = _ask_person(look, approval, require_other_person, response_timeout)
        delete = deletion(task_id="delete", approval=approve.output)
        download >> look >> approve >> delete
    if not one:
        # The state of a run is that of its last tasks; without this one, what failed before would not show in it.
        [wait, download, delete] >> EmptyOperator(task_id="done")


def _ask_person(
    look: IinkedDeleteVideosOperator,
    users: bool | Sequence[Any],
    require_other_person: bool,
    response_timeout: timedelta | None,
) -> IinkedApproveDeletionOperator:
    """Have a person approve what a preview shows."""
    # Only here: the module cannot be imported below Airflow 3.1, and says so.
    from airflow_provider_iinked.operators.approval import IinkedApproveDeletionOperator

    return IinkedApproveDeletionOperator(
        task_id="approve",
        plan=look.output,
        require_other_person=require_other_person,
        response_timeout=response_timeout,
        assigned_users=None if isinstance(users, bool) else list(users),
    )


def _check_approval_arguments(
    approval: object, require_other_person: object, response_timeout: object, preview: object
) -> None:
    """See at parse time that an approval is either requested in full or not at all."""
    people = isinstance(approval, (list, tuple)) and approval
    if not isinstance(approval, bool) and not people:
        raise InvalidArgumentError(
            "approval must be True, False or a list of the users who may answer; it is given, and empty or no list."
        )
    other = require_bool(require_other_person, "require_other_person")
    if approval is False and (other or response_timeout is not None):
        raise InvalidArgumentError("require_other_person and response_timeout need approval.")
    if approval is not False and require_bool(preview, "preview"):
        raise InvalidArgumentError(
            "approval does not go with preview=True: with approval a preview comes first anyway."
        )
