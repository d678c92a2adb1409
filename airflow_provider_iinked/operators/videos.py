"""
The operators of the chain: download and verify, then delete exactly what was verified.

What they rest on is imported when they run: a Dag file is parsed every few seconds, and loads neither an HTTP client
nor a storage library.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_iinked.arguments import (
    ALL,
    DEFAULT_CONN_ID,
    NOTSET,
    check_conn_id,
    check_folder,
    check_media_depth,
    refuse_path_object,
    require_bool,
    require_int,
    require_not_none,
)
from airflow_provider_iinked.deletion.target import check_approval_without_preview, check_exactly_one_target
from airflow_provider_iinked.links import IinkedSignLink, StoredCopiesLink, push_links
from airflow_provider_iinked.map_index import label_map_index

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_iinked.deletion.request import DeletionRequest
    from airflow_provider_iinked.download.stopping import StopSignal
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
    from airflow_provider_iinked.lineage import DeletedPackage
    from airflow_provider_iinked.models import StoredVideo


class IinkedDownloadVideosOperator(BaseOperator):
    """
    Copy archived recordings into your own storage, verify the copies, write their custody records.

    A copy is ``<destination>/<package_id>/<meeting_video_id>.mp4`` (or ``.webm`` ...), beside it
    ``<meeting_video_id>.custody.json``, which exists only when the copy is whole. Running the task again keeps what is
    whole, and overwrites nothing.

    .. seealso:: https://docs.iinkedsign.com/v4/api/videos/list

    :param package_id: the package, or a list of them: one that fails holds up no other, and the task fails at the end.
        (templated)
    :param destination: URL with an explicit scheme, such as ``s3://conn_id@bucket/prefix`` or
        ``file:///data/recordings``; or a list of URLs in different failure domains: the source is read once, and each
        gets its copy. (templated)
    :param retain_for: lock copies and records until then: an ISO 8601 duration such as ``P10Y`` from the recording's
        ``timeCreated``, or a date. A store that cannot lock is refused.
    :param retention_mode: ``COMPLIANCE`` or ``GOVERNANCE``.
    :param meeting_video_ids: one id or several; ``"*"`` for all that are archived now. An empty list copies nothing.
        With several packages it is ``"*"`` or an empty list. (templated)
    :param max_parallel: how many recordings are at work at a time, over all packages; above 1, the records of as many
        others are written meanwhile.
    :param check_size: whether a copy must have the API's ``size``; False where that is known to be inexact.
    :param allow_partial: whether selected recordings that cannot be copied yet are left out; else the task fails after
        the others are copied.
    :param package_fields: names of package fields to keep in the custody records, such as ``name``.
    :param check_media: True to publish only what a player can play to its end, as FFmpeg reads every packet;
        ``"decode"`` to decode every frame as well. Needs the extra ``media``.
    :param media_spool_dir: folder of the worker that recordings are spooled to for that check; None for the system's
        folder of temporary files. On a local destination the unpublished copy itself is read.
    :param signing_conn_id: the Airflow connection whose password is the private key that signs the custody records;
        None for no signatures. (templated)
    :param iinked_sign_conn_id: the Airflow connection. (templated)
    :return: for each copy ``package_id``, ``meeting_video_id``, ``uri``, ``size``, ``sha256`` and ``custody_uri``; made
        for the delete operator's ``verified_copies``.
    """

    template_fields: Sequence[str] = (
        "package_id",
        "destination",
        "meeting_video_ids",
        "signing_conn_id",
        "iinked_sign_conn_id",
    )
    operator_extra_links = (IinkedSignLink(), StoredCopiesLink())
    ui_color = "#dcefe6"

    def __init__(
        self,
        *,
        package_id: str | Sequence[str],
        destination: str | Sequence[str],
        retain_for: Any = None,
        retention_mode: str = "COMPLIANCE",
        meeting_video_ids: str | Sequence[str] = ALL,
        max_parallel: int = 4,
        check_size: bool = True,
        allow_partial: bool = False,
        package_fields: Sequence[str] = (),
        check_media: bool | str = False,
        media_spool_dir: str | None = None,
        signing_conn_id: str | None = None,
        iinked_sign_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        require_not_none(package_id, "package_id")
        require_not_none(destination, "destination")
        require_not_none(meeting_video_ids, "meeting_video_ids")
        require_int(max_parallel, "max_parallel", minimum=1)
        require_bool(check_size, "check_size")
        require_bool(allow_partial, "allow_partial")
        check_media_depth(check_media)
        check_folder(media_spool_dir, "media_spool_dir")
        refuse_path_object(destination, "destination")
        super().__init__(**kwargs)
        self.package_id = package_id
        self.destination = destination
        self.meeting_video_ids = meeting_video_ids
        self.max_parallel = max_parallel
        self.check_size = check_size
        self.allow_partial = allow_partial
        self.package_fields = package_fields
        self.check_media = check_media
        self.media_spool_dir = media_spool_dir
        self.retain_for = retain_for
        self.retention_mode = retention_mode
        self.signing_conn_id = signing_conn_id
        self.signatures_wanted = signing_conn_id is not None
        self.iinked_sign_conn_id = iinked_sign_conn_id
        self._copied: tuple[str, list[dict[str, Any]]] | None = None
        self._hook: IinkedSignHook | None = None
        self._stop: StopSignal | None = None

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """
        Copy what is archived.

        :param context: Airflow's context.
        :return: the custody records in short form; of several packages, also when the task fails for some of them.
        :raises InvalidArgumentError: for an argument that is empty or malformed, before any API call.
        :raises IinkedSignError: after everything else is copied, when something could not be.
        """
        from airflow_provider_iinked.custody.provenance import task_identity
        from airflow_provider_iinked.custody.signing_connection import connection_signer
        from airflow_provider_iinked.download.request import parse_download_request
        from airflow_provider_iinked.download.stopping import StopSignal
        from airflow_provider_iinked.download.workflow import download_videos
        from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
        from airflow_provider_iinked.lineage import report_copies

        request = parse_download_request(
            package_id=self.package_id,
            destination=self.destination,
            meeting_video_ids=self.meeting_video_ids,
            max_parallel=self.max_parallel,
            check_size=self.check_size,
            allow_partial=self.allow_partial,
            package_fields=self.package_fields,
            check_media=self.check_media,
            media_spool_dir=self.media_spool_dir,
            retain_for=self.retain_for,
            retention_mode=self.retention_mode,
            task=task_identity(context),
            signer=connection_signer(self.signing_conn_id, wanted=self.signatures_wanted),
        )
        label_map_index(context, request.packages.label)
        self._hook = hook = IinkedSignHook(check_conn_id(self.iinked_sign_conn_id))
        self._stop = StopSignal()
        try:
            stored = download_videos(hook, request, stop=self._stop, on_partial=partial(_hand_over, context))
            copies = [copy.as_xcom() for copy in stored]
        finally:
            push_links(context, self, hook, request.main_folder)
            hook.close()
        if copies:
            self._copied = (hook.api_base, copies)
            for destination in request.destinations:
                there = [copy for copy in copies if copy["uri"].startswith(f"{destination.rstrip('/')}/")]
                report_copies(context, self, hook, destination, there)
        return copies

    def on_kill(self) -> None:
        """
        End the download within a second: sockets are closed, unfinished uploads removed, nothing more is published.

        Airflow calls this from its signal handler, in the middle of :meth:`execute`.
        """
        if self._stop is not None:
            self._stop.request()
        if self._hook is not None:
            self._hook.stop()

    def get_openlineage_facets_on_complete(self, ti: Any) -> Any:
        """
        Describe the download to OpenLineage: each recording in, its copy out, with size and hash.

        :param ti: the task instance; not needed.
        :return: the lineage; None when nothing was copied.
        """
        from airflow_provider_iinked.lineage import download_lineage

        return download_lineage(*self._copied) if self._copied else None


def _hand_over(context: Context, stored: list[StoredVideo]) -> None:
    """Push what is verified although the task fails: a deletion with ``trigger_rule="all_done"`` works on it."""
    if ti := context.get("ti"):
        ti.xcom_push(key="return_value", value=[copy.as_xcom() for copy in stored])


class IinkedDeleteVideosOperator(BaseOperator):
    """
    Delete recordings from the platform, for good, and nothing that was not meant.

    Say what in exactly one way: ``verified_copies`` (the guarded path: each copy is verified again right before its
    original is deleted), ``package_id`` with ``meeting_video_ids``, or ``package_id`` with ``delete_all=True`` (one by
    one, what the list shows). Deletion is idempotent; running the task again is safe.

    .. seealso:: https://docs.iinkedsign.com/v4/api/videos/delete

    :param package_id: the package, or a list of packages; may be left out with ``verified_copies``. (templated)
    :param meeting_video_ids: one id or several of one package; with ``verified_copies`` they narrow it. An empty list
        deletes nothing. (templated)
    :param verified_copies: the download's XCom, of one package or several: pass ``download.output``. (templated)
    :param delete_all: True to delete all that the list shows. Never a template.
    :param states: states that may be deleted; a recording that is live in another one refuses the whole call. Not with
        ``verified_copies``.
    :param recheck: how copies are verified again: ``sha256`` reads them, ``metadata`` relies on size and the store's
        validator.
    :param min_copies: in how many failure domains (buckets, containers, hosts) verified copies of a recording must lie.
        Never a template.
    :param max_parallel: how many recordings are verified at a time; requests go out one by one.
    :param preview: True to read, check, log and return what would be deleted, and send nothing. Never a template.
    :param receipt_destination: URL below which receipts of deletions without copies are written; with copies they lie
        beside them. Legal holds are looked for where receipts are written: without either, none is seen. (templated)
    :param approval: the XCom of an approval task (Airflow 3.1 or newer): pass ``approve.output``. Only what that plan
        names is deleted, and only while it is still true; an approved deletion by id that shall be retried needs a
        ``receipt_destination``. (templated)
    :param signing_conn_id: the Airflow connection whose password is the private key that signs the receipts; None for
        no signatures. (templated)
    :param iinked_sign_conn_id: the Airflow connection. (templated)
    :return: the API's response, ``packageId`` and ``videos``, without URLs; ``notListed`` and ``preview`` where they
        apply. A list of these, one a package, where ``package_id`` is a list or the copies span several.
    """

    template_fields: Sequence[str] = (
        "package_id",
        "meeting_video_ids",
        "verified_copies",
        "receipt_destination",
        "approval",
        "signing_conn_id",
        "iinked_sign_conn_id",
    )
    operator_extra_links = (IinkedSignLink(), StoredCopiesLink())
    ui_color = "#f6e0dc"

    def __init__(
        self,
        *,
        package_id: str | Sequence[str] = NOTSET,
        meeting_video_ids: str | Sequence[str] = ALL,
        verified_copies: Sequence[Any] = NOTSET,
        delete_all: bool = False,
        states: Sequence[str] = ("archived",),
        recheck: str = "sha256",
        preview: bool = False,
        receipt_destination: str | None = None,
        min_copies: int = 1,
        max_parallel: int = 8,
        approval: Any = NOTSET,
        signing_conn_id: str | None = None,
        iinked_sign_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        require_not_none(package_id, "package_id")
        require_not_none(meeting_video_ids, "meeting_video_ids")
        require_not_none(verified_copies, "verified_copies")
        require_not_none(approval, "approval")
        check_approval_without_preview(approval_given=approval is not NOTSET, preview=require_bool(preview, "preview"))
        require_int(min_copies, "min_copies", minimum=1)
        require_int(max_parallel, "max_parallel", minimum=1)
        check_exactly_one_target(
            package_given=package_id is not NOTSET,
            # Identity, since a template field must not be read here; execute compares the value.
            ids_given=meeting_video_ids is not ALL,
            copies_given=verified_copies is not NOTSET,
            delete_all=require_bool(delete_all, "delete_all"),
        )
        super().__init__(**kwargs)
        self.package_id = package_id
        self.meeting_video_ids = meeting_video_ids
        self.verified_copies = verified_copies
        self.delete_all = delete_all
        self.states = states
        self.recheck = recheck
        self.preview = preview
        self.receipt_destination = receipt_destination
        self.receipts_wanted = receipt_destination is not None
        self.signing_conn_id = signing_conn_id
        self.signatures_wanted = signing_conn_id is not None
        self.min_copies = min_copies
        self.max_parallel = max_parallel
        self.approval = approval
        self.iinked_sign_conn_id = iinked_sign_conn_id
        self._hook: IinkedSignHook | None = None
        self._killed = False
        self._deleted: tuple[str, list[DeletedPackage]] | None = None

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """
        Delete what was meant.

        :param context: Airflow's context.
        :return: the API's response, several calls merged, without URLs; a list of these for several packages.
        :raises InvalidArgumentError: for an argument that is empty, malformed or contradictory, before any request.
        :raises StateNotAllowedError: when a recording is in a state that may not be deleted; nothing is sent.
        :raises UnrequestedDeletionError: when an answer names a recording that was not requested; everything stops.
        :raises IinkedSignError: after all others are deleted, when one could not be.
        """
        from airflow_provider_iinked.custody.provenance import task_identity
        from airflow_provider_iinked.custody.signing_connection import connection_signer
        from airflow_provider_iinked.deletion.request import parse_deletion_request
        from airflow_provider_iinked.deletion.workflow import delete_videos
        from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

        request = parse_deletion_request(
            package_id=self.package_id,
            meeting_video_ids=self.meeting_video_ids,
            verified_copies=self.verified_copies,
            delete_all=self.delete_all,
            states=self.states,
            recheck=self.recheck,
            preview=self.preview,
            receipt_destination=self.receipt_destination,
            receipts_wanted=self.receipts_wanted,
            min_copies=self.min_copies,
            max_parallel=self.max_parallel,
            approval=self.approval,
            conn_id=check_conn_id(self.iinked_sign_conn_id),
            task=task_identity(context),
            signer=connection_signer(self.signing_conn_id, wanted=self.signatures_wanted),
        )
        label_map_index(context, request.ids.label if request.packages else None)
        self._hook = hook = IinkedSignHook(self.iinked_sign_conn_id)
        if self._killed:
            hook.stop()
        try:
            response = delete_videos(hook, request)
        finally:
            push_links(context, self, hook, request.folder)
            hook.close()
        if not request.preview:
            self._announce(context, hook, request, response if isinstance(response, list) else [response])
        return response

    def _announce(self, context: Context, hook: IinkedSignHook, request: DeletionRequest, responses: Any) -> None:
        """Keep what OpenLineage reports, and add to the outlets' events what is deleted."""
        from airflow_provider_iinked.lineage import announce

        packages: list[DeletedPackage] = []
        for target, response in zip(request.packages, responses, strict=False):
            gone = [video["meetingVideoId"] for video in response["videos"]]
            copies = [copy.as_xcom() for places in (target.copies or {}).values() for copy in places]
            if not gone:
                continue
            packages.append((target.package_id, gone, copies))
            if copies:
                facts = {"package_id": target.package_id, "event": "deleted", "meeting_video_ids": ",".join(gone)}
                folder = copies[0]["uri"].rpartition("/")[0]
                announce(context, self, folder.rpartition("/")[0], {**facts, "videos": len(gone)})
        self._deleted = (hook.api_base, packages) if packages else None

    def on_kill(self) -> None:
        """Send nothing more: at most the request on its way is completed, and its receipt written."""
        self._killed = True
        if self._hook is not None:
            self._hook.stop()

    def get_openlineage_facets_on_complete(self, ti: Any) -> Any:
        """
        Describe the deletion to OpenLineage: each recording dropped, and the copies that were verified before.

        :param ti: the task instance; not needed.
        :return: the lineage; None when nothing was deleted, as in a preview.
        """
        from airflow_provider_iinked.lineage import deletion_lineage

        return deletion_lineage(*self._deleted) if self._deleted else None
