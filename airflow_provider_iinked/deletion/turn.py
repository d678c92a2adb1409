"""One recording's turn: make ready what the rules ask for, send the request, report the answer; again where allowed."""

from __future__ import annotations

import logging
import time
from collections import Counter
from concurrent.futures import Future
from typing import Final

from airflow_provider_iinked.api.retries import RetryBudget
from airflow_provider_iinked.deletion.approval import NOT_AS_APPROVED
from airflow_provider_iinked.deletion.context import DeletionContext
from airflow_provider_iinked.deletion.package import PackageDeletion
from airflow_provider_iinked.deletion.preparation import Prepared
from airflow_provider_iinked.deletion.recording import Recording, Verification
from airflow_provider_iinked.deletion.rules import Step
from airflow_provider_iinked.deletion.states import RecordingState
from airflow_provider_iinked.exceptions import IinkedSignError, ServiceUnavailableError
from airflow_provider_iinked.models import parse_videos

log = logging.getLogger(__name__)

_MAX_ATTEMPTS: Final = 3
"""How often list, copies and receipt are made ready for one request, until they are recent enough together."""


class RecordingTurn:
    """
    The deletion of one recording, in the task's own thread.

    :param context: what the packages of the task share.
    :param package: its package.
    :param recording: the recording.
    """

    def __init__(self, context: DeletionContext, package: PackageDeletion, recording: Recording) -> None:
        self._context = context
        self._package = package
        self._recording = recording

    def take(self, prepared: Future[Prepared] | None) -> None:
        """
        Delete it, or with ``preview`` only check what a deletion needs; its state says what became of it.

        :param prepared: what a worker makes ready for its first request; None where there is nothing to prepare.
        """
        recording = self._recording
        if self._context.request.preview:
            self._preview(prepared)
            return
        self._delete(prepared)
        if recording.error is not None and recording.state in (RecordingState.FAILED, RecordingState.REFUSED):
            log.error("Video %s: %s", recording.id, recording.error)
        if recording.state is RecordingState.GONE:
            log.info("Video %s was deleted by something else meanwhile.", recording.id)
        if recording.state in (RecordingState.FAILED, RecordingState.GONE):
            self._package.apply_receipt(recording)
        if self._context.request.approval is not None and isinstance(recording.error, NOT_AS_APPROVED):
            self._context.stop(recording.error)

    def _preview(self, prepared: Future[Prepared] | None) -> None:
        """Check all that a deletion needs, and send nothing."""
        recording = self._recording
        if prepared is not None:
            self._take_prepared(prepared)
        if recording.state is RecordingState.PENDING:
            log.info("Preview: video %s would be deleted.", recording.id)
        elif recording.error is not None:
            log.error("Video %s: %s", recording.id, recording.error)

    def _delete(self, prepared: Future[Prepared] | None) -> None:
        """Send requests, each after new checks, until the recording is settled or the retries are spent."""
        recording = self._recording
        budget = RetryBudget(self._context.api.max_retries)
        while self._request_once(prepared):
            prepared = None
            if recording.state is RecordingState.UNCLEAR and self._package.goes_on():
                self._let_list_decide()
            if recording.state is not RecordingState.PENDING:
                self._context.health.worked()
                return
            if not self._package.goes_on():
                return
            error = recording.error or ServiceUnavailableError("no answer")
            wait = budget.wait_after(error)
            if wait is None:
                self._give_up(error)
                return
            log.warning(
                "Video %s: %s It is still listed; re-verifying and retrying in %.1f s.", recording.id, error, wait
            )
            self._context.pause(wait)

    def _request_once(self, prepared: Future[Prepared] | None) -> bool:
        """Make everything ready for one request and send it; return whether it was sent."""
        rules, video_id, seen = self._package.rules, self._recording.id, Counter[Step]()
        while self._context.goes_on():
            step = rules.next_step(video_id, now=time.monotonic())
            if step is Step.NOTHING:
                return False
            seen[step] += 1
            if seen[step] > _MAX_ATTEMPTS:
                rules.fail(video_id, _too_slow())
            elif step is Step.READ_LIST:
                self._package.read_list()
            elif step is Step.SEND:
                self._context.api.wait_for_slot()
                self._refuse_held()
                if self._context.goes_on() and rules.next_step(video_id, now=time.monotonic()) is Step.SEND:
                    self._send()
                    return True
            else:
                self._take_prepared(prepared or self._package.prepare(self._recording))
                prepared = None
        return False

    def _refuse_held(self) -> None:
        """Keep the recording when its package is under legal hold at this moment, or that cannot be known."""
        try:
            self._package.check_not_held(self._recording.id)
        except IinkedSignError as error:
            self._package.rules.fail(self._recording.id, error)

    def _take_prepared(self, prepared: Future[Prepared] | None) -> None:
        """Report to the rules what a worker made ready."""
        rules, recording = self._package.rules, self._recording
        if prepared is None:
            rules.receipt_written(recording.id)
            return
        try:
            made = self._context.workers.result(prepared)
        except IinkedSignError as error:
            if self._context.goes_on():
                rules.fail(recording.id, error)
            return
        if made is None:
            return
        if made.verification is not None:
            rules.verified(recording.id, made.verification, at=made.verified_at)
        if made.has_receipt and recording.state is RecordingState.PENDING:
            rules.receipt_written(recording.id)

    def _send(self) -> None:
        """Send one request and report its answer to the rules."""
        rules, verification = self._package.rules, self._recording.verification
        package_id, video_id = rules.begin_request(self._recording.id, now=time.monotonic())
        try:
            named = parse_videos(self._context.api.delete_video(package_id, video_id, max_retries=0), package_id)
        except IinkedSignError as error:
            rules.request_failed(video_id, error)
        else:
            rules.answered(video_id, named)
            if self._recording.answer is not None:
                log.info("Video %s: deleted; %s.", video_id, _verified_copies(verification))
        if rules.stopped_by is not None:
            self._package.end(rules.stopped_by)

    def _let_list_decide(self) -> None:
        """After an unclear answer read the list, instead of sending the request again blindly."""
        recording, error = self._recording, self._recording.error
        self._package.read_list()
        if recording.state is RecordingState.DELETED:
            log.info("Video %s: deleted, as the list shows; the answer was unclear: %s", recording.id, error)

    def _give_up(self, error: IinkedSignError) -> None:
        """Leave this recording; or all of them, when it is the service that does not work."""
        if self._context.health.is_down_after(error):
            self._package.end(error)
            self._context.stop(error)
        else:
            self._package.rules.fail(self._recording.id, error)


def _too_slow() -> ServiceUnavailableError:
    return ServiceUnavailableError(
        f"kept on the platform: its verification, the list and its receipt were {_MAX_ATTEMPTS} times too old for a "
        "request to follow. Look at what is slow: the storage, the API, or max_requests_per_second of the connection",
        sent=False,
    )


def _verified_copies(verification: Verification | None) -> str:
    if verification is None:
        return "no copy"
    return "verified copy: " + ", ".join(f"{fact['uri']} ({fact['kind']})" for fact in verification.facts)
