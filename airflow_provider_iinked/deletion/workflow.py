"""
Carrying out a deletion: fetch, ask the rules, act.

What may be sent is decided by :mod:`airflow_provider_iinked.deletion.rules` alone. Requests go out one at a time, in
order, from the task's own thread; copies are verified and receipts written ahead of them in other threads.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from airflow_provider_iinked import metrics
from airflow_provider_iinked.api.retries import RetryBudget, backoff
from airflow_provider_iinked.deletion.approval import (
    Approval,
    Key,
    approval_problem,
    plan_entries,
    planned_deletion,
    read_plan,
)
from airflow_provider_iinked.deletion.plan import MAX_VERIFICATION_AGE
from airflow_provider_iinked.deletion.protocols import DeletionApi
from airflow_provider_iinked.deletion.receipts import OpenStores, PackageReceipts
from airflow_provider_iinked.deletion.recording import ReceiptUse, Recording, Verification, listing_problem
from airflow_provider_iinked.deletion.request import DeletionRequest, PackageTarget
from airflow_provider_iinked.deletion.result import PackageOutcome, build_response, partial_failure_error
from airflow_provider_iinked.deletion.rules import DeletionRules, ServiceHealth, Step, is_service_wide
from airflow_provider_iinked.deletion.states import RecordingState
from airflow_provider_iinked.deletion.verification import verify_recording
from airflow_provider_iinked.deletion.workers import Lookahead, Workers, settle
from airflow_provider_iinked.exceptions import (
    ApprovalError,
    IinkedSignError,
    ServiceUnavailableError,
    StateNotAllowedError,
    StorageError,
    TaskStoppedError,
    VerificationError,
)
from airflow_provider_iinked.models import Video, VideoList, parse_videos

log = logging.getLogger(__name__)

_CONFIRM_FOR: Final = 30.0
"""Seconds for which a list that lags behind is read again at the end."""
_MAX_ATTEMPTS: Final = 3
"""How often list, copies and receipt are made ready for one request, until they are recent enough together."""
_NOT_AS_APPROVED: Final = (ApprovalError, StateNotAllowedError, VerificationError)
"""With an approval, what is found to differ at one recording ends the whole deletion."""
_CLEAN_UP_FOR: Final = 3.0
"""Seconds for receipts when the task is told to end; it is killed soon after."""


def delete_videos(api: DeletionApi, request: DeletionRequest) -> dict[str, Any] | list[dict[str, Any]]:
    """
    Delete what a request names, and nothing else. Running it again is safe.

    :param api: the API.
    :param request: what to delete, and what must be verified before.
    :return: the API's response: ``packageId`` and ``videos``, several calls merged, without URLs; ``notListed`` and
        ``preview`` where they apply. A list of these, one a package, where several packages were given.
    :raises StateNotAllowedError: when a recording is in a state that may not be deleted; nothing is sent.
    :raises UnrequestedDeletionError: when an answer names a recording that was not requested; everything stops.
    :raises IinkedSignError: after all others are deleted, when one could not be.
    """
    responses = _Deletion(api, request).run()
    if request.as_list:
        return responses
    return responses[0] if responses else {"packageId": None, "videos": [], **_preview_flag(request)}


@dataclass(frozen=True)
class _Prepared:
    """What a worker made ready for one request."""

    verification: Verification | None
    verified_at: float
    has_receipt: bool


@dataclass
class _Package:
    """One package on its way."""

    target: PackageTarget
    receipts: PackageReceipts
    outcome: PackageOutcome
    under_way: dict[str, Future[_Prepared]] = field(default_factory=dict)
    writing: dict[str, Future[None]] = field(default_factory=dict)

    @property
    def rules(self) -> DeletionRules:
        if self.outcome.rules is None:
            raise RuntimeError(f"Package {self.target.package_id} has no list.")
        return self.outcome.rules


@dataclass(frozen=True)
class _Turn:
    """One recording, or (None) the end of a package."""

    package: _Package
    recording: Recording | None


class _Deletion:
    """One task's deletion."""

    def __init__(self, api: DeletionApi, request: DeletionRequest) -> None:
        self._api = api
        self._request = request
        self._stores = OpenStores(request.task)
        self._packages: list[_Package] = []
        self._health = ServiceHealth()
        self._stopped_by: IinkedSignError | None = None
        self._abandoned = False
        self._until: float | None = None
        self._approved: Mapping[Key, str] = {}
        self._workers = Workers(request.max_parallel, self._is_ending)
        self._lookahead = Lookahead(request.max_parallel, MAX_VERIFICATION_AGE)

    def run(self) -> list[dict[str, Any]]:
        """Delete, and return one response a package."""
        targets = self._request.packages
        if self._request.is_empty:
            log.info("An empty list of recordings: nothing to delete, nothing was sent.")
            return [self._empty_response(target) for target in targets]
        log.info("iinked Sign API: %s", self._api.api_base)
        if self._request.approval is not None:
            self._approved = self._check_approval(self._request.approval)
        done = False
        try:
            for turn, prepared in self._lookahead.run(self._turns(), self._start):
                self._take_turn(turn, prepared)
                if self._stopped_by is not None:
                    break
            self._confirm_all()
            done = True
        finally:
            # Also when the task is told to end by an exception, at any line above.
            self._abandoned = not done
            self._finish()
        return self._result()

    def _check_approval(self, approval: Approval) -> Mapping[Key, str]:
        """List and verify everything, and compare the plan with the approved one before anything is sent."""
        check = _Deletion(self._api, replace(self._request, preview=True, approval=None))
        try:
            recordings = read_plan(check.run())
        except _NOT_AS_APPROVED as error:
            raise ApprovalError(
                f"What {approval.responded_by} approved is no longer there as it was. {error}"
            ) from error
        done: dict[Key, str] = {}
        gone: set[Key] = set()
        for package in check._packages:
            for video_id in package.outcome.gone_before:
                gone.add((package.target.package_id.casefold(), video_id.casefold()))
                done |= package.receipts.approved_before(video_id, approval.plan_sha256)
        now = plan_entries(recordings)
        problem = approval_problem(approval, now, done, gone)
        if problem is not None:
            raise problem
        log.info("Approved by %s at %s.", approval.responded_by, approval.responded_at)
        return now

    def _is_approved(self, package_id: str, video: Video, verification: Verification | None) -> bool:
        """Tell whether a recording, as it is now, is in the approved plan; all are where nobody is asked."""
        if self._request.approval is None:
            return True
        facts = verification.facts if verification is not None else ()
        planned = planned_deletion(self._api.api_base, package_id, video, facts)
        return self._approved.get(planned.key) == planned.digest()

    def _empty_response(self, target: PackageTarget) -> dict[str, Any]:
        outcome = PackageOutcome(target.package_id)
        return build_response(outcome, api_base=self._api.api_base, preview=self._request.preview)

    def _result(self) -> list[dict[str, Any]]:
        outcomes = [package.outcome for package in self._packages]
        if not self._request.preview:
            metrics.count(metrics.VIDEOS_DELETED, sum(len(outcome.deleted) for outcome in outcomes))
            metrics.count(metrics.VIDEOS_REFUSED, sum(len(outcome.failures) for outcome in outcomes))
        only = outcomes[0] if len(self._request.packages) == 1 and outcomes else None
        if only is not None and only.rules is None and only.error is not None:
            raise only.error
        if self._stopped_by is not None or any(outcome.errors for outcome in outcomes):
            raise partial_failure_error(outcomes, stopped_by=self._stopped_by)
        for outcome in outcomes if not self._request.preview else ():
            log.info("Package %s: %d recordings deleted.", outcome.package_id, len(outcome.deleted))
        return [
            build_response(outcome, api_base=self._api.api_base, preview=self._request.preview) for outcome in outcomes
        ]

    # --- what is there ------------------------------------------------------------------------------------------

    def _turns(self) -> Iterator[_Turn]:
        """Go through all recordings, package by package; a package's list is read when its first turn is near."""
        for target in self._request.packages:
            if not self._goes_on():
                return
            package = self._begin(target)
            if package.outcome.rules is not None:
                for recording in package.rules:
                    yield _Turn(package, recording)
                yield _Turn(package, None)

    def _begin(self, target: PackageTarget) -> _Package:
        """Read a package's list and make its rules."""
        outcome = PackageOutcome(target.package_id)
        package = _Package(target, PackageReceipts(self._request, target, self._api.api_base, self._stores), outcome)
        self._packages.append(package)
        if target.meeting_video_ids == ():
            return package
        try:
            package.receipts.check_folders_not_held()
            if not self._request.preview:
                for url in package.receipts.folders():
                    self._stores.open(url).remove_stale(url)
            listed_at = time.monotonic()
            outcome.rules = DeletionRules(
                target.package_id,
                VideoList(self._api.list_videos(target.package_id)),
                listed_at=listed_at,
                wanted=target.meeting_video_ids,
                states=self._request.states,
                guarded=target.copies is not None,
                min_copies=self._request.min_copies,
                is_approved=partial(self._is_approved, target.package_id),
            )
        except IinkedSignError as error:
            self._end_package(package, error)
            return package
        self._finish_already_deleted(package)
        return package

    def _end_package(self, package: _Package, error: IinkedSignError) -> None:
        """Send nothing more for a package; or nothing more at all, when the error concerns the service."""
        package.outcome.error = package.outcome.error or error
        if package.outcome.rules is not None:
            package.rules.stop(error)
        if is_service_wide(error):
            self._stop(error)
        else:
            log.error("Package %s: %s", package.target.package_id, error)

    def _finish_already_deleted(self, package: _Package) -> None:
        """What is gone is done; complete the receipts of runs that were killed between request and receipt."""
        plan = package.rules.plan
        for video_id in plan.unlisted:
            log.warning("Video %s is not listed; treated as already deleted, no request sent.", video_id)
        for video in plan.already_deleted:
            log.info("Video %s is deleted already; no request sent.", video.meeting_video_id)
        if self._request.preview:
            return
        for video_id in (*(video.meeting_video_id for video in plan.already_deleted), *plan.unlisted):
            if self._open_places(package, video_id):
                self._write(package, video_id, partial(package.receipts.complete_left_over, video_id))

    def _read_list(self, package: _Package) -> None:
        """Read a package's list again; without one nothing more is sent for it."""
        listed_at = time.monotonic()
        try:
            listing = VideoList(self._api.list_videos(package.target.package_id))
            change = package.rules.take_list(listing, listed_at=listed_at)
        except IinkedSignError as error:
            self._end_package(package, error)
            return
        if change.disappeared:
            # Others may delete in the same package at the same time.
            log.warning("Deleted by something else during this task: %s", ", ".join(change.disappeared))
        if package.rules.stopped_by is not None:
            self._end_package(package, package.rules.stopped_by)
        for video_id in change.settled:
            recording = package.rules.recording(video_id)
            if recording.requests:
                self._apply_receipt(package, recording)

    # --- one recording ------------------------------------------------------------------------------------------

    def _start(self, turn: _Turn) -> Future[_Prepared] | None:
        """Begin to verify a recording's copies and to write its receipt; None where there is nothing to do."""
        if turn.recording is None or self._is_ending():
            return None
        package, recording = turn.package, turn.recording
        if not self._open_places(package, recording.id):
            return None
        future = self._workers.verify(partial(self._prepare, package, recording.id, recording.video))
        package.under_way[recording.id] = future
        return future

    def _open_places(self, package: _Package, video_id: str) -> bool:
        """Open the stores of a recording's copies and receipts, in this thread; return whether there are any."""
        places = [copy.uri for copy in package.target.copies_of(video_id)]
        places += package.receipts.places(video_id)
        try:
            for place in places:
                self._stores.open(place)
        except IinkedSignError:
            # The worker meets it again, and it becomes the recording's error.
            log.debug("The storage behind %s could not be opened.", places[0])
        return bool(places) or package.target.copies is not None

    def _prepare(self, package: _Package, video_id: str, video: Video) -> _Prepared:
        """In a worker: verify the copies, and write the receipt where they agree with the recording as listed."""
        verification, verified_at = None, 0.0
        if package.target.copies is not None:
            copies = package.target.copies_of(video_id)
            if not copies:
                raise VerificationError("kept on the platform: there is no verified copy of it")
            verification = verify_recording(
                self._stores.open,
                copies,
                api_base=self._api.api_base,
                recheck=self._request.recheck,
                stop=self._is_ending,
                signer=self._request.signer,
            )
            verified_at = time.monotonic()
            if listing_problem(verification, video) is not None:
                return _Prepared(verification, verified_at, has_receipt=False)
        if self._is_ending():
            raise StorageError("Its receipt was not written: the task was told to end.")
        if not self._request.preview:
            package.receipts.open(video, verification)
        # Only a look after the receipt is written counts: see custody.hold.
        package.receipts.check_not_held(video_id)
        return _Prepared(verification, verified_at, has_receipt=True)

    def _take_turn(self, turn: _Turn, prepared: Future[_Prepared] | None) -> None:
        if turn.recording is None:
            if turn.package.rules.unconfirmed() and self._goes_on() and turn.package.rules.stopped_by is None:
                self._read_list(turn.package)
            return
        package, recording = turn.package, turn.recording
        if self._request.preview:
            self._preview(package, recording, prepared)
            return
        self._delete(package, recording, prepared)
        if recording.error is not None and recording.state in (RecordingState.FAILED, RecordingState.REFUSED):
            log.error("Video %s: %s", recording.id, recording.error)
        if recording.state is RecordingState.GONE:
            log.info("Video %s was deleted by something else meanwhile.", recording.id)
        if recording.state in (RecordingState.FAILED, RecordingState.GONE):
            self._apply_receipt(package, recording)
        if self._request.approval is not None and isinstance(recording.error, _NOT_AS_APPROVED):
            self._stop(recording.error)

    def _delete(self, package: _Package, recording: Recording, prepared: Future[_Prepared] | None) -> None:
        """Send requests for one recording, each after new checks, until it is settled or patience ends."""
        budget = RetryBudget(self._api.max_retries)
        while self._request_once(package, recording, prepared):
            prepared = None
            if recording.state is RecordingState.UNCLEAR and self._goes_on() and package.rules.stopped_by is None:
                self._let_list_decide(package, recording)
            if recording.state is not RecordingState.PENDING:
                self._health.worked()
                return
            if not self._goes_on() or package.rules.stopped_by is not None:
                return
            error = recording.error or ServiceUnavailableError("no answer")
            wait = budget.wait_after(error)
            if wait is None:
                self._give_up(package, recording, error)
                return
            log.warning(
                "Video %s: %s It is still listed; re-verifying and retrying in %.1f s.", recording.id, error, wait
            )
            self._pause(wait)

    def _request_once(self, package: _Package, recording: Recording, prepared: Future[_Prepared] | None) -> bool:
        """Make everything ready for one request and send it; return whether it was sent."""
        rules, seen = package.rules, Counter[Step]()
        while self._goes_on():
            step = rules.next_step(recording.id, now=time.monotonic())
            if step is Step.NOTHING:
                return False
            seen[step] += 1
            if seen[step] > _MAX_ATTEMPTS:
                rules.fail(recording.id, _too_slow())
            elif step is Step.READ_LIST:
                self._read_list(package)
            elif step is Step.SEND:
                self._api.wait_for_slot()
                if self._goes_on() and rules.next_step(recording.id, now=time.monotonic()) is Step.SEND:
                    self._send(package, recording)
                    return True
            else:
                self._take_prepared(package, recording, prepared or self._start(_Turn(package, recording)))
                prepared = None
        return False

    def _take_prepared(self, package: _Package, recording: Recording, prepared: Future[_Prepared] | None) -> None:
        """Report to the rules what a worker made ready."""
        if prepared is None:
            package.rules.receipt_written(recording.id)
            return
        try:
            made = self._workers.result(prepared)
        except IinkedSignError as error:
            if self._goes_on():
                package.rules.fail(recording.id, error)
            return
        if made is None:
            return
        if made.verification is not None:
            package.rules.verified(recording.id, made.verification, at=made.verified_at)
        if made.has_receipt and recording.state is RecordingState.PENDING:
            package.rules.receipt_written(recording.id)

    def _send(self, package: _Package, recording: Recording) -> None:
        """Send one request and report its answer to the rules."""
        rules, verification = package.rules, recording.verification
        package_id, video_id = rules.begin_request(recording.id, now=time.monotonic())
        try:
            named = parse_videos(self._api.delete_video(package_id, video_id, max_retries=0), package_id)
        except IinkedSignError as error:
            rules.request_failed(video_id, error)
        else:
            rules.answered(video_id, named)
            if recording.answer is not None:
                log.info("Video %s: deleted; %s.", video_id, _verified_copies(verification))
        if rules.stopped_by is not None:
            self._end_package(package, rules.stopped_by)

    def _let_list_decide(self, package: _Package, recording: Recording) -> None:
        """After an unclear answer read the list, instead of sending the request again blindly."""
        error = recording.error
        self._read_list(package)
        if recording.state is RecordingState.DELETED:
            log.info("Video %s: deleted, as the list shows; the answer was unclear: %s", recording.id, error)

    def _give_up(self, package: _Package, recording: Recording, error: IinkedSignError) -> None:
        """Leave one recording; or all of them, when it is the service that does not work."""
        if self._health.is_down_after(error):
            self._end_package(package, error)
            self._stop(error)
        else:
            package.rules.fail(recording.id, error)

    def _preview(self, package: _Package, recording: Recording, prepared: Future[_Prepared] | None) -> None:
        """Check all that a deletion needs, and send nothing."""
        if prepared is not None:
            self._take_prepared(package, recording, prepared)
        if recording.state is RecordingState.PENDING:
            log.info("Preview: video %s would be deleted.", recording.id)
        elif recording.error is not None:
            log.error("Video %s: %s", recording.id, recording.error)

    # --- the end ------------------------------------------------------------------------------------------------

    def _confirm_all(self) -> None:
        """See in fresh lists that everything is gone; a list may lag behind for a while."""
        until, attempt = time.monotonic() + _CONFIRM_FOR, 0
        while left := [p for p in self._packages if self._goes_on() and _awaits_confirmation(p)]:
            attempt += 1
            pause = min(backoff(attempt), until - time.monotonic())
            if pause <= 0:
                break
            count = sum(len(package.rules.unconfirmed()) for package in left)
            log.info(
                "The list still shows %d recordings after their deletion; reading it again in %.1f s.", count, pause
            )
            self._pause(pause)
            for package in left:
                if self._goes_on():
                    self._read_list(package)
        for package in left:
            package.rules.end()

    def _finish(self) -> None:
        """Bring the receipts to what is known now, and end the threads."""
        ending = self._is_ending()
        self._until = time.monotonic() + _CLEAN_UP_FOR if ending else None
        for package in self._packages:
            settle(package.under_way.values(), until=self._until)
            for recording in package.outcome.recordings:
                self._apply_receipt(package, recording)
        for package in self._packages:
            settle(package.writing.values(), until=self._until)
            for video_id, future in package.writing.items():
                if future.done() and not future.cancelled() and (error := future.exception()) is not None:
                    self._collect_error(package, video_id, error)
        self._workers.close(at_once=ending)

    def _apply_receipt(self, package: _Package, recording: Recording) -> None:
        """Bring a recording's receipt to what is known of it, in another thread."""
        use, receipts = recording.receipt_use, package.receipts
        if self._request.preview or use is ReceiptUse.LEAVE or recording.id in package.writing:
            return
        ahead = package.under_way.get(recording.id)
        if ahead is not None and not ahead.cancel():
            settle([ahead], until=self._until)
            if not ahead.done():
                return
        if recording.state is RecordingState.GONE:
            self._write(package, recording.id, partial(receipts.complete_left_over, recording.id))
        elif not receipts.is_open(recording.id):
            return
        elif use is ReceiptUse.VOID:
            self._write(package, recording.id, partial(receipts.void, recording.id))
        else:
            confirmed = use is ReceiptUse.COMPLETE
            work = partial(receipts.complete, recording.id, recording.answer, confirmed=confirmed)
            self._write(package, recording.id, work)

    def _write(self, package: _Package, video_id: str, work: Any) -> None:
        package.writing[video_id] = self._workers.write(work)

    def _collect_error(self, package: _Package, video_id: str, error: BaseException) -> None:
        """Keep one recording's error for the end, so that the others are deleted."""
        if not isinstance(error, IinkedSignError):
            raise error
        log.error("Video %s: %s", video_id, error)
        package.outcome.notes[video_id] = error

    # --- whether to go on ---------------------------------------------------------------------------------------

    def _is_ending(self) -> bool:
        """Tell whether nothing more may be begun; asked from every thread."""
        return self._abandoned or self._stopped_by is not None or self._api.stopping.is_set()

    def _goes_on(self) -> bool:
        """Tell whether the task goes on; note why not when it was told to end."""
        if self._stopped_by is None and self._api.stopping.is_set():
            self._stop(TaskStoppedError())
        return self._stopped_by is None

    def _stop(self, error: IinkedSignError) -> None:
        """Send nothing more, for any package."""
        self._stopped_by = self._stopped_by or error
        for package in self._packages:
            if package.outcome.rules is not None:
                package.rules.stop(error)

    def _pause(self, seconds: float) -> None:
        """Wait, unless the task is told to end."""
        self._api.stopping.wait(seconds)


def _preview_flag(request: DeletionRequest) -> dict[str, bool]:
    return {"preview": True} if request.preview else {}


def _awaits_confirmation(package: _Package) -> bool:
    rules = package.outcome.rules
    return rules is not None and rules.stopped_by is None and bool(rules.unconfirmed())


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
