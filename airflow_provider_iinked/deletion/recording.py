"""One recording during a deletion: its state, its verification, and what its receipt may say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from airflow_provider_iinked.custody.record import listing_mismatches
from airflow_provider_iinked.deletion.states import Event, RecordingState, transition
from airflow_provider_iinked.exceptions import IinkedSignError, VerificationError
from airflow_provider_iinked.models import Video


class ReceiptUse(StrEnum):
    """What becomes of a receipt that was written before a request."""

    COMPLETE = "complete"
    """A list shows the recording gone."""
    UNCONFIRMED = "unconfirmed"
    """The API says that it deleted it, and no list has shown that."""
    VOID = "void"
    """No request for it was carried out."""
    LEAVE = "leave"
    """Nobody knows yet; a later run finds out."""


@dataclass(frozen=True)
class Verification:
    """
    Every copy of one recording agrees with its custody record.

    :param package_id: the package.
    :param meeting_video_id: the recording.
    :param records: the stored custody records, read afresh.
    :param facts: what the receipt says about each copy.
    :param domains: the failure domains that the copies lie in.
    """

    package_id: str
    meeting_video_id: str
    records: tuple[Mapping[str, Any], ...]
    facts: tuple[Mapping[str, Any], ...]
    domains: frozenset[str]


@dataclass(eq=False)
class Recording:
    """
    One recording that was selected and is to be deleted.

    :param id: its id as the API spells it in the first list.
    :param video: as listed last.
    :param state: what is known of it.
    :param answer: the API's words about its deletion; None where it had none.
    :param error: why it is kept, or what went wrong beside its deletion.
    :param requests: how many requests were sent for it.
    :param was_unclear: whether a request for it may have been carried out although the answer did not say so.
    :param refusal_stands: whether the refusal that it met is the API's word, and not one of a repeated request.
    :param verification: the verification for the next request.
    :param verified_at: when its copies were read to their end.
    :param has_receipt: whether the receipt of the next request is written.
    """

    id: str
    video: Video
    state: RecordingState = RecordingState.PENDING
    answer: Video | None = None
    error: IinkedSignError | None = None
    requests: int = 0
    was_unclear: bool = False
    refusal_stands: bool = False
    verification: Verification | None = None
    verified_at: float | None = None
    has_receipt: bool = False

    def on(self, event: Event) -> None:
        """
        Go to the state that follows.

        :param event: what happened.
        :raises IllegalStepError: when that cannot happen now.
        """
        self.state = transition(self.state, event)

    def fail(self, error: IinkedSignError) -> None:
        """
        Keep the recording.

        :param error: why.
        :raises IllegalStepError: when a request for it is out.
        """
        self.on(Event.PROBLEM)
        self.error = error

    @property
    def receipt_use(self) -> ReceiptUse:
        """What its receipt may say when nothing more is sent for it."""
        if self.state in (RecordingState.DELETED, RecordingState.GONE):
            return ReceiptUse.COMPLETE
        if self.state is RecordingState.UNCONFIRMED and self.answer is not None:
            return ReceiptUse.UNCONFIRMED
        if self.state in (RecordingState.PENDING, RecordingState.FAILED) and not self.was_unclear:
            return ReceiptUse.VOID
        return ReceiptUse.LEAVE


def listing_problem(verification: Verification, video: Video) -> VerificationError | None:
    """
    Compare the recording as listed with what was copied.

    :param verification: the verified copies.
    :param video: the recording as listed now.
    :return: why it is kept; None when it is what was copied.
    """
    problems = [text for record in verification.records for text in listing_mismatches(record, video)]
    if not verification.records:
        problems = ["there is no verified copy of it"]
    if not problems:
        return None
    return VerificationError(f"kept on the platform, it is no longer what was copied: {'; '.join(problems)}")
