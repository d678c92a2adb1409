"""The error of a task that did part of its work: what was done, what was not, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_iinked.exceptions import IinkedSignError, IinkedSignPermanentError
from airflow_provider_iinked.models import StoredVideo


def incomplete(
    package_id: str, folder: str, stored: Sequence[StoredVideo], failures: Mapping[str, IinkedSignError]
) -> IinkedSignError:
    """
    Put the error of an incomplete download together.

    :param package_id: the package.
    :param folder: where the copies lie.
    :param stored: what is copied and proved.
    :param failures: what is not, and why, by video id.
    :return: the error to raise.
    """
    done = ", ".join(copy.meeting_video_id for copy in stored) or "none"
    reasons = "; ".join(f"{video_id}: {error}" for video_id, error in failures.items())
    return worst(
        failures,
        f"Package {package_id}: {len(failures)} recordings could not be copied to {folder}: {reasons}. "
        f"Copied and proved: {done}. Nothing was deleted. Clearing the task is safe: whole copies are kept.",
    )


def worst(failures: Mapping[str, IinkedSignError], message: str) -> IinkedSignError:
    """
    Choose the type of an error that stands for several: one that a retry may mend comes first, since then a retry does
    the rest.

    :param failures: the errors.
    :param message: the message of the one to raise.
    :return: the error to raise.
    """
    errors = list(failures.values())
    chosen = next((error for error in errors if not isinstance(error, IinkedSignPermanentError)), errors[0])
    raised = type(chosen)(message)
    raised.status, raised.error_code, raised.retry_after = chosen.status, chosen.error_code, chosen.retry_after
    return raised
