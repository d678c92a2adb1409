"""The three ways to say what is to be deleted, of which exactly one is taken. Pure, and light: Dag files load it."""

from __future__ import annotations

from airflow_provider_iinked.exceptions import InvalidArgumentError


def check_exactly_one_target(*, package_given: bool, ids_given: bool, copies_given: bool, delete_all: bool) -> None:
    """
    See that exactly one way says what is to be deleted.

    :param package_given: whether ``package_id`` is given.
    :param ids_given: whether ``meeting_video_ids`` is given.
    :param copies_given: whether ``verified_copies`` is given.
    :param delete_all: ``delete_all``.
    :raises InvalidArgumentError: when none or two do, or the package is missing.
    """
    if delete_all and (ids_given or copies_given):
        raise InvalidArgumentError(
            "delete_all=True says it all; meeting_video_ids or verified_copies contradict it. Nothing was sent."
        )
    if not (delete_all or ids_given or copies_given):
        raise InvalidArgumentError(
            "Say what is to be deleted: verified_copies (the download's output), or package_id with meeting_video_ids, "
            "or package_id with delete_all=True. Nothing was sent."
        )
    if not copies_given and not package_given:
        raise InvalidArgumentError("package_id is missing; only verified_copies can do without it. Nothing was sent.")


def check_approval_without_preview(*, approval_given: bool, preview: bool) -> None:
    """
    See that a preview is not given an approval: the preview is what a person approves.

    :param approval_given: whether ``approval`` is given.
    :param preview: ``preview``.
    :raises InvalidArgumentError: when both are.
    """
    if approval_given and preview:
        raise InvalidArgumentError(
            "preview=True and approval contradict each other: preview first, then the approval, then a deletion of its "
            "own. Nothing was sent."
        )
