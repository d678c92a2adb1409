"""Carrying out a deletion: prove, look, note, ask, look again; one recording at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airflow_provider_iinked import metrics
from airflow_provider_iinked.api.retries import RetryBudget, backoff
from airflow_provider_iinked.custody.record import listing_mismatches
from airflow_provider_iinked.deletion.plan import (
    Plan,
    disappeared,
    is_fresh_enough,
    is_gone,
    is_recent,
    make_plan,
    unrequested_ids,
)
from airflow_provider_iinked.deletion.receipts import TaskReceipts
from airflow_provider_iinked.deletion.request import DeletionRequest
from airflow_provider_iinked.deletion.result import build_answer, incomplete
from airflow_provider_iinked.deletion.verification import Proof, prove
from airflow_provider_iinked.exceptions import (
    AuthenticationError,
    ConnectionSettingsError,
    DeletionNotConfirmedError,
    IinkedSignError,
    RateLimitError,
    RequestRefusedError,
    RetentionError,
    RouteNotFoundError,
    ServiceUnavailableError,
    StateNotAllowedError,
    UnrequestedDeletionError,
    VerificationError,
)
from airflow_provider_iinked.models import Video, VideoList, parse_videos

if TYPE_CHECKING:
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

log = logging.getLogger(__name__)

_CONFIRM_FOR: Final = 30.0
_STOP: Final = (
    "Everything stops here. Save what copies there are and ask iinked Sign what happened; do not clear the task before "
    "that"
)
# So many recordings in a row that the service cannot delete end the task; hammering it does not help.
_ENOUGH_TROUBLE: Final = 3
# So often proof, list and receipt are made anew, until they are recent enough together.
_ROUNDS: Final = 3
# After one of these nothing else can go well either: the task ends, with a word about what was done.
_ENDS_TASK: Final = (AuthenticationError, ConnectionSettingsError, UnrequestedDeletionError)


class _GoneError(Exception):
    """The recording is gone, and this task has not asked for it."""


class _TaskEnds(Exception):
    """Carries the error that ends the task past those that keep one recording only."""

    def __init__(self, error: IinkedSignError) -> None:
        super().__init__(str(error))
        self.error = error


def delete_videos(hook: IinkedSignHook, order: DeletionRequest) -> dict[str, Any]:
    """
    Delete what an order names, and nothing else. Running it again is safe.

    :param hook: the API.
    :param order: what to delete, and what it must rest on.
    :return: the API's response: ``packageId`` and ``videos``, several calls merged, without URLs; ``notListed`` and
        ``preview`` where they apply.
    :raises StateNotAllowedError: when a recording is in a state that may not be deleted; nothing is sent.
    :raises UnrequestedDeletionError: when an answer names a recording that was not asked for; everything stops.
    :raises IinkedSignError: after all others are deleted, when one could not be.
    """
    if order.package_id is None or order.meeting_video_ids == ():
        log.info("An empty list of recordings: nothing to delete, nothing was sent.")
        return build_answer(order, Plan((), (), ()), {}, preview=order.preview)
    return _Deletion(hook, order, order.package_id).run()


class _Deletion:
    """The state of one deletion."""

    def __init__(self, hook: IinkedSignHook, order: DeletionRequest, package_id: str) -> None:
        self._hook = hook
        self._order = order
        self._package_id = package_id
        self._papers = TaskReceipts(order, package_id, hook.api_base)
        self._asked: set[str] = set()
        self._unclear: set[str] = set()
        self._gone_before: set[str] = set()
        self._answers: dict[str, dict[str, Any] | None] = {}
        self._in_trouble = 0
        self._refusals: dict[str, IinkedSignError] = {}
        self._failures: dict[str, IinkedSignError] = {}

    def run(self) -> dict[str, Any]:
        order = self._order
        log.info("iinked Sign API: %s", self._hook.api_base)
        for url in self._papers.folders():
            self._papers.store(url).remove_stale(url)
        try:
            self._list()
        except _TaskEnds as end:
            raise end.error from None
        plan = make_plan(self._listing, order.meeting_video_ids, order.states)
        self._note_gone(plan)
        try:
            return self._carry_out(plan)
        finally:
            if not order.preview:
                metrics.count(metrics.VIDEOS_DELETED, len(self._answers))
                metrics.count(metrics.VIDEOS_REFUSED, len(self._failures))

    def _carry_out(self, plan: Plan) -> dict[str, Any]:
        order = self._order
        try:
            if order.preview:
                return self._preview(plan)
            for video in plan.to_delete:
                with self._noting(video):
                    self._delete(video)
            self._confirm(plan)
        except _TaskEnds as end:
            raise incomplete(self._package_id, plan, self._answers, self._failures, stopped_by=end.error) from None
        if self._failures:
            raise incomplete(self._package_id, plan, self._answers, self._failures)
        log.info("Package %s: %d recordings deleted.", self._package_id, len(self._answers))
        return build_answer(order, plan, self._answers, now=self._listing)

    # --- what is there ------------------------------------------------------------------------------------------

    def _list(self) -> VideoList:
        """Read the list; without one nothing can be decided, so an error of it ends the task."""
        self._listed_at = time.monotonic()
        try:
            self._listing = VideoList(self._hook.list_videos(self._package_id))
        except IinkedSignError as error:
            raise _TaskEnds(error) from None
        self._gone_before.update(v.meeting_video_id.casefold() for v in self._listing.videos if v.is_deleted)
        return self._listing

    def _listed(self, video: Video) -> Video | None:
        """Return the recording as a list shows it that is younger than a minute; None when it is gone."""
        if not is_recent(self._listed_at, now=time.monotonic()):
            before = self._listing
            self._warn_of_vanished(before, self._list())
        return None if is_gone(self._listing, video) else self._listing.find(video.meeting_video_id)

    def _warn_of_vanished(self, before: VideoList, now: VideoList) -> None:
        """Others may delete in the same package at the same time; that is worth a word, and no more."""
        if gone := disappeared(before, now, asked=self._asked):
            self._gone_before.update(video_id.casefold() for video_id in gone)
            log.warning("Gone meanwhile, not asked for by this task: %s", ", ".join(gone))

    def _note_gone(self, plan: Plan) -> None:
        """What is gone is done; complete the receipts of runs that were killed between request and receipt."""
        for video_id in plan.unlisted:
            log.warning("Video %s is not listed: taken as deleted before, nothing was sent for it.", video_id)
        for video in plan.already_deleted:
            log.info("Video %s is deleted already; nothing was sent for it.", video.meeting_video_id)
        if self._order.preview:
            return
        for video_id in (*(video.meeting_video_id for video in plan.already_deleted), *plan.unlisted):
            with self._noting_id(video_id):
                if self._papers.complete(video_id, None):
                    place = self._papers.place(video_id)
                    log.info("Video %s: completed the receipt of an earlier run: %s", video_id, place)

    # --- one recording ------------------------------------------------------------------------------------------

    def _delete(self, video: Video) -> None:
        """Prove and ask, until the recording is gone or patience ends."""
        patience = RetryBudget(self._hook.settings.max_retries)
        while True:
            try:
                proof = self._make_ready(video)
            except _GoneError:
                log.info("Video %s was deleted by someone else meanwhile.", video.meeting_video_id)
                self._done(video, None)
                return
            error = self._ask(video, proof)
            if error is None:
                self._in_trouble = 0
                return
            wait = patience.wait_after(error)
            if wait is None:
                self._withdraw(video)
                self._give_up(error)
            log.warning(
                "Video %s: %s It is still listed; proving and asking again in %.1f s.",
                video.meeting_video_id,
                error,
                wait,
            )
            time.sleep(wait)

    def _give_up(self, error: IinkedSignError) -> NoReturn:
        """Leave one recording; or all of them, when it is the service that is in trouble."""
        self._in_trouble += 1
        service_down = isinstance(error, ServiceUnavailableError) or error.retry_after is not None
        if service_down or self._in_trouble >= _ENOUGH_TROUBLE:
            raise _TaskEnds(error)
        raise error

    def _make_ready(self, video: Video) -> Proof | None:
        """Prove, look and write the receipt, until all of it is so recent that the request may follow."""
        try:
            for _ in range(_ROUNDS):
                proof = self._prove(video)
                proved_at = time.monotonic() if proof is not None else None
                self._check_listed(video, proof)
                self._papers.open(video, proof)
                self._hook.client.await_turn()
                if is_fresh_enough(now=time.monotonic(), listed_at=self._listed_at, proved_at=proved_at):
                    return proof
        except (IinkedSignError, _TaskEnds, _GoneError):
            self._withdraw(video)
            raise
        self._withdraw(video)
        raise ServiceUnavailableError(
            f"kept on the platform: its proof, the list and its receipt were {_ROUNDS} times too old for a request to "
            "follow. Look at what is slow: the storage, the API, or max_requests_per_second of the connection",
            sent=False,
        )

    def _withdraw(self, video: Video) -> None:
        """Take the receipt back, unless a request went out whose answer was unclear."""
        if video.meeting_video_id not in self._unclear:
            self._papers.withdraw(video.meeting_video_id)

    def _prove(self, video: Video) -> Proof | None:
        """Prove the copy that a deletion rests on; None for a deletion without copies."""
        copy = self._order.copy_of(video.meeting_video_id)
        if copy is not None:
            return prove(self._papers.store(copy.uri), copy, api_base=self._hook.api_base, recheck=self._order.recheck)
        if self._order.copies is not None:
            raise VerificationError("kept on the platform: there is no verified copy of it")
        return None

    def _check_listed(self, video: Video, proof: Proof | None) -> None:
        """See that the recording as listed now may be deleted, and is what was copied."""
        now = self._listed(video)
        if now is None:
            raise _GoneError
        if now.state not in self._order.states:
            raise StateNotAllowedError(f"kept on the platform: it is {now.state!r} now")
        problems = listing_mismatches(proof.record, now) if proof is not None else []
        if problems:
            raise VerificationError(f"kept on the platform, it is no longer what was copied: {'; '.join(problems)}")

    def _ask(self, video: Video, proof: Proof | None) -> IinkedSignError | None:
        """Send one request; return the error after which it may be asked for again."""
        video_id = video.meeting_video_id
        self._asked.add(video_id.casefold())
        try:
            named = parse_videos(self._hook.delete_video(self._package_id, video_id, max_retries=0), self._package_id)
        except (RateLimitError, ServiceUnavailableError) as error:
            never_sent = isinstance(error, RateLimitError) or not error.sent
            return error if never_sent else self._let_list_decide(video, error)
        except _ENDS_TASK as error:
            raise _TaskEnds(error) from None
        except RetentionError:
            raise
        except IinkedSignError as error:
            return self._let_list_decide(video, error)
        self._take_answer(video, named, proof)
        return None

    def _take_answer(self, video: Video, named: list[Video], proof: Proof | None) -> None:
        """Compare what the API says it deleted with what was asked for."""
        strangers = unrequested_ids(named, asked=self._asked, gone_before=self._gone_before)
        own = VideoList(named).find(video.meeting_video_id)
        try:
            if own is not None and (own.is_deleted or not own.state):
                rests_on = f"{proof.facts['kind']} of {proof.facts['uri']}" if proof else "no copy"
                log.info("Video %s: deleted; rests on %s.", video.meeting_video_id, rests_on)
                self._done(video, own)
        finally:
            if strangers:
                raise _TaskEnds(
                    UnrequestedDeletionError(
                        f"Asked to delete video {video.meeting_video_id}, the API answered that it also deleted "
                        f"{', '.join(strangers)}, not asked for. {_STOP}"
                    )
                ) from None

    def _let_list_decide(self, video: Video, error: IinkedSignError) -> IinkedSignError | None:
        """After an unclear answer look at the list instead of asking again blindly."""
        self._unclear.add(video.meeting_video_id)
        before = self._listing
        now = self._list()
        refused = isinstance(error, RequestRefusedError)
        if refused:
            # A refusal did nothing; what disappeared meanwhile was then another run's doing.
            self._warn_of_vanished(before, now)
        elif strangers := disappeared(before, now, asked=self._asked):
            raise _TaskEnds(
                UnrequestedDeletionError(
                    f"After an unclear answer to the deletion of video {video.meeting_video_id} the list shows that "
                    f"{', '.join(strangers)}, not asked for, is gone too. {_STOP}"
                )
            )
        if is_gone(now, video):
            log.info("Video %s: deleted, as the list shows; the answer was unclear: %s", video.meeting_video_id, error)
            self._done(video, now.find(video.meeting_video_id))
            return None
        if refused:
            # The list may lag behind a deletion whose answer was lost; the end of the task decides.
            self._refusals[video.meeting_video_id] = error
            return None
        return error

    def _done(self, video: Video, told: Video | None) -> None:
        """Note that a recording is gone, and complete its receipt."""
        self._answers[video.meeting_video_id] = dict(told.fields) if told else None
        self._papers.complete(video.meeting_video_id, told)

    # --- the end ------------------------------------------------------------------------------------------------

    def _confirm(self, plan: Plan) -> None:
        """See in a fresh list that all that was asked for is gone; a list may lag behind for a while."""
        if not self._asked:
            return
        asked = [v for v in plan.to_delete if v.meeting_video_id.casefold() in self._asked]
        before, until, attempt = self._listing, time.monotonic() + _CONFIRM_FOR, 0
        while True:
            now = self._list()
            left = [v for v in asked if not is_gone(now, v) and v.meeting_video_id not in self._failures]
            pause = min(backoff(attempt + 1), until - time.monotonic())
            if not left or pause <= 0:
                break
            attempt += 1
            log.info(
                "The list still shows %d recordings after their deletion; looking again in %.1f s.", len(left), pause
            )
            time.sleep(pause)
        self._warn_of_vanished(before, now)
        for video in asked:
            with self._noting(video):
                if video in left:
                    refusal = self._refusals.get(video.meeting_video_id)
                    said = f" (the API had answered: {refusal})" if refusal else ""
                    raise DeletionNotConfirmedError(f"the list still shows it after its deletion was asked for{said}")
                if video.meeting_video_id not in self._answers and video.meeting_video_id not in self._failures:
                    self._done(video, now.find(video.meeting_video_id))

    def _preview(self, plan: Plan) -> dict[str, Any]:
        """Check all that a deletion would rest on, and send nothing."""
        sound = {}
        for video in plan.to_delete:
            with self._noting(video):
                try:
                    self._check_listed(video, self._prove(video))
                except _GoneError:
                    continue
                sound[video.meeting_video_id] = dict(video.fields)
                log.info("Preview: video %s would be deleted.", video.meeting_video_id)
        if self._failures:
            raise incomplete(self._package_id, plan, {}, self._failures)
        return build_answer(self._order, plan, sound, preview=True)

    @contextmanager
    def _noting_id(self, video_id: str) -> Iterator[None]:
        """Keep one recording's error for the end, so that the others are deleted; some errors end the task."""
        try:
            yield
        except (RateLimitError, RouteNotFoundError) as error:
            raise _TaskEnds(error) from None
        except IinkedSignError as error:
            log.error("Video %s: %s", video_id, error)
            self._failures[video_id] = error

    def _noting(self, video: Video) -> Any:
        return self._noting_id(video.meeting_video_id)
