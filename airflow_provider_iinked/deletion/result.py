"""What a deletion returns, and the error of one that did part of its work. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_iinked.deletion.plan import Plan
from airflow_provider_iinked.deletion.request import DeletionRequest
from airflow_provider_iinked.exceptions import IinkedSignError, UnrequestedDeletionError, most_retryable
from airflow_provider_iinked.models import SECRET_FIELDS, VideoList, VideoState, redact_signed_urls


def build_answer(
    order: DeletionRequest,
    plan: Plan,
    answers: Mapping[str, Mapping[str, Any] | None],
    *,
    now: VideoList | None = None,
    preview: bool = False,
) -> dict[str, Any]:
    """
    Merge the API's answers into one of the same form.

    :param order: the order.
    :param plan: what was to be done.
    :param answers: by video id, the API's words; None where the list told that it is gone.
    :param now: the list at the end.
    :param preview: whether nothing was sent.
    :return: ``packageId`` and ``videos``, without URLs; ``notListed`` and ``preview`` where they apply.
    """
    videos = [video.fields for video in plan.already_deleted if not preview]
    for video_id, told in answers.items():
        listed = now.find(video_id) if now is not None and told is None else None
        told = listed.fields if listed is not None else told
        videos.append(told or {"meetingVideoId": video_id, "state": VideoState.DELETED.value})
    answer: dict[str, Any] = {"packageId": order.package_id, "videos": [_without_url(fields) for fields in videos]}
    if plan.unlisted:
        answer["notListed"] = list(plan.unlisted)
    if preview:
        answer["preview"] = True
    return answer


def incomplete(
    package_id: str,
    plan: Plan,
    answers: Mapping[str, object],
    failures: Mapping[str, IinkedSignError],
    *,
    stopped_by: IinkedSignError | None = None,
) -> IinkedSignError:
    """
    Put the error of an incomplete deletion together.

    :param package_id: the package.
    :param plan: what was to be done.
    :param answers: what is deleted, by video id.
    :param failures: what is not, and why, by video id.
    :param stopped_by: what ended the task, if something did.
    :return: the error to raise.
    """
    deleted = ", ".join(answers) or "none"
    untouched = [v.meeting_video_id for v in plan.to_delete if v.meeting_video_id not in {*answers, *failures}]
    parts = [f"Package {package_id}:"]
    if stopped_by is not None:
        parts.append(f"{str(stopped_by).rstrip('.')}.")
    if failures:
        reasons = "; ".join(f"{video_id}: {str(error).rstrip('.')}" for video_id, error in failures.items())
        parts.append(f"Not deleted, or not confirmed: {reasons}.")
    if untouched:
        parts.append(f"Not asked for or not confirmed: {', '.join(untouched)}.")
    parts.append(f"Deleted by this task: {deleted}.")
    if not isinstance(stopped_by, UnrequestedDeletionError):
        parts.append("Clearing the task is safe: what each deletion rests on is looked up anew.")
    message = " ".join(parts)
    return most_retryable([stopped_by] if stopped_by is not None else failures.values(), message)


def _without_url(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the fields as the API gave them, with nothing in those that make up a signed URL."""
    kept = redact_signed_urls({name: value for name, value in fields.items() if name not in SECRET_FIELDS})
    return {name: kept.get(name) for name in fields if name in kept or name in SECRET_FIELDS}
