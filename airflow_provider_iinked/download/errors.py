"""The errors of a task that did part of its work: what was done, what was not, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_iinked.exceptions import IinkedSignError, most_retryable


def partial_failure_error(
    package_id: str, folders: str, copied: Sequence[str], failures: Mapping[str, IinkedSignError]
) -> IinkedSignError:
    """
    Build the error of a package of which some recordings only were copied.

    :param package_id: the package.
    :param folders: where its copies are.
    :param copied: ids of the recordings that are copied and verified.
    :param failures: what is not, and why, by video id.
    :return: the error to raise.
    """
    done = ", ".join(copied) or "none"
    reasons = "; ".join(f"{video_id}: {str(error).rstrip('.')}" for video_id, error in failures.items())
    return most_retryable(
        failures.values(),
        f"Package {package_id}: {len(failures)} recordings could not be copied to {folders}: {reasons}. "
        f"Copied and verified: {done}. Nothing was deleted. Clearing the task is safe: whole copies are kept.",
    )


def batch_failure_error(
    failures: Mapping[str, IinkedSignError], *, packages: int, not_begun: Sequence[str] = ()
) -> IinkedSignError:
    """
    Build the error of a task in which some packages failed.

    :param failures: what went wrong, by package id.
    :param packages: packages in all.
    :param not_begun: packages that were not begun, since an error concerns the service as a whole.
    :return: the error to raise.
    """
    reasons = "; ".join(f"[{package_id}] {error}" for package_id, error in failures.items())
    rest = f" Not begun: {', '.join(not_begun)}." if not_begun else ""
    done = packages - len(failures) - len(not_begun)
    return most_retryable(
        failures.values(),
        f"{len(failures)} of {packages} packages failed: {reasons}.{rest} The other {done} are copied and verified. "
        "Nothing was deleted. Clearing the task is safe: whole copies are kept.",
    )
