"""What a deletion returns, and the error of one that did part of its work. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_iinked.deletion.approval import PlannedDeletion, plan_sha256, planned_deletion
from airflow_provider_iinked.deletion.recording import Recording
from airflow_provider_iinked.deletion.rules import DeletionRules
from airflow_provider_iinked.deletion.states import RecordingState
from airflow_provider_iinked.exceptions import IinkedSignError, UnrequestedDeletionError, most_retryable
from airflow_provider_iinked.models import SECRET_FIELDS, Video, VideoState

_GONE = (RecordingState.DELETED, RecordingState.GONE)
_ERRORS = (*_GONE, RecordingState.REFUSED, RecordingState.FAILED, RecordingState.UNCONFIRMED)


@dataclass
class PackageOutcome:
    """
    What became of one package.

    :param package_id: the package.
    :param rules: its rules, with the state of each recording; None when its list could not be read.
    :param error: what ended the package, if something did.
    :param notes: what went wrong with recordings that were gone before, by id.
    """

    package_id: str
    rules: DeletionRules | None = None
    error: IinkedSignError | None = None
    notes: dict[str, IinkedSignError] = field(default_factory=dict)

    @property
    def recordings(self) -> list[Recording]:
        """The recordings that were to be deleted."""
        return list(self.rules or ())

    @property
    def gone_before(self) -> list[str]:
        """Ids of the selected recordings that the first list showed as deleted, or did not show."""
        plan = self.rules.plan if self.rules is not None else None
        return [*(v.meeting_video_id for v in plan.already_deleted), *plan.unlisted] if plan is not None else []

    @property
    def deleted(self) -> list[str]:
        """Ids of the recordings that are deleted, as a list shows or the API says."""
        return [r.id for r in self.recordings if r.state in _GONE or _is_said_deleted(r)]

    @property
    def failures(self) -> dict[str, IinkedSignError]:
        """Why recordings are kept, or what went wrong beside their deletion, by id."""
        kept = {r.id: r.error for r in self.recordings if r.error is not None and r.state in _ERRORS}
        return {**self.notes, **kept}

    @property
    def errors(self) -> list[IinkedSignError]:
        """All that went wrong; what ended the package counts alone."""
        return [self.error] if self.error is not None else list(self.failures.values())


def build_response(outcome: PackageOutcome, *, api_base: str, preview: bool = False) -> dict[str, Any]:
    """
    Merge the API's answers about one package into one of the same form.

    :param outcome: what became of the package.
    :param api_base: the API in use, for the plan of a preview.
    :param preview: whether nothing was sent.
    :return: ``packageId`` and ``videos``, the documented fields without URLs; ``notListed`` where it applies; with a
        preview ``preview``, ``plan`` and ``plan_sha256``, which a person can approve.
    """
    response: dict[str, Any] = {"packageId": outcome.package_id, "videos": []}
    rules = outcome.rules
    if rules is not None:
        if not preview:
            response["videos"] = [_without_url(video) for video in rules.plan.already_deleted]
        response["videos"] += [_fields(rules, r, preview) for r in rules if preview is (r.state not in _GONE)]
        if rules.plan.unlisted:
            response["notListed"] = list(rules.plan.unlisted)
    if preview:
        plan = [_planned(api_base, outcome.package_id, r) for r in outcome.recordings if r.state not in _GONE]
        response |= {
            "preview": True,
            "plan": [planned.as_xcom() for planned in plan],
            "plan_sha256": plan_sha256(plan),
        }
    return response


def _planned(api_base: str, package_id: str, recording: Recording) -> PlannedDeletion:
    facts = recording.verification.facts if recording.verification is not None else ()
    return planned_deletion(api_base, package_id, recording.video, facts)


def partial_failure_error(
    outcomes: Sequence[PackageOutcome], *, stopped_by: IinkedSignError | None = None
) -> IinkedSignError:
    """
    Put the error of an incomplete deletion together.

    :param outcomes: what became of each package.
    :param stopped_by: what ended the task, if something did.
    :return: the error to raise.
    """
    incomplete = [outcome for outcome in outcomes if outcome.errors]
    parts = [f"{str(stopped_by).rstrip('.')}."] if stopped_by is not None else []
    if len(outcomes) > 1:
        parts.append(f"{len(outcomes) - len(incomplete)} of {len(outcomes)} packages have no error.")
    for outcome in outcomes if stopped_by is not None else incomplete:
        parts.append(f"Package {outcome.package_id}: {_account(outcome, stopped_by)}")
    if not isinstance(stopped_by, UnrequestedDeletionError):
        parts.append("Clearing the task is safe: list and copies are read again before anything is sent.")
    errors = [error for outcome in incomplete for error in outcome.errors]
    return most_retryable([stopped_by] if stopped_by is not None else errors, " ".join(parts))


def _account(outcome: PackageOutcome, stopped_by: IinkedSignError | None) -> str:
    """Say what was done of one package, and what was not."""
    failures = outcome.failures
    settled = {*outcome.deleted, *failures}
    untouched = [recording.id for recording in outcome.recordings if recording.id not in settled]
    parts = []
    if outcome.error is not None and outcome.error is not stopped_by:
        parts.append(f"{str(outcome.error).rstrip('.')}.")
    if failures:
        reasons = "; ".join(f"{video_id}: {str(error).rstrip('.')}" for video_id, error in failures.items())
        parts.append(f"Not deleted, or not confirmed: {reasons}.")
    if untouched:
        parts.append(f"Not requested, or not confirmed: {', '.join(untouched)}.")
    parts.append(f"Deleted by this task: {', '.join(outcome.deleted) or 'none'}.")
    open_ones = [r.id for r in outcome.recordings if _is_said_deleted(r) and r.id not in failures]
    if open_ones:
        parts.append(f"The API says so, and no list has shown it yet: {', '.join(open_ones)}.")
    return " ".join(parts)


def _is_said_deleted(recording: Recording) -> bool:
    unconfirmed = recording.state is RecordingState.UNCONFIRMED and recording.error is None
    return unconfirmed and recording.answer is not None


def _fields(rules: DeletionRules, recording: Recording, preview: bool) -> Mapping[str, Any]:
    shown = recording.video if preview else recording.answer or rules.listing.find(recording.id)
    if shown is None:
        shown = Video(recording.id, "", {"meetingVideoId": recording.id, "state": VideoState.DELETED.value})
    return _without_url(shown)


def _without_url(video: Video) -> dict[str, Any]:
    """Keep the documented fields in the API's order, with nothing in those that make up a signed URL."""
    kept = video.xcom_fields()
    return {name: kept.get(name) for name in video.fields if name in kept or name in SECRET_FIELDS}
