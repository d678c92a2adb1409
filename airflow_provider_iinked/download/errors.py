"""The error of a task that did part of its work: what was done, what was not, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_iinked.exceptions import IinkedSignError, most_retryable
from airflow_provider_iinked.models import StoredVideo


def partial_failure_error(
    package_id: str, folder: str, stored: Sequence[StoredVideo], failures: Mapping[str, IinkedSignError]
) -> IinkedSignError:
    """
    Build the error of a download that copied some recordings only.

    :param package_id: the package.
    :param folder: where the copies lie.
    :param stored: what is copied and proved.
    :param failures: what is not, and why, by video id.
    :return: the error to raise.
    """
    done = ", ".join(copy.meeting_video_id for copy in stored) or "none"
    reasons = "; ".join(f"{video_id}: {error}" for video_id, error in failures.items())
    return most_retryable(
        failures.values(),
        f"Package {package_id}: {len(failures)} recordings could not be copied to {folder}: {reasons}. "
        f"Copied and proved: {done}. Nothing was deleted. Clearing the task is safe: whole copies are kept.",
    )
