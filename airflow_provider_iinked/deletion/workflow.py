"""
Carrying out a deletion: the packages in their order, an approval before them, a fresh list after them.

What may be sent is decided by :mod:`airflow_provider_iinked.deletion.rules` alone. Requests go out one at a time, in
order, from the task's own thread (:mod:`~airflow_provider_iinked.deletion.turn`); copies are verified and receipts
written ahead of them in other threads (:mod:`~airflow_provider_iinked.deletion.preparation`).
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final

from airflow_provider_iinked import metrics, progress
from airflow_provider_iinked.api.retries import backoff
from airflow_provider_iinked.deletion.approval import (
    NOT_AS_APPROVED,
    Approval,
    Key,
    approval_problem,
    plan_entries,
    plan_sha256,
    read_plan,
)
from airflow_provider_iinked.deletion.context import DeletionContext
from airflow_provider_iinked.deletion.package import PackageDeletion
from airflow_provider_iinked.deletion.plan import MAX_VERIFICATION_AGE
from airflow_provider_iinked.deletion.preparation import Prepared
from airflow_provider_iinked.deletion.protocols import DeletionApi
from airflow_provider_iinked.deletion.recording import Recording
from airflow_provider_iinked.deletion.request import DeletionRequest
from airflow_provider_iinked.deletion.result import PackageOutcome, build_response, partial_failure_error
from airflow_provider_iinked.deletion.turn import RecordingTurn
from airflow_provider_iinked.deletion.workers import Lookahead
from airflow_provider_iinked.exceptions import ApprovalError

log = logging.getLogger(__name__)

_CONFIRM_FOR: Final = 30.0
"""Seconds for which a list that lags behind is read again at the end."""
_CLEAN_UP_FOR: Final = 3.0
"""Seconds for receipts when the task is to end; it is killed soon after."""


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
    return responses[0] if responses else {"packageId": None, "videos": [], **_preview_of_nothing(request)}


@dataclass(frozen=True)
class _Item:
    """One recording, or (None) the end of a package."""

    package: PackageDeletion
    recording: Recording | None


class _Deletion:
    """One task's deletion."""

    def __init__(self, api: DeletionApi, request: DeletionRequest) -> None:
        self._api = api
        self._request = request
        self._context = DeletionContext(api, request)
        self._packages: list[PackageDeletion] = []
        self._lookahead = Lookahead(request.max_parallel, MAX_VERIFICATION_AGE)
        self._done = Counter[str]()
        self._log_due = progress.Every()

    def run(self) -> list[dict[str, Any]]:
        """Delete, and return one response a package."""
        if self._request.is_empty:
            log.info("An empty list of recordings: nothing to delete, nothing was sent.")
            return [self._response(PackageOutcome(target.package_id)) for target in self._request.packages]
        log.info("iinked Sign API: %s", self._api.api_base)
        if not self._request.sees_holds:
            log.warning("Without receipt_destination no receipt is written, and no legal hold is seen.")
        if self._request.approval is not None:
            self._context.approved = self._check_approval(self._request.approval)
        done = False
        try:
            for item, prepared in self._lookahead.run(self._items(), _prepare):
                self._take(item, prepared)
                self._note_progress(item)
                if self._context.stopped_by is not None:
                    break
            self._confirm_all()
            done = True
        finally:
            # Also when an exception ends the task, at any line above.
            if not done:
                self._context.abandon()
            self._finish()
        return self._result()

    def _check_approval(self, approval: Approval) -> Mapping[Key, str]:
        """List and verify everything, and compare the plan with the approved one before anything is sent."""
        check = _Deletion(self._api, replace(self._request, preview=True, approval=None))
        try:
            recordings = read_plan(check.run())
        except NOT_AS_APPROVED as error:
            raise ApprovalError(
                f"What {approval.responded_by} approved is no longer there as it was. {error}"
            ) from error
        done: dict[Key, str] = {}
        gone: set[Key] = set()
        for package in check._packages:
            package_id = package.target.package_id.casefold()
            gone |= {(package_id, video_id.casefold()) for video_id in package.outcome.gone_before}
            done |= package.approved_before(approval.plan_sha256)
        now = plan_entries(recordings)
        problem = approval_problem(approval, now, done, gone)
        if problem is not None:
            raise problem
        log.info("Approved by %s at %s.", approval.responded_by, approval.responded_at)
        return now

    def _items(self) -> Iterator[_Item]:
        """Go through all recordings, package by package; a package's list is read when its first turn is near."""
        for target in self._request.packages:
            if not self._context.goes_on():
                return
            package = PackageDeletion(self._context, target)
            self._packages.append(package)
            package.begin()
            if package.outcome.rules is not None and package.outcome.error is None:
                for recording in package.rules:
                    yield _Item(package, recording)
                yield _Item(package, None)

    def _take(self, item: _Item, prepared: Future[Prepared] | None) -> None:
        if item.recording is not None:
            RecordingTurn(self._context, item.package, item.recording).take(prepared)
        elif item.package.awaits_confirmation and self._context.goes_on():
            item.package.read_list()

    def _note_progress(self, item: _Item) -> None:
        """Count a turn, and say every ten seconds how far the task is."""
        if item.recording is None:
            self._done["packages"] += 1
        else:
            self._done["recordings"] += 1
            self._done["bytes"] += sum(copy.size for copy in item.package.target.copies_of(item.recording.id))
        if self._log_due.is_due():
            line = progress.describe(
                packages=len(self._request.packages),
                packages_done=self._done["packages"] + sum(p.outcome.rules is None for p in self._packages),
                recordings_done=self._done["recordings"],
                bytes_done=self._done["bytes"],
                verb="of copies verified",
                elapsed=self._log_due.elapsed,
            )
            log.info("%s", line)

    def _confirm_all(self) -> None:
        """See in fresh lists that everything is gone; a list may lag behind for a while."""
        until, attempt = time.monotonic() + _CONFIRM_FOR, 0
        while left := [p for p in self._packages if self._context.goes_on() and p.awaits_confirmation]:
            attempt += 1
            pause = min(backoff(attempt), until - time.monotonic())
            if pause <= 0:
                break
            count = sum(len(package.rules.unconfirmed()) for package in left)
            named = ", ".join(package.target.package_id for package in left)
            log.info(
                "The list still shows %d recordings after their deletion; reading it again in %.1f s. Packages: %s",
                count,
                pause,
                named,
            )
            self._context.pause(pause)
            for package in left:
                if self._context.goes_on():
                    package.read_list()
        for package in left:
            package.rules.end()

    def _finish(self) -> None:
        """Bring the receipts to what is known now, and end the threads."""
        ending = self._context.is_ending()
        until = time.monotonic() + _CLEAN_UP_FOR if ending else None
        for package in self._packages:
            package.apply_all_receipts(until=until)
        for package in self._packages:
            package.collect_receipts(until=until)
        self._context.workers.close(at_once=ending)

    def _result(self) -> list[dict[str, Any]]:
        outcomes = [package.outcome for package in self._packages]
        stopped_by = self._context.stopped_by
        if not self._request.preview:
            metrics.count(metrics.VIDEOS_DELETED, sum(len(outcome.deleted) for outcome in outcomes))
            metrics.count(metrics.VIDEOS_REFUSED, sum(len(outcome.failures) for outcome in outcomes))
        only = outcomes[0] if len(self._request.packages) == 1 and outcomes else None
        if only is not None and only.rules is None and only.error is not None:
            raise only.error
        if stopped_by is not None or any(outcome.errors for outcome in outcomes):
            raise partial_failure_error(outcomes, stopped_by=stopped_by)
        for outcome in outcomes if not self._request.preview else ():
            log.info("Package %s: %d recordings deleted.", outcome.package_id, len(outcome.deleted))
        return [self._response(outcome) for outcome in outcomes]

    def _response(self, outcome: PackageOutcome) -> dict[str, Any]:
        return build_response(outcome, api_base=self._api.api_base, preview=self._request.preview)


def _prepare(item: _Item) -> Future[Prepared] | None:
    return item.package.prepare(item.recording) if item.recording is not None else None


def _preview_of_nothing(request: DeletionRequest) -> dict[str, Any]:
    return {"preview": True, "plan": [], "plan_sha256": plan_sha256([])} if request.preview else {}
