"""The wait for a package's recordings to be archived: poke, reschedule or deferrable, with equal outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_iinked import metrics
from airflow_provider_iinked.arguments import ALL, check_conn_id, require_int, require_not_none
from airflow_provider_iinked.exceptions import (
    AuthenticationError,
    IinkedSignError,
    IinkedSignPermanentError,
    RateLimitError,
    UnexpectedAnswerError,
)
from airflow_provider_iinked.links import IinkedSignLink, push_links
from airflow_provider_iinked.map_index import label_map_index

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
    from airflow_provider_iinked.models import Video
    from airflow_provider_iinked.waiting.wait_condition import WaitCondition, WaitStatus

IDS_KEY = "meeting_video_ids"
_ERRORS_KEY = "iinked_sign_consecutive_errors"
_SAFETY_NET = 300.0


class IinkedVideosArchivedSensor(BaseSensorOperator):
    """
    Wait until the recordings of a package are archived.

    It is over when every selected recording that is not deleted is ``archived`` and, without a selection, at least
    ``min_videos`` are archived or already deleted. A selected recording that is not listed yet is waited for. What
    cannot get better fails at once; what may get better is tolerated up to ``max_consecutive_errors`` times in a row.
    ``soft_fail`` turns a timeout, a permanent error and a spent error budget into a skip, in every mode.

    With ``deferrable=True`` it checks once and then waits in the triggerer; ``mode``, ``exponential_backoff``,
    ``max_wait``, ``silent_fail`` and ``never_fail`` mean nothing then.

    .. seealso:: https://docs.iinkedsign.com/v4/api/videos/list

    :param package_id: the package. (templated)
    :param meeting_video_ids: one id or several; ``"*"`` for all that are listed. An empty list waits for nothing.
        (templated)
    :param min_videos: without a selection: how many recordings must be archived or already deleted.
    :param on_failed: what a ``failed`` recording means: ``fail``, ``wait``, or ``ignore`` (it does not count).
    :param on_deleted: what a selected recording that is deleted means: ``fail`` or ``ignore``.
    :param max_consecutive_errors: how many errors in a row are tolerated. In reschedule mode below Airflow 3.3, where
        nothing survives between pokes, a poke spends them in place.
    :param deferrable: whether to wait in the triggerer.
    :param iinked_sign_conn_id: the Airflow connection. (templated)
    :return: the API's list response, the selected archived recordings only, without URLs; under the XCom key
        ``meeting_video_ids`` their ids.
    """

    template_fields: Sequence[str] = ("package_id", "meeting_video_ids", "iinked_sign_conn_id")
    operator_extra_links = (IinkedSignLink(),)
    ui_color = "#fdf3d8"

    def __init__(
        self,
        *,
        package_id: str,
        meeting_video_ids: str | Sequence[str] = ALL,
        min_videos: int = 1,
        on_failed: str = "fail",
        on_deleted: str = "fail",
        max_consecutive_errors: int = 5,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        iinked_sign_conn_id: str = "iinked_sign_default",
        **kwargs: Any,
    ) -> None:
        require_not_none(package_id, "package_id")
        require_not_none(meeting_video_ids, "meeting_video_ids")
        require_int(min_videos, "min_videos", minimum=0)
        require_int(max_consecutive_errors, "max_consecutive_errors", minimum=0)
        super().__init__(**kwargs)
        self.package_id = package_id
        self.meeting_video_ids = meeting_video_ids
        self.min_videos = min_videos
        self.on_failed = on_failed
        self.on_deleted = on_deleted
        self.max_consecutive_errors = max_consecutive_errors
        self.deferrable = deferrable
        self.iinked_sign_conn_id = iinked_sign_conn_id
        self._hook: IinkedSignHook | None = None
        self._errors = 0
        self._hold_until = 0.0

    def execute(self, context: Context) -> Any:
        """
        Wait.

        :param context: Airflow's context.
        :return: the API's list response without URLs.
        :raises AirflowSensorTimeout: when ``timeout`` has passed; not retried by Airflow.
        :raises AirflowSkipException: in place of an error, with ``soft_fail``.
        :raises IinkedSignPermanentError: when it cannot get better.
        :raises IinkedSignError: when the error budget is spent; a retry may help.
        """
        if self.deferrable:
            return self._check_then_defer(context)
        return super().execute(context)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """
        Look once.

        :param context: Airflow's context.
        :return: False, or the XCom when the wait is over.
        :raises IinkedSignPermanentError: when it cannot get better.
        :raises IinkedSignError: when the error budget is spent.
        """
        from airflow_provider_iinked.waiting.wait_condition import ready_answer

        criteria = self._criteria()
        label_map_index(context, criteria.package_id)
        if criteria.meeting_video_ids == ():
            self.log.info("Package %s: an empty list of recordings, nothing to wait for.", criteria.package_id)
            return self._over(context, ready_answer(criteria.package_id, ()))
        if time.monotonic() < self._hold_until:
            self.log.info("The service asked to wait another %.0f s.", self._hold_until - time.monotonic())
            return False
        if self._hook is None:
            push_links(context, self, self._open_hook())
        readiness = self._look(context, criteria)
        if readiness is None:
            return False
        if not readiness.ready:
            self.log.info("Package %s: still waiting for %s.", criteria.package_id, ", ".join(readiness.waiting_for))
            return False
        self.log.info("Package %s: %d recordings are archived.", criteria.package_id, len(readiness.archived))
        return self._over(context, ready_answer(criteria.package_id, readiness.archived))

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """
        Take what the trigger found, and fail closed on anything else.

        :param context: Airflow's context.
        :param event: the trigger's event.
        :return: the API's list response without URLs.
        :raises AirflowSensorTimeout: when ``timeout`` has passed.
        :raises IinkedSignError: as the trigger found.
        """
        from airflow_provider_iinked.waiting.events import read_event

        criteria = self._criteria()
        label_map_index(context, criteria.package_id)
        outcome = read_event(event)
        if outcome.timed_out:
            self._fail(AirflowSensorTimeout(outcome.message))
        if outcome.error is not None:
            self._fail(outcome.error)
        if outcome.answer is None or not _answers(outcome.answer, criteria):
            self._fail(UnexpectedAnswerError("The trigger's event does not say that the wait is over; not taken so."))
        return self._over(context, outcome.answer).xcom_value

    # --- one look -----------------------------------------------------------------------------------------------

    def _criteria(self) -> WaitCondition:
        from airflow_provider_iinked.waiting.wait_condition import parse_wait_condition

        check_conn_id(self.iinked_sign_conn_id)
        return parse_wait_condition(
            package_id=self.package_id,
            meeting_video_ids=self.meeting_video_ids,
            min_videos=self.min_videos,
            on_failed=self.on_failed,
            on_deleted=self.on_deleted,
        )

    def _look(self, context: Context, criteria: WaitCondition) -> WaitStatus | None:
        """List the recordings and judge them; None after an error that is tolerated."""
        from airflow_provider_iinked.api.retries import MAX_TOTAL_WAIT, backoff
        from airflow_provider_iinked.waiting.wait_condition import judge

        spend_in_place = self.reschedule and not self.deferrable and self._state_store(context) is None
        patience = min(MAX_TOTAL_WAIT, self.timeout)
        while True:
            try:
                videos = self._list(criteria.package_id)
                self._warn_of_retention(videos)
                readiness = judge(videos, criteria)
            except IinkedSignPermanentError:
                raise
            except IinkedSignError as error:
                if isinstance(error, RateLimitError) and error.retry_after is not None:
                    self._hold(error)
                    return None
                self._count_error(context, error)
                pause = backoff(self._errors) if error.retry_after is None else error.retry_after
                if not spend_in_place or (error.retry_after is not None and pause > patience):
                    self._hold(error)
                    return None
                self.log.warning("%s Trying again in %.1f s.", error, pause)
                patience -= pause
                time.sleep(pause)
            else:
                self._remember_errors(context, 0)
                return readiness

    def _list(self, package_id: str) -> list[Video]:
        """Ask once; a refused key is read from the connection once more, since it may have been rotated."""
        metrics.count(metrics.POLLS)
        try:
            return self._open_hook().list_videos(package_id, max_retries=0)
        except AuthenticationError:
            refused = self._open_hook().settings.auth_header
            self._close_hook()
            if self._open_hook().settings.auth_header == refused:
                raise
            return self._open_hook().list_videos(package_id, max_retries=0)

    def _open_hook(self) -> IinkedSignHook:
        from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

        if self._hook is None:
            self._hook = IinkedSignHook(self.iinked_sign_conn_id)
            self.log.info("iinked Sign API: %s", self._hook.api_base)
        return self._hook

    def _close_hook(self) -> None:
        if self._hook is not None:
            self._hook.close()
            self._hook = None

    def _hold(self, error: IinkedSignError) -> None:
        if error.retry_after is not None:
            self._hold_until = time.monotonic() + error.retry_after
        self.log.warning("%s Waiting on.", error)

    def _count_error(self, context: Context, error: IinkedSignError) -> None:
        """Count an error that may get better; raise it when the budget is spent."""
        store = self._state_store(context)
        before = int(store.get(_ERRORS_KEY) or 0) if store is not None else self._errors
        self._remember_errors(context, before + 1)
        if before + 1 <= self.max_consecutive_errors:
            self.log.warning("Error %d of %d in a row that are tolerated.", before + 1, self.max_consecutive_errors)
            return
        self._remember_errors(context, 0)
        self.log.error("%d errors in a row; no more are tolerated.", before + 1)
        self._skip_if_soft(error)
        raise error

    def _state_store(self, context: Context) -> Any:
        """Return what survives between the pokes of reschedule mode, from Airflow 3.3 on."""
        return context.get("task_state_store") if context and self.reschedule and not self.deferrable else None

    def _remember_errors(self, context: Context, count: int) -> None:
        store = self._state_store(context)
        if store is not None and count != self._errors:
            store.set(_ERRORS_KEY, count)
        elif store is not None and count == 0 and store.get(_ERRORS_KEY):
            store.set(_ERRORS_KEY, 0)
        self._errors = count

    def _warn_of_retention(self, videos: list[Video]) -> None:
        import pendulum

        from airflow_provider_iinked.waiting.wait_condition import retention_warnings

        for line in retention_warnings(videos, pendulum.now("UTC")):
            self.log.warning("%s", line)

    # --- the end ------------------------------------------------------------------------------------------------

    def _over(self, context: Context, answer: dict[str, Any]) -> PokeReturnValue:
        self._close_hook()
        ti = context.get("ti") if context else None
        if ti is not None and self.do_xcom_push:
            ti.xcom_push(key=IDS_KEY, value=[video["meetingVideoId"] for video in answer["videos"]])
        return PokeReturnValue(is_done=True, xcom_value=answer)

    def _skip_if_soft(self, error: Exception) -> None:
        if self.soft_fail:
            raise AirflowSkipException(f"Skipped, since soft_fail is set: {error}") from error

    def _fail(self, error: Exception) -> NoReturn:
        """Raise an error, or the skip that soft_fail makes of it."""
        self._skip_if_soft(error)
        raise error

    def _check_then_defer(self, context: Context) -> Any:
        end_time = time.time() + self.timeout
        try:
            result = self.poke(context)
        except IinkedSignPermanentError as error:
            self._fail(error)
        if isinstance(result, PokeReturnValue):
            return result.xcom_value
        criteria = self._criteria()
        from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedTrigger

        self._close_hook()
        self.defer(
            trigger=IinkedVideosArchivedTrigger(
                iinked_sign_conn_id=self.iinked_sign_conn_id,
                package_id=criteria.package_id,
                meeting_video_ids=ALL if criteria.meeting_video_ids is None else list(criteria.meeting_video_ids),
                min_videos=criteria.min_videos,
                on_failed=criteria.on_failed,
                on_deleted=criteria.on_deleted,
                poll_interval=float(self.poke_interval),
                end_time=end_time,
                max_consecutive_errors=self.max_consecutive_errors,
                consecutive_errors=self._errors,
                not_before=time.time() + hold if (hold := self._hold_until - time.monotonic()) > 0 else 0.0,
            ),
            method_name="execute_complete",
            # The trigger's own deadline decides; this one is for a trigger that is lost.
            timeout=timedelta(seconds=self.timeout + _SAFETY_NET),
        )
        return None

    def _get_next_poke_interval(self, started_at: Any, run_duration: Callable[[], float], poke_count: int) -> float:
        """Hold for as long as Retry-After says, within the deadline; also between the processes of reschedule mode."""
        interval = super()._get_next_poke_interval(started_at, run_duration, poke_count)
        hold = self._hold_until - time.monotonic()
        return float(interval if hold <= interval else max(interval, min(hold, self.timeout - run_duration())))


def _answers(answer: Mapping[str, Any], criteria: WaitCondition) -> bool:
    """Tell whether an answer is about this package and no other recordings than the selected ones."""
    ids = {video["meetingVideoId"].casefold() for video in answer["videos"]}
    selected = None if criteria.meeting_video_ids is None else {one.casefold() for one in criteria.meeting_video_ids}
    return answer["packageId"] == criteria.package_id and (selected is None or ids <= selected)
