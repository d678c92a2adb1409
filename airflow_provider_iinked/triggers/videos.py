"""
The wait for recordings in the triggerer.

What a trigger needs is imported here, at the top: an import inside ``run`` would stall every other trigger of the
triggerer. The sensor imports this module only when it defers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Unpack

# Airflow's own helpers load these at their first call; here, they do not stall the event loop.
import asgiref.sync  # noqa: F401
from airflow.providers.common.compat.sdk import Stats  # noqa: F401
from airflow.triggers.base import BaseTrigger, TriggerEvent
from yarl import URL

from airflow_provider_iinked import metrics
from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.async_client import AsyncClient
from airflow_provider_iinked.api.package_list import PackageFilterArguments, PackageFilters
from airflow_provider_iinked.api.poll_schedule import MIN_INTERVAL, Slot
from airflow_provider_iinked.arguments import DEFAULT_CONN_ID, check_conn_id, check_interval, check_seconds
from airflow_provider_iinked.exceptions import (
    AuthenticationError,
    IinkedSignError,
    IinkedSignPermanentError,
    UnexpectedAnswerError,
)
from airflow_provider_iinked.hooks.iinked_sign import aread_settings
from airflow_provider_iinked.waiting.connection_cache import TriggerClient
from airflow_provider_iinked.waiting.events import error_event, ready_event, timeout_event
from airflow_provider_iinked.waiting.listing_monitor import Change, ListingMonitor
from airflow_provider_iinked.waiting.package_poller import PackagePoller
from airflow_provider_iinked.waiting.seen_store import SeenVideos
from airflow_provider_iinked.waiting.wait_condition import WaitArguments, WaitCondition
from airflow_provider_iinked.waiting.wait_progress import WaitProgress

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2.11 has no event-driven scheduling; the module stays importable there
    BaseEventTrigger = BaseTrigger  # type: ignore[misc,assignment]


class IinkedVideosArchivedTrigger(BaseTrigger):
    """
    Wait until the recordings of a package, or of several packages, are archived.

    It never raises: what goes wrong is an event. All waits of a connection in one triggerer share one client, which
    spreads their polls evenly over the interval, keeps the connection's ``max_requests_per_second``, and lets nobody
    ask while a Retry-After holds. A package that is ready is not polled any more. The row that Airflow keeps of it
    holds no secret.

    :param iinked_sign_conn_id: the Airflow connection.
    :param poll_interval: seconds between two polls of a package.
    :param end_time: epoch seconds after which the wait ends; a move to another triggerer does not change it.
    :param max_consecutive_errors: how many errors in a row are tolerated, for each package.
    :param consecutive_errors: how many there were before it started.
    :param not_before: epoch seconds until which the service asked, before it started, to be left alone; 0 for none.
    :param warned: which warnings were given before it started, and when.
    :param condition: ``package_id`` (one or a list), ``meeting_video_ids``, ``min_videos``, ``on_failed`` and
        ``on_deleted``, as the sensor takes them.
    """

    def __init__(
        self,
        *,
        iinked_sign_conn_id: str,
        poll_interval: float,
        end_time: float,
        max_consecutive_errors: int,
        consecutive_errors: int = 0,
        not_before: float = 0.0,
        warned: Mapping[str, float] | None = None,
        **condition: Unpack[WaitArguments],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.iinked_sign_conn_id = iinked_sign_conn_id
        self.poll_interval = poll_interval
        self.end_time = end_time
        self.max_consecutive_errors = max_consecutive_errors
        self.consecutive_errors = consecutive_errors
        self.not_before = not_before
        self.warned = dict(warned or {})
        self.condition = condition
        self._client: TriggerClient | None = None
        self._slots: dict[str, tuple[AsyncClient, Slot, URL]] = {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """
        Return what makes this trigger again, elsewhere.

        :return: class path and arguments.
        """
        return (
            "airflow_provider_iinked.triggers.videos.IinkedVideosArchivedTrigger",
            {
                "iinked_sign_conn_id": self.iinked_sign_conn_id,
                "poll_interval": self.poll_interval,
                "end_time": self.end_time,
                "max_consecutive_errors": self.max_consecutive_errors,
                "consecutive_errors": self.consecutive_errors,
                "not_before": self.not_before,
                "warned": self.warned,
                **{name: list(v) if isinstance(v, tuple) else v for name, v in self.condition.items()},
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Wait.

        :return: one event, as :mod:`airflow_provider_iinked.waiting.events` writes it.
        """
        yield TriggerEvent(await self._outcome())  # type: ignore[no-untyped-call]

    async def cleanup(self) -> None:
        """Give the shared client back. Calling it again, or before the first step of :meth:`run`, does nothing."""
        client, self._client, self._slots = self._client, None, {}
        if client is not None:
            await client.close()

    async def _outcome(self) -> dict[str, Any]:
        try:
            return await self._wait()
        except IinkedSignError as error:
            return error_event(error)
        except Exception as error:
            # Its text may hold anything, so only its name leaves the triggerer.
            named = self.condition.get("package_id")
            self.log.exception("The wait for %s broke off.", named)
            return error_event(
                UnexpectedAnswerError(
                    f"Package {named}: the wait broke off in the triggerer ({type(error).__name__}). Nothing "
                    "was done; a retry may help. The triggerer's log has the details."
                )
            )
        finally:
            # Before the event is sent: an inline run, as in dag.test(), never calls cleanup().
            await self.cleanup()

    async def _wait(self) -> dict[str, Any]:
        condition = WaitCondition.from_dict(self.condition)
        check_seconds(self.poll_interval, "poll_interval")
        check_seconds(self.end_time, "end_time")
        progress = WaitProgress(condition, self.max_consecutive_errors, self.consecutive_errors)
        try:
            if progress.pending:
                self._client = TriggerClient(check_conn_id(self.iinked_sign_conn_id), aread_settings)
                await self._wait_for_all(progress)
            if progress.pending:
                return timeout_event(progress.describe_pending(), progress.ready_despite())
            return ready_event(progress.result())
        except IinkedSignError as error:
            return error_event(error, progress.ready_despite(error))

    async def _wait_for_all(self, progress: WaitProgress) -> None:
        """Wait for each package in a task of its own, so that a slow answer delays no other one."""
        monitors = [ListingMonitor(progress.condition, one, self.warned) for one in progress.pending]
        if len(monitors) == 1:
            await self._wait_for(monitors[0], progress)
            return
        try:
            async with asyncio.TaskGroup() as group:
                for monitor in monitors:
                    group.create_task(self._wait_for(monitor, progress))
        except BaseExceptionGroup as errors:
            # The first one ended the wait of the others.
            raise errors.exceptions[0] from None

    async def _wait_for(self, monitor: ListingMonitor, progress: WaitProgress) -> None:
        """Poll until the package is ready, has failed, or the deadline is there."""
        package_id = monitor.package_id
        while progress.is_pending(package_id):
            try:
                await self._poll_once(monitor, progress)
            except IinkedSignError as error:
                self.log.warning("%s", progress.note_error(package_id, error))
            if time.time() >= self.end_time:
                return

    async def _poll_once(self, monitor: ListingMonitor, progress: WaitProgress) -> None:
        """Ask at the next point in time, and note what the answer says."""
        renewals = 0
        while True:
            client = await self._open_client()
            response = await self._poll(client, monitor)
            if response is None:
                return
            try:
                change = monitor.examine(response, secret=client.settings.secret, now=time.time())
            except AuthenticationError:
                # Twice at most: the key that another wait has read meanwhile may have been rotated in its turn.
                if renewals == 2 or self._client is None or not await self._client.renew(client):
                    raise
                renewals += 1
                self.log.info("API key rejected; retrying with the new key from the connection.")
            else:
                self._note(change, monitor.package_id, progress)
                return

    async def _open_client(self) -> AsyncClient:
        if self._client is None:  # cleanup() came first
            raise UnexpectedAnswerError("The trigger was cleaned up while it waited.")
        try:
            return await self._client.open()
        except IinkedSignPermanentError:
            raise
        except IinkedSignError:
            await self._pause()
            raise

    async def _pause(self) -> None:
        """Without a client there is no timetable: wait an interval, within the deadline."""
        await asyncio.sleep(max(0.0, min(max(self.poll_interval, MIN_INTERVAL), self.end_time - time.time())))

    async def _poll(self, client: AsyncClient, monitor: ListingMonitor) -> protocol.Response | None:
        known = self._slots.get(monitor.package_id)
        if known is None or known[0] is not client:
            client.limiter.pause(client.loop.time() + self.not_before - time.time())
            known = (client, client.schedule.join(self.poll_interval), client.prepare(monitor.request))
            self._slots[monitor.package_id] = known
        deadline = client.loop.time() + max(0.0, self.end_time - time.time())
        response = await client.poll(monitor.request, known[2], known[1], deadline)
        if response is not None:
            metrics.count(metrics.POLLS, in_triggerer=True)
        return response

    def _note(self, change: Change | None, package_id: str, progress: WaitProgress) -> None:
        if change is None:
            progress.note_unchanged(package_id)
            return
        for line in change.warnings:
            self.log.warning("%s", line)
        progress.note(package_id, change.status)
        if not change.status.ready:
            self.log.info("Package %s: still waiting for %s.", package_id, ", ".join(change.status.waiting_for))


class IinkedVideosArchivedEventTrigger(BaseEventTrigger):
    """
    Report, without an end, recordings that became archived: for an ``AssetWatcher`` of Airflow 3.

    It follows ``POST /packages/list`` and looks at each package once an interval, evenly spread. Each event holds
    ``package_id`` and ``meeting_video_ids``, the newly archived ones, and no URLs. Every recording is reported at least
    once, those that are archived when it first starts as well. What was reported is kept in Airflow's asset state
    store from 3.3 on, for each connection and set of filters; below, in memory, so that after a restart of the
    triggerer all that is archived is reported again. It never ends and never raises: after an error it waits, up to
    an interval, and goes on.

    .. seealso:: https://docs.iinkedsign.com/v4/api/packages/list

    :param iinked_sign_conn_id: the Airflow connection.
    :param poll_interval: seconds in which each package is looked at once.
    :param filters: the filters of :class:`airflow_provider_iinked.api.package_list.PackageFilterArguments`, such as
        ``all_members=True`` for the whole organization.
    :raises InvalidArgumentError: when the Dag is parsed, for an argument that is empty.
    """

    def __init__(
        self,
        *,
        iinked_sign_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: float = 300.0,
        **filters: Unpack[PackageFilterArguments],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.iinked_sign_conn_id = check_conn_id(iinked_sign_conn_id)
        self.poll_interval = check_interval(poll_interval, "poll_interval")
        self.filters = PackageFilters.from_arguments(filters)
        self._client: TriggerClient | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """
        Return what makes this trigger again, elsewhere.

        :return: class path and arguments.
        """
        return (
            "airflow_provider_iinked.triggers.videos.IinkedVideosArchivedEventTrigger",
            {
                "iinked_sign_conn_id": self.iinked_sign_conn_id,
                "poll_interval": self.poll_interval,
                **self.filters.to_dict(),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Poll the packages.

        :return: an event for each package with newly archived recordings.
        """
        watched = {"iinked_sign_conn_id": self.iinked_sign_conn_id, **self.filters.to_body()}
        seen = SeenVideos(getattr(self, "asset_state_store", None), watched)
        self._client = TriggerClient(self.iinked_sign_conn_id, aread_settings)
        async for event in PackagePoller(self._client, self.filters, self.poll_interval, seen).events():
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def cleanup(self) -> None:
        """Give the shared client back. Calling it again, or before the first step of :meth:`run`, does nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
