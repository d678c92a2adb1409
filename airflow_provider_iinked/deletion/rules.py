"""
The rule book: what may be sent for the recordings of one package, and what an answer makes of them. Pure.

:class:`DeletionRules` sends nothing and reads nothing. The caller fetches, reports what it saw, and asks for the next
step; a step out of order raises :class:`~airflow_provider_iinked.deletion.states.IllegalStepError` before anything is
sent. The rules, in their order:

1. Without a list there are no rules: a list of the package is what they are made from. A selected recording that is
   live in a state that may not be deleted refuses the whole package.
2. Only recordings that were selected, and that this first list shows as live, are ever requested, each by its id as
   the API spells it; none while another one is listed whose id differs by case alone.
3. The list is younger than 60 s when a request is sent.
4. With ``verified_copies``, every copy was verified at most 10 s before the request, at least ``min_copies`` of them
   lie in different failure domains, and the recording as listed is still what was copied.
   Where a person's approval is needed, the recording as listed and verified is the one that was approved.
5. The receipt is written before the request.
6. A verification and a receipt serve one request. A second request for the same recording needs new ones.
7. One request at a time. After an unclear answer the list is read before anything else is sent.
8. After an unclear answer the list decides: gone is deleted, live may be requested again. 400 or 404 with the API's own
   error code to the first request is the API's word: the recording is kept for good.
9. An answer that names a recording that was live, or never listed, and was not requested stops everything. So does a
   list after an unclear answer that shows such a recording gone. Nothing is sent after a stop, and no receipt claims a
   deletion that no list had shown before it.
10. ``deleted`` is what a list shows that was read after the request; until then it is ``unconfirmed``.

The states and what leads from one to the next stand in :mod:`airflow_provider_iinked.deletion.states`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from airflow_provider_iinked.deletion.plan import (
    disappeared,
    is_fresh_enough,
    is_recent,
    make_plan,
    unrequested_ids,
)
from airflow_provider_iinked.deletion.recording import Recording, Verification, listing_problem
from airflow_provider_iinked.deletion.service_health import FATAL
from airflow_provider_iinked.deletion.states import Event, IllegalStepError, RecordingState
from airflow_provider_iinked.exceptions import (
    ApprovalError,
    DeletionNotConfirmedError,
    IinkedSignError,
    RateLimitError,
    RequestRefusedError,
    RetentionError,
    ServiceUnavailableError,
    StateNotAllowedError,
    UnexpectedAnswerError,
    UnrequestedDeletionError,
    VerificationError,
)
from airflow_provider_iinked.models import Video, VideoList

_WORD_STATUSES: Final = (400, 404)
_ASK: Final = (
    "Everything stops here. Save what copies there are and ask iinked Sign what happened; do not clear the task before "
    "that"
)


class Step(StrEnum):
    """What a recording needs next."""

    READ_LIST = "read the list"
    VERIFY = "verify its copies"
    WRITE_RECEIPT = "write its receipt"
    SEND = "send its request"
    NOTHING = "nothing"


@dataclass(frozen=True)
class ListChange:
    """
    What a later list showed.

    :param settled: recordings that are deleted or gone since.
    :param disappeared: ids that were live before and are gone, although their deletion was not requested.
    """

    settled: tuple[str, ...]
    disappeared: tuple[str, ...]


class DeletionRules:
    """
    Decide for one package.

    :param package_id: the package.
    :param listing: its list.
    :param listed_at: when that was requested, in seconds of a monotonic clock.
    :param wanted: the selected ids; None for all that the list shows.
    :param states: states that may be deleted.
    :param guarded: whether each deletion needs verified copies.
    :param min_copies: in how many failure domains they must lie.
    :param is_approved: tells whether a person has approved a recording as it is listed and verified now.
    :raises StateNotAllowedError: when a selected recording is live in another state; nothing may be sent then.
    """

    def __init__(
        self,
        package_id: str,
        listing: VideoList,
        *,
        listed_at: float,
        wanted: Sequence[str] | None,
        states: Collection[str],
        guarded: bool,
        min_copies: int = 1,
        is_approved: Callable[[Video, Verification | None], bool] = lambda video, verification: True,
    ) -> None:
        self.package_id = package_id
        self.listing = listing
        self.plan = make_plan(listing, wanted, states)
        self.stopped_by: IinkedSignError | None = None
        self._listed_at = listed_at
        self._states = tuple(states)
        self._guarded = guarded
        self._min_copies = min_copies
        self._is_approved = is_approved
        self._recordings = {v.meeting_video_id: Recording(v.meeting_video_id, v) for v in self.plan.to_delete}
        self._in_flight: Recording | None = None
        self._requested: set[str] = set()
        self._gone_before = _deleted_ids(listing)
        for recording in self:
            self._check(recording)

    def __iter__(self) -> Iterator[Recording]:
        return iter(self._recordings.values())

    def recording(self, video_id: str) -> Recording:
        """
        Look a recording up.

        :param video_id: its id as the API spells it.
        :return: the recording.
        :raises IllegalStepError: when it was not selected, or was not live in the first list.
        """
        try:
            return self._recordings[video_id]
        except KeyError:
            raise IllegalStepError(f"{video_id} is not to be deleted.") from None

    # --- before a request ---------------------------------------------------------------------------------------

    def next_step(self, video_id: str, *, now: float) -> Step:
        """
        Say what a recording needs next.

        :param video_id: the recording.
        :param now: the time, of the same clock as ``listed_at``.
        :return: the step; ``SEND`` means that :meth:`begin_request` allows the request at this very moment.
        """
        recording = self.recording(video_id)
        if self.stopped_by is not None:
            return Step.NOTHING
        if recording.state is RecordingState.UNCLEAR:
            return Step.READ_LIST
        if recording.state is not RecordingState.PENDING:
            return Step.NOTHING
        if not is_recent(self._listed_at, now=now):
            return Step.READ_LIST
        if self._guarded and not _is_verified(recording, now):
            return Step.VERIFY
        return Step.SEND if recording.has_receipt else Step.WRITE_RECEIPT

    def verified(self, video_id: str, verification: Verification, *, at: float) -> None:
        """
        Take the verification of a recording's copies; one that does not suffice keeps the recording.

        :param video_id: the recording.
        :param verification: what was verified.
        :param at: when the copies were read to their end.
        :raises IllegalStepError: when it is another recording's, or nothing is to be sent for this one.
        """
        recording = self._pending(video_id)
        named = (verification.package_id.casefold(), verification.meeting_video_id.casefold())
        if named != (self.package_id.casefold(), video_id.casefold()):
            raise IllegalStepError(f"The verification of {verification.meeting_video_id} is not one of {video_id}.")
        recording.verification, recording.verified_at, recording.has_receipt = verification, at, False
        self._check(recording)

    def receipt_written(self, video_id: str) -> None:
        """
        Note that the receipt of the next request is written, or that there is no place for one.

        :param video_id: the recording.
        :raises IllegalStepError: when its copies are not verified yet, or nothing is to be sent for it.
        """
        recording = self._pending(video_id)
        if self._guarded and recording.verification is None:
            raise IllegalStepError(f"The receipt of {video_id} was written before its copies were verified.")
        recording.has_receipt = True

    def begin_request(self, video_id: str, *, now: float) -> tuple[str, str]:
        """
        Allow one request, at this moment.

        :param video_id: the recording.
        :param now: the time.
        :return: the package and the video whose deletion is to be sent, as the API spells them.
        :raises IllegalStepError: when any rule is not met; nothing may be sent then.
        """
        if self._in_flight is not None:
            raise IllegalStepError(f"The answer about {self._in_flight.id} is not settled yet.")
        step = self.next_step(video_id, now=now)
        if step is not Step.SEND:
            raise IllegalStepError(f"{video_id} may not be deleted now: next is to {step}.")
        recording = self._in_flight = self.recording(video_id)
        recording.on(Event.SEND)
        recording.requests += 1
        recording.verification, recording.verified_at, recording.has_receipt = None, None, False
        self._requested.add(video_id.casefold())
        return self.package_id, recording.id

    # --- after a request ----------------------------------------------------------------------------------------

    def answered(self, video_id: str, named: Sequence[Video]) -> None:
        """
        Take an answer in the API's form.

        :param video_id: the recording whose request it answers.
        :param named: the videos that the API says it deleted.
        """
        recording = self._take_in_flight(video_id)
        recording.on(Event.ACCEPTED)
        recording.error = None
        own = [video for video in named if video.meeting_video_id.casefold() == video_id.casefold()]
        if own and (own[0].is_deleted or not own[0].state):
            recording.answer = own[0]
        others = unrequested_ids(named, requested=self._requested, gone_before=self._gone_before)
        if others:
            self.stop(
                UnrequestedDeletionError(
                    f"Asked to delete video {video_id}, the API answered that it also deleted {', '.join(others)}, "
                    f"not requested. {_ASK}"
                )
            )

    def request_failed(self, video_id: str, error: IinkedSignError) -> None:
        """
        Take the error of a request.

        :param video_id: the recording.
        :param error: what became of its request.
        """
        recording = self._take_in_flight(video_id)
        recording.error = error
        if isinstance(error, RateLimitError) or (isinstance(error, ServiceUnavailableError) and not error.sent):
            recording.on(Event.NOT_CARRIED_OUT)
        elif isinstance(error, RetentionError):
            recording.on(Event.FORBIDDEN)
        else:
            recording.refusal_stands = _is_word(error) and not recording.was_unclear
            recording.was_unclear = True
            recording.on(Event.NO_CLEAR_ANSWER)
            self._in_flight = recording
        if isinstance(error, FATAL):
            self.stop(error)

    def take_list(self, listing: VideoList, *, listed_at: float) -> ListChange:
        """
        Take a later list of the package.

        :param listing: the list.
        :param listed_at: when it was requested.
        :return: what it changed; nothing when it stops everything.
        :raises IllegalStepError: when it is older than the one before, or a request is on its way.
        """
        if listed_at < self._listed_at:
            raise IllegalStepError("The list is older than the one before.")
        if self._in_flight is not None and self._in_flight.state is RecordingState.REQUESTED:
            raise IllegalStepError(f"The answer about {self._in_flight.id} is not here yet.")
        missing = disappeared(self.listing, listing, requested=self._requested)
        self.listing, self._listed_at = listing, listed_at
        unclear, self._in_flight = self._in_flight, None
        if missing and unclear is not None and not isinstance(unclear.error, RequestRefusedError):
            # A refusal did nothing; what disappeared meanwhile is another run's doing then.
            self.stop(
                UnrequestedDeletionError(
                    f"After an unclear answer to the deletion of video {unclear.id} the list shows that "
                    f"{', '.join(missing)}, not requested, is gone too. {_ASK}"
                )
            )
        self._gone_before |= _deleted_ids(listing) | {video_id.casefold() for video_id in missing}
        self._gone_before -= _live_ids(listing)  # a list may leave out for a while what is there
        if self.stopped_by is not None:
            return ListChange((), ())
        return ListChange(tuple(r.id for r in self if self._settle(r)), tuple(missing))

    # --- ends ---------------------------------------------------------------------------------------------------

    def fail(self, video_id: str, error: IinkedSignError) -> None:
        """
        Keep a recording.

        :param video_id: the recording.
        :param error: why.
        :raises IllegalStepError: when a request for it is out.
        """
        self.recording(video_id).fail(error)

    def note(self, video_id: str, error: IinkedSignError) -> None:
        """
        Note what went wrong beside a deletion, such as a receipt that could not be completed.

        :param video_id: the recording.
        :param error: what went wrong.
        """
        self.recording(video_id).error = error

    def stop(self, error: IinkedSignError) -> None:
        """
        Send nothing more.

        :param error: why; the first one counts.
        """
        self.stopped_by = self.stopped_by or error

    def unconfirmed(self) -> list[Recording]:
        """Recordings whose request the API took, and that no list has shown as deleted."""
        return [recording for recording in self if recording.state is RecordingState.UNCONFIRMED]

    def end(self) -> None:
        """Give every recording that is still unconfirmed its error."""
        for recording in self.unconfirmed():
            said = f" (the API had answered: {recording.error})" if recording.error is not None else ""
            recording.error = DeletionNotConfirmedError(
                f"the list still shows it after its deletion was requested{said}"
            )

    # --- inside -------------------------------------------------------------------------------------------------

    def _pending(self, video_id: str) -> Recording:
        recording = self.recording(video_id)
        if recording.state is not RecordingState.PENDING:
            raise IllegalStepError(f"{video_id} is {recording.state}: nothing is to be sent for it.")
        return recording

    def _take_in_flight(self, video_id: str) -> Recording:
        recording, self._in_flight = self._in_flight, None
        if recording is None or recording.id != video_id or recording.state is not RecordingState.REQUESTED:
            self._in_flight = recording
            raise IllegalStepError(f"No request for {video_id} is on its way.")
        return recording

    def _settle(self, recording: Recording) -> bool:
        """Let the list decide; return whether the recording is gone since."""
        if recording.state not in (RecordingState.PENDING, RecordingState.UNCLEAR, RecordingState.UNCONFIRMED):
            return False
        now = self.listing.find(recording.id)
        if now is None or now.is_deleted:
            recording.error = None
            recording.on(Event.LISTED_GONE)
            return True
        recording.video = now if recording.state is RecordingState.PENDING else recording.video
        recording.on(_listed_live(recording))
        if recording.state is RecordingState.PENDING:
            self._check(recording)
        return False

    def _check(self, recording: Recording) -> None:
        """Keep a recording that may not be deleted as it is listed now, or is no longer what was copied."""
        if recording.state is not RecordingState.PENDING:
            return
        now = self.listing.find(recording.id)
        problem = None if now is None else self._problem(recording, now)
        if problem is not None:
            recording.fail(problem)

    def _problem(self, recording: Recording, now: Video) -> IinkedSignError | None:
        if now.state not in self._states:
            return StateNotAllowedError(f"kept on the platform: it is {now.state!r} now")
        if twins := self.listing.twins(recording.id):
            return UnexpectedAnswerError(
                f"kept on the platform: the API also lists {', '.join(twins)}, which differs from it by case alone, so "
                "that nobody can say which of them a request would delete"
            )
        verification = recording.verification
        if verification is None and self._guarded:
            return None
        if not self._is_approved(now, verification):
            return ApprovalError("kept on the platform: it is no longer what was approved")
        if verification is None:
            return None
        if len(verification.domains) < self._min_copies:
            return VerificationError(
                f"kept on the platform: its copies lie in {len(verification.domains)} failure domains, "
                f"min_copies is {self._min_copies}"
            )
        return listing_problem(verification, now)


def _listed_live(recording: Recording) -> Event:
    """Say what a list that shows a recording live means for it."""
    if recording.state is not RecordingState.UNCLEAR or not isinstance(recording.error, RequestRefusedError):
        return Event.LISTED_LIVE
    # A refusal of a repeat may mean that the first request was carried out and the list lags behind.
    return Event.REFUSAL_STANDS if recording.refusal_stands else Event.REFUSAL_DOUBTED


def _is_word(error: IinkedSignError) -> bool:
    """Tell whether a refusal is the API's own word about a recording that the list shows."""
    return isinstance(error, RequestRefusedError) and error.status in _WORD_STATUSES and bool(error.error_code)


def _is_verified(recording: Recording, now: float) -> bool:
    at = recording.verified_at
    return recording.verification is not None and at is not None and is_fresh_enough(at, now=now)


def _deleted_ids(listing: VideoList) -> set[str]:
    return {video.meeting_video_id.casefold() for video in listing.videos if video.is_deleted}


def _live_ids(listing: VideoList) -> set[str]:
    return {video.meeting_video_id.casefold() for video in listing.videos if not video.is_deleted}
