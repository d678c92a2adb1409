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
from airflow_provider_iinked.arguments import (
    ALL,
    DEFAULT_CONN_ID,
    check_conn_id,
    require_int,
    require_not_none,
)
from airflow_provider_iinked.exceptions import (
    AuthenticationError,
    IinkedSignError,
    IinkedSignPermanentError,
    InvalidArgumentError,
    RateLimitError,
    TaskStoppedError,
)
from airflow_provider_iinked.links import IinkedSignLink, push_links
from airflow_provider_iinked.map_index import label_map_index

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
    from airflow_provider_iinked.models import Video
    from airflow_provider_iinked.waiting.wait_condition import WaitCondition
    from airflow_provider_iinked.waiting.wait_progress import WaitProgress

IDS_KEY = "meeting_video_ids"
PACKAGES_KEY = "package_id"
_UNSUCCESSFUL = (IinkedSignError, AirflowSensorTimeout, AirflowSkipException)
_STATE_KEY = "iinked_sign_wait"
_SAFETY_NET = 300.0


class IinkedVideosArchivedSensor(BaseSensorOperator):
    """
    Wait until the recordings of a package, or of several packages, are archived.

    It is over when, in each package, every selected recording that is not deleted is ``archived`` and, without a
    selection, at least ``min_videos`` are archived or already deleted. A selected recording that is not listed yet is
    waited for. What is permanent fails at once; other errors are tolerated up to ``max_consecutive_errors`` times in a
    row. ``soft_fail`` turns a timeout, a permanent error and a spent error budget into a skip, in every mode.

    With several packages, one that fails for good holds up no other one: the task fails at the end and names each. A
    package that is ready is not polled any more. Whatever becomes of the wait, the XCom ``package_id`` has what is
    ready: tasks with ``trigger_rule="all_done"`` go on with ``wait.output["package_id"]``.

    With ``deferrable=True`` it checks once and then waits in the triggerer; ``mode``, ``exponential_backoff`` and
    ``max_wait`` mean nothing then, ``silent_fail`` and ``never_fail`` are refused.

    .. seealso:: https://docs.iinkedsign.com/v4/api/videos/list

    :param package_id: one package id, or a list of them; an empty list waits for nothing. (templated)
    :param meeting_video_ids: one id or several; ``"*"`` for all that are listed. An empty list waits for nothing. With
        several packages ``"*"`` or an empty list. (templated)
    :param min_videos: without a selection: how many recordings must be archived or already deleted, in each package.
    :param on_failed: what a ``failed`` recording means: ``fail``, ``wait``, or ``ignore`` (it does not count).
    :param on_deleted: what a selected recording that is deleted means: ``fail`` or ``ignore``.
    :param max_consecutive_errors: how many errors in a row are tolerated, for each package. In reschedule mode below
        Airflow 3.3, where nothing survives between pokes, a poke spends them in place.
    :param deferrable: whether to wait in the triggerer.
    :param iinked_sign_conn_id: the Airflow connection. (templated)
    :return: the API's list response, the selected archived recordings only, without URLs, or a list of these where
        ``package_id`` is a list; under the XCom key ``meeting_video_ids`` their ids, and under ``package_id`` the
        packages that are ready: as they were given when all are, else a list of them, which may be empty.
    """

    template_fields: Sequence[str] = ("package_id", "meeting_video_ids", "iinked_sign_conn_id")
    operator_extra_links = (IinkedSignLink(),)
    ui_color = "#fdf3d8"

    def __init__(
        self,
        *,
        package_id: str | Sequence[str],
        meeting_video_ids: str | Sequence[str] = ALL,
        min_videos: int = 1,
        on_failed: str = "fail",
        on_deleted: str = "fail",
        max_consecutive_errors: int = 5,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        iinked_sign_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        require_not_none(package_id, "package_id")
        require_not_none(meeting_video_ids, "meeting_video_ids")
        require_int(min_videos, "min_videos", minimum=0)
        require_int(max_consecutive_errors, "max_consecutive_errors", minimum=0)
        for name in ("never_fail", "silent_fail"):
            if deferrable and kwargs.get(name):
                raise InvalidArgumentError(
                    f"{name} has no meaning in the triggerer. Set deferrable=False, or soft_fail=True in its place."
                )
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
        self._progress: WaitProgress | None = None
        self._hold_until = 0.0
        self._saved: dict[str, Any] = {}
        self._stopped = False

    def execute(self, context: Context) -> Any:
        """
        Wait.

        :param context: Airflow's context.
        :return: the API's list response without URLs.
        :raises AirflowSensorTimeout: when ``timeout`` has passed; not retried by Airflow.
        :raises AirflowSkipException: in place of an error, with ``soft_fail``.
        :raises IinkedSignPermanentError: for what is permanent.
        :raises IinkedSignError: when the error budget is spent; a retry may help.
        """
        self._progress = None  # dag.test() runs all tries of a task with one object
        try:
            return self._check_then_defer(context) if self.deferrable else super().execute(context)
        except _UNSUCCESSFUL as error:
            cause = error.__cause__ if isinstance(error, AirflowSkipException) else error
            self._hand_over(context, self._progress.ready_despite(cause) if self._progress is not None else ())
            raise

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """
        Look once at each package that is still waited for.

        :param context: Airflow's context.
        :return: False, or the XCom when the wait is over.
        :raises IinkedSignPermanentError: for what is permanent.
        :raises IinkedSignError: when the error budget is spent.
        """
        progress = self._resume(context)
        packages = progress.condition.packages
        label_map_index(context, packages.label)
        if progress.condition.is_empty:
            self.log.info("%s: an empty list, nothing to wait for.", "Recordings" if packages.ids else "Packages")
            return self._over(context, progress.result())
        if time.monotonic() < self._hold_until:
            self.log.info("The service asked to wait another %.0f s.", self._hold_until - time.monotonic())
            return False
        if self._hook is None:
            push_links(context, self, self._open_hook())
        for package_id in progress.pending:
            if not self._look(context, package_id, progress):
                break
        self._save(context, progress)
        if progress.pending:
            return False
        return self._over(context, progress.result())

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """
        Take what the trigger found, and fail closed on anything else.

        :param context: Airflow's context.
        :param event: the trigger's event.
        :return: the API's list response without URLs, or a list of these.
        :raises AirflowSensorTimeout: when ``timeout`` has passed.
        :raises IinkedSignError: as the trigger found.
        """
        from airflow_provider_iinked.waiting.events import read_event

        condition = self._condition()
        label_map_index(context, condition.packages.label)
        result = read_event(event, condition)
        if result.timed_out or result.error is not None:
            self._hand_over(context, result.ready)
            self._fail(result.error or AirflowSensorTimeout(result.message))
        return self._over(context, result.response).xcom_value

    def on_kill(self) -> None:
        """Break off the request in flight; nothing is sent any more."""
        self._stopped = True
        if self._hook is not None:
            self._hook.abort()

    # --- one look -----------------------------------------------------------------------------------------------

    def _condition(self) -> WaitCondition:
        from airflow_provider_iinked.waiting.wait_condition import WaitCondition

        check_conn_id(self.iinked_sign_conn_id)
        return WaitCondition.from_dict(vars(self))

    def _look(self, context: Context, package_id: str, progress: WaitProgress) -> bool:
        """List a package's recordings and note what that means; False where the service asked to wait."""
        from airflow_provider_iinked.api.retries import MAX_TOTAL_WAIT, backoff
        from airflow_provider_iinked.waiting.wait_condition import evaluate

        spend_in_place = self.reschedule and not self.deferrable and self._state_store(context) is None
        budget = min(MAX_TOTAL_WAIT, self.timeout)
        while True:
            try:
                videos = self._list(package_id)
                self._warn(package_id, videos, progress)
                status = evaluate(videos, progress.condition, package_id)
            except IinkedSignError as error:
                self._note_error(context, package_id, error, progress)
                if isinstance(error, IinkedSignPermanentError):
                    return True
                pause = backoff(progress.consecutive_errors) if error.retry_after is None else error.retry_after
                rate_limited = isinstance(error, RateLimitError) and error.retry_after is not None
                if not spend_in_place or rate_limited or (error.retry_after is not None and pause > budget):
                    self._hold(error)
                    return error.retry_after is None
                self.log.info("Package %s: retrying in %.1f s.", package_id, pause)
                budget -= pause
                time.sleep(pause)
            else:
                progress.note(package_id, status)
                if status.ready:
                    self.log.info("Package %s: %d recordings are archived.", package_id, len(status.archived))
                else:
                    self.log.info("Package %s: still waiting for %s.", package_id, ", ".join(status.waiting_for))
                return True

    def _list(self, package_id: str) -> list[Video]:
        """Ask once; a refused key is read from the connection once more, since it may have been rotated."""
        if self._stopped:
            raise TaskStoppedError("The task was stopped while it waited. Nothing was done.")
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

    def _note_error(self, context: Context, package_id: str, error: IinkedSignError, progress: WaitProgress) -> None:
        """Log an error after which the wait goes on; raise one that ends it."""
        try:
            self.log.warning("%s", progress.note_error(package_id, error))
        except IinkedSignPermanentError:
            raise
        except IinkedSignError:
            self._save(context, progress)
            count = self.max_consecutive_errors + 1
            self.log.error("Package %s: giving up after %d consecutive errors.", package_id, count)
            self._skip_if_soft(error)
            raise
        if self._stopped:
            raise error

    def _warn(self, package_id: str, videos: list[Video], progress: WaitProgress) -> None:
        from airflow_provider_iinked.waiting.wait_warnings import due_warnings

        warnings = due_warnings(package_id, videos, time.time(), progress.warned)
        progress.warned = warnings.given
        for line in warnings.lines:
            self.log.warning("%s", line)

    # --- what survives between the pokes of reschedule mode -----------------------------------------------------

    def _state_store(self, context: Context) -> Any:
        """Return Airflow's store for it, from 3.3 on."""
        return context.get("task_state_store") if context and self.reschedule and not self.deferrable else None

    def _resume(self, context: Context) -> WaitProgress:
        """Go on with the wait of this process, or with the one that an earlier poke of the same try saved."""
        from airflow_provider_iinked.waiting.wait_progress import WaitProgress

        condition = self._condition()
        if self._progress is None:
            self._progress = WaitProgress(condition, self.max_consecutive_errors)
            store = self._state_store(context)
            kept = store.get(_STATE_KEY) if store is not None else None
            if isinstance(kept, Mapping) and kept.get("try") == _try_number(context):
                self._progress.restore(kept)
            self._saved = self._snapshot(context)
        return self._progress

    def _snapshot(self, context: Context) -> dict[str, Any]:
        # A store outlives a clear, so what it holds counts for the try that wrote it.
        return {"try": _try_number(context), **(self._progress.to_dict() if self._progress is not None else {})}

    def _save(self, context: Context, progress: WaitProgress) -> None:
        store = self._state_store(context)
        if store is not None and (snapshot := self._snapshot(context)) != self._saved:
            store.set(_STATE_KEY, snapshot)
            self._saved = snapshot

    # --- the end ------------------------------------------------------------------------------------------------

    def _over(self, context: Context, response: Any) -> PokeReturnValue:
        self._close_hook()
        ti = context.get("ti") if context else None
        if ti is not None and self.do_xcom_push:
            listed = response if isinstance(response, list) else [response]
            ids = [video["meetingVideoId"] for one in listed for video in one["videos"]]
            ti.xcom_push(key=PACKAGES_KEY, value=self._condition().packages.as_given)
            ti.xcom_push(key=IDS_KEY, value=ids)
        return PokeReturnValue(is_done=True, xcom_value=response)

    def _hand_over(self, context: Context, ready: Sequence[str]) -> None:
        """Push which packages are ready although the wait did not succeed."""
        ti = context.get("ti") if context else None
        if ti is not None and self.do_xcom_push:
            ti.xcom_push(key=PACKAGES_KEY, value=list(ready))

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
        progress = self._resume(context)
        from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedTrigger

        self._close_hook()
        self.defer(
            trigger=IinkedVideosArchivedTrigger(
                iinked_sign_conn_id=self.iinked_sign_conn_id,
                poll_interval=float(self.poke_interval),
                end_time=end_time,
                max_consecutive_errors=self.max_consecutive_errors,
                consecutive_errors=progress.consecutive_errors,
                not_before=time.time() + hold if (hold := self._hold_until - time.monotonic()) > 0 else 0.0,
                warned=progress.warned,
                **progress.condition.to_dict(),
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


def _try_number(context: Context) -> int:
    ti = context.get("ti") if context else None
    return int(getattr(ti, "try_number", 0) or 0)
