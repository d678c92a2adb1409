"""One package's deletion: its list and rules, what workers prepare for it, and its receipts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from airflow_provider_iinked.deletion.context import DeletionContext
from airflow_provider_iinked.deletion.preparation import Preparation, Prepared
from airflow_provider_iinked.deletion.receipts import PackageReceipts
from airflow_provider_iinked.deletion.recording import ReceiptUse, Recording
from airflow_provider_iinked.deletion.request import PackageTarget
from airflow_provider_iinked.deletion.result import PackageOutcome
from airflow_provider_iinked.deletion.rules import DeletionRules
from airflow_provider_iinked.deletion.service_health import is_service_wide
from airflow_provider_iinked.deletion.states import RecordingState
from airflow_provider_iinked.deletion.workers import settle
from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.models import VideoList

log = logging.getLogger(__name__)


class PackageDeletion:
    """
    One package on its way.

    :param context: what the packages of the task share.
    :param target: what to delete of this one.
    """

    def __init__(self, context: DeletionContext, target: PackageTarget) -> None:
        self.target = target
        self.outcome = PackageOutcome(target.package_id)
        self._context = context
        self._receipts = PackageReceipts(context.request, target, context.api.api_base, context.stores)
        self._preparation = Preparation(context, target, self._receipts)
        self._prepared: dict[str, Future[Prepared]] = {}
        self._written: dict[str, Future[None]] = {}

    @property
    def rules(self) -> DeletionRules:
        """Its rules; there are none before :meth:`begin` has read its list."""
        if self.outcome.rules is None:
            raise RuntimeError(f"Package {self.target.package_id} has no list.")
        return self.outcome.rules

    def goes_on(self) -> bool:
        """Tell whether something may still be sent for it."""
        return self._context.goes_on() and self.rules.stopped_by is None

    def begin(self) -> None:
        """Read its list and make its rules; an error becomes its outcome."""
        if self.target.meeting_video_ids == ():
            return
        context, request = self._context, self._context.request
        try:
            if not request.preview:
                for url in self._receipts.folders():
                    context.stores.open(url).remove_stale(url)
            listed_at = time.monotonic()
            rules = DeletionRules(
                self.target.package_id,
                VideoList(context.api.list_videos(self.target.package_id)),
                listed_at=listed_at,
                wanted=self.target.meeting_video_ids,
                states=request.states,
                guarded=self.target.copies is not None,
                min_copies=request.min_copies,
                is_approved=partial(context.is_approved, self.target.package_id),
            )
        except IinkedSignError as error:
            self.end(error)
            return
        self.outcome.rules = rules
        context.add_rules(rules)
        self._finish_already_deleted()
        self._refuse_held()

    def _refuse_held(self) -> None:
        """End a package that is under legal hold, where something of it is left to delete."""
        try:
            if any(self.rules):
                self._receipts.check_folders_not_held()
        except IinkedSignError as error:
            self.end(error)

    def end(self, error: IinkedSignError) -> None:
        """
        Send nothing more for it; or nothing more at all, when the error concerns the service.

        :param error: why.
        """
        self.outcome.error = self.outcome.error or error
        if self.outcome.rules is not None:
            self.rules.stop(error)
        if is_service_wide(error):
            self._context.stop(error)
        else:
            log.error("Package %s: %s", self.target.package_id, error)

    def read_list(self) -> None:
        """Read its list again; without one nothing more is sent for it."""
        listed_at = time.monotonic()
        try:
            listing = VideoList(self._context.api.list_videos(self.target.package_id))
            change = self.rules.take_list(listing, listed_at=listed_at)
        except IinkedSignError as error:
            self.end(error)
            return
        if change.disappeared:
            # Others may delete in the same package at the same time.
            gone = ", ".join(change.disappeared)
            log.warning("Package %s: deleted by something else during this task: %s", self.target.package_id, gone)
        if self.rules.stopped_by is not None:
            self.end(self.rules.stopped_by)
        for video_id in change.settled:
            recording = self.rules.recording(video_id)
            if recording.requests:
                self.apply_receipt(recording)

    def _finish_already_deleted(self) -> None:
        """What is gone is done; complete the receipts of runs that were killed between request and receipt."""
        plan = self.rules.plan
        for video_id in plan.unlisted:
            log.warning("Video %s is not listed; treated as already deleted, no request sent.", video_id)
        for video in plan.already_deleted:
            log.info("Video %s is deleted already; no request sent.", video.meeting_video_id)
        if self._context.request.preview:
            return
        for video_id in self.outcome.gone_before:
            if self._preparation.open_places(video_id):
                self._write(video_id, partial(self._receipts.complete_left_over, video_id))

    def check_not_held(self, video_id: str) -> None:
        """
        Refuse to delete what is under legal hold at this moment.

        :param video_id: the recording.
        :raises LegalHoldError: when it is held; nothing may be sent then.
        :raises StorageError: when that cannot be known; nothing may be sent then.
        """
        self._receipts.check_not_held(video_id)

    # --- in other threads ---------------------------------------------------------------------------------------

    def prepare(self, recording: Recording) -> Future[Prepared] | None:
        """
        Begin to verify a recording's copies and to write its receipt.

        :param recording: the recording.
        :return: what will be ready, later; None where there is nothing to prepare.
        """
        if self._context.is_ending() or not self._preparation.open_places(recording.id):
            return None
        future = self._context.workers.verify(partial(self._preparation.prepare, recording.id, recording.video))
        self._prepared[recording.id] = future
        return future

    def apply_receipt(self, recording: Recording, *, until: float | None = None) -> None:
        """
        Bring a recording's receipt to what is known of it.

        :param recording: the recording.
        :param until: monotonic time after which a receipt that is still being written is left alone; None for never.
        """
        use, receipts = recording.receipt_use, self._receipts
        if self._context.request.preview or use is ReceiptUse.LEAVE or recording.id in self._written:
            return
        ahead = self._prepared.get(recording.id)
        if ahead is not None and not ahead.cancel():
            settle([ahead], until=until)
            if not ahead.done():
                return
        if recording.state is RecordingState.GONE:
            self._write(recording.id, partial(receipts.complete_left_over, recording.id))
        elif not receipts.is_open(recording.id):
            return
        elif use is ReceiptUse.VOID:
            self._write(recording.id, partial(receipts.void, recording.id))
        else:
            confirmed = use is ReceiptUse.COMPLETE
            work = partial(receipts.complete, recording.id, recording.answer, confirmed=confirmed)
            self._write(recording.id, work)

    def _write(self, video_id: str, work: Callable[[], None]) -> None:
        self._written[video_id] = self._context.workers.write(work)

    def apply_all_receipts(self, *, until: float | None) -> None:
        """
        Bring every receipt to what is known now.

        :param until: monotonic time after which what is not ready is left; None for never.
        """
        settle(self._prepared.values(), until=until)
        for recording in self.outcome.recordings:
            self.apply_receipt(recording, until=until)

    def collect_receipts(self, *, until: float | None) -> None:
        """
        Wait for the receipts, and note which could not be written.

        :param until: monotonic time after which the rest is left; None for never.
        :raises Exception: what is no error of ours.
        """
        settle(self._written.values(), until=until)
        for video_id, future in self._written.items():
            if not future.done() or future.cancelled() or (error := future.exception()) is None:
                continue
            if not isinstance(error, IinkedSignError):
                raise error
            # For the end, so that the other recordings are deleted.
            log.error("Video %s: %s", video_id, error)
            self.outcome.notes[video_id] = error

    def approved_before(self, plan_sha256: str) -> dict[tuple[str, str], str]:
        """
        Read which digests the recordings that are gone had in an approved plan, as their receipts say.

        :param plan_sha256: digest of the approved plan.
        :return: digests by case-folded package and recording.
        :raises StorageError: when a receipt cannot be read.
        """
        found: dict[tuple[str, str], str] = {}
        for video_id in self.outcome.gone_before:
            found |= self._receipts.approved_before(video_id, plan_sha256)
        return found

    # --- its end ------------------------------------------------------------------------------------------------

    @property
    def awaits_confirmation(self) -> bool:
        """Whether a later list may still show that its requests were carried out."""
        rules = self.outcome.rules
        return rules is not None and rules.stopped_by is None and bool(rules.unconfirmed())
