"""
The wait for recordings in the triggerer.

What a trigger needs is imported here, at the top: an import inside ``run`` would stall every other trigger of the
triggerer. The sensor imports this module only when it defers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

# Airflow's own helpers load these at their first call; here, they do not stall the event loop.
import asgiref.sync  # noqa: F401
from airflow.providers.common.compat.sdk import Stats  # noqa: F401
from airflow.triggers.base import BaseTrigger, TriggerEvent
from yarl import URL

from airflow_provider_iinked import metrics
from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.async_client import AsyncClient
from airflow_provider_iinked.api.poll_schedule import MIN_INTERVAL, Slot
from airflow_provider_iinked.arguments import check_conn_id, check_filter, check_interval, check_seconds, require_bool
from airflow_provider_iinked.exceptions import (
    AuthenticationError,
    IinkedSignError,
    IinkedSignPermanentError,
    RateLimitError,
    UnexpectedAnswerError,
)
from airflow_provider_iinked.models import Video
from airflow_provider_iinked.waiting.connection_cache import TriggerClient
from airflow_provider_iinked.waiting.events import error_event, ready_event, timeout_event
from airflow_provider_iinked.waiting.listing_monitor import Change, ListingMonitor
from airflow_provider_iinked.waiting.package_poller import PackagePoller, SeenVideos
from airflow_provider_iinked.waiting.wait_condition import parse_wait_condition, ready_answer

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2.11 has no event-driven scheduling; the module stays importable there
    BaseEventTrigger = BaseTrigger  # type: ignore[misc,assignment]


class IinkedVideosArchivedTrigger(BaseTrigger):
    """
    Wait until the recordings of a package are archived.

    It never raises: what goes wrong is an event. All waits of a connection in one triggerer share one client, which
    spreads their polls evenly over the interval, keeps the connection's ``max_requests_per_second``, and lets nobody
    ask while a Retry-After holds. The row that Airflow keeps of it holds no secret.

    :param iinked_sign_conn_id: the Airflow connection.
    :param package_id: the package.
    :param meeting_video_ids: the selected recordings, or ``"*"``.
    :param min_videos: without a selection: how many must be archived or already deleted.
    :param on_failed: what a failed recording means: ``fail``, ``wait`` or ``ignore``.
    :param on_deleted: what a selected recording that is deleted means: ``fail`` or ``ignore``.
    :param poll_interval: seconds between two polls.
    :param end_time: epoch seconds after which the wait ends; a move to another triggerer does not change it.
    :param max_consecutive_errors: how many errors in a row are tolerated.
    :param consecutive_errors: how many there were before it started.
    :param not_before: epoch seconds until which the service asked, before it started, to be left alone; 0 for none.
    """

    def __init__(
        self,
        *,
        iinked_sign_conn_id: str,
        package_id: str,
        meeting_video_ids: str | Sequence[str],
        min_videos: int,
        on_failed: str,
        on_deleted: str,
        poll_interval: float,
        end_time: float,
        max_consecutive_errors: int,
        consecutive_errors: int = 0,
        not_before: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.iinked_sign_conn_id = iinked_sign_conn_id
        self.package_id = package_id
        self.meeting_video_ids = meeting_video_ids
        self.min_videos = min_videos
        self.on_failed = on_failed
        self.on_deleted = on_deleted
        self.poll_interval = poll_interval
        self.end_time = end_time
        self.max_consecutive_errors = max_consecutive_errors
        self.consecutive_errors = consecutive_errors
        self.not_before = not_before
        self._access: TriggerClient | None = None
        self._seat: tuple[AsyncClient, Slot, URL] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """
        Return what makes this trigger again, elsewhere.

        :return: class path and arguments.
        """
        ids = self.meeting_video_ids
        return (
            "airflow_provider_iinked.triggers.videos.IinkedVideosArchivedTrigger",
            {
                "iinked_sign_conn_id": self.iinked_sign_conn_id,
                "package_id": self.package_id,
                "meeting_video_ids": ids if isinstance(ids, str) else list(ids),
                "min_videos": self.min_videos,
                "on_failed": self.on_failed,
                "on_deleted": self.on_deleted,
                "poll_interval": self.poll_interval,
                "end_time": self.end_time,
                "max_consecutive_errors": self.max_consecutive_errors,
                "consecutive_errors": self.consecutive_errors,
                "not_before": self.not_before,
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
        access, self._access, self._seat = self._access, None, None
        if access is not None:
            await access.close()

    async def _outcome(self) -> dict[str, Any]:
        try:
            return await self._wait()
        except IinkedSignError as error:
            return error_event(error)
        except Exception as error:
            # Its text may hold anything, so only its name leaves the triggerer.
            self.log.exception("The wait for package %s broke off.", self.package_id)
            return error_event(
                UnexpectedAnswerError(
                    f"Package {self.package_id}: the wait broke off in the triggerer ({type(error).__name__}). Nothing "
                    "was done; a retry may help. The triggerer's log has the details."
                )
            )
        finally:
            # Before the event is told: an inline run, as in dag.test(), never calls cleanup().
            await self.cleanup()

    async def _wait(self) -> dict[str, Any]:
        criteria = parse_wait_condition(
            package_id=self.package_id,
            meeting_video_ids=self.meeting_video_ids,
            min_videos=self.min_videos,
            on_failed=self.on_failed,
            on_deleted=self.on_deleted,
        )
        check_seconds(self.poll_interval, "poll_interval")
        check_seconds(self.end_time, "end_time")
        if criteria.meeting_video_ids == ():
            return ready_event(ready_answer(criteria.package_id, ()))
        self._access = TriggerClient(check_conn_id(self.iinked_sign_conn_id))
        watch = ListingMonitor(criteria)
        errors = self.consecutive_errors
        while True:
            try:
                archived = await self._look(watch)
            except IinkedSignPermanentError:
                raise
            except IinkedSignError as error:
                errors += self._count(error, errors)
            else:
                if archived is not None:
                    return ready_event(ready_answer(criteria.package_id, archived))
                errors = 0
            if time.time() >= self.end_time:
                return timeout_event(_timeout_message(watch))

    def _count(self, error: IinkedSignError, before: int) -> int:
        """Tell what an error adds to the count; raise it when no more are tolerated."""
        if isinstance(error, RateLimitError) and error.retry_after is not None:
            self.log.warning("%s Waiting on.", error)
            return 0
        if before + 1 > self.max_consecutive_errors:
            self.log.error("%d errors in a row; no more are tolerated.", before + 1)
            raise error
        self.log.warning(
            "%s Error %d of %d in a row that are tolerated.", error, before + 1, self.max_consecutive_errors
        )
        return 1

    async def _look(self, watch: ListingMonitor) -> Sequence[Video] | None:
        """Ask at the next point in time; return the archived recordings when the wait is over."""
        renewals = 0
        while True:
            client = await self._open_client()
            response = await self._poll(client, watch)
            if response is None:
                return None
            try:
                return self._take(watch.examine(response, secret=client.settings.secret, now=time.time()), watch)
            except AuthenticationError:
                # Twice at most: the key that another wait has read meanwhile may have been rotated in its turn.
                if renewals == 2 or self._access is None or not await self._access.renew(client.loop.time()):
                    raise
                renewals += 1
                self.log.info("The key was refused; the connection holds another one now.")

    async def _open_client(self) -> AsyncClient:
        access = self._access
        if access is None:  # cleanup() came first
            raise UnexpectedAnswerError("The trigger was cleaned up while it waited.")
        try:
            return await access.open()
        except IinkedSignPermanentError:
            raise
        except IinkedSignError:
            await self._pause()
            raise

    async def _pause(self) -> None:
        """Without a client there is no timetable: wait an interval, within the deadline."""
        await asyncio.sleep(max(0.0, min(max(self.poll_interval, MIN_INTERVAL), self.end_time - time.time())))

    async def _poll(self, client: AsyncClient, watch: ListingMonitor) -> protocol.Response | None:
        if self._seat is None or self._seat[0] is not client:
            client.gate.hold(client.loop.time() + self.not_before - time.time())
            self._seat = (client, client.gate.join(self.poll_interval), client.prepare(watch.request))
        deadline = client.loop.time() + max(0.0, self.end_time - time.time())
        response = await client.poll(watch.request, self._seat[2], self._seat[1], deadline)
        if response is not None:
            metrics.count(metrics.POLLS, in_triggerer=True)
        return response

    def _take(self, news: Change | None, watch: ListingMonitor) -> Sequence[Video] | None:
        if news is None:
            return None
        for line in news.warnings:
            self.log.warning("%s", line)
        if news.readiness.ready:
            return news.readiness.archived
        self.log.info(
            "Package %s: still waiting for %s.", watch.criteria.package_id, ", ".join(news.readiness.waiting_for)
        )
        return None


def _timeout_message(watch: ListingMonitor) -> str:
    waiting = ", ".join(watch.waiting_for) or "an answer"
    return f"Package {watch.criteria.package_id}: timeout, still waiting for {waiting}. Nothing was done."


class IinkedVideosArchivedEventTrigger(BaseEventTrigger):
    """
    Tell, without an end, of recordings that became archived: for an ``AssetWatcher`` of Airflow 3.

    It follows ``POST /packages/list`` and looks at each package once an interval, evenly spread. Each event holds
    ``package_id`` and ``meeting_video_ids``, the newly archived ones, and no URLs. Every recording is told at least
    once, those that are archived when it first starts as well. What was told is remembered in Airflow's asset state
    store from 3.3 on; below, in memory, so that after a restart of the triggerer all that is archived is told again.
    It never ends and never raises: after an error it waits, up to an interval, and goes on.

    .. seealso:: https://docs.iinkedsign.com/v4/api/packages/list

    :param iinked_sign_conn_id: the Airflow connection.
    :param poll_interval: seconds in which each package is looked at once.
    :param all_members: True for the packages of the whole organization.
    :param member_id: packages of this member.
    :param team_id: packages of this team.
    :param folder_id: packages in this folder.
    :param search: full text, as the API searches it.
    :param types: package types.
    :param states: package states.
    :param is_executed: only packages that all have signed, or only others.
    :raises InvalidArgumentError: when the Dag is parsed, for an argument that is empty-handed.
    """

    def __init__(
        self,
        *,
        iinked_sign_conn_id: str = "iinked_sign_default",
        poll_interval: float = 300.0,
        all_members: bool | None = None,
        member_id: str | None = None,
        team_id: str | None = None,
        folder_id: str | None = None,
        search: str | None = None,
        types: Sequence[str] | None = None,
        states: Sequence[str] | None = None,
        is_executed: bool | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        check_conn_id(iinked_sign_conn_id)
        self.iinked_sign_conn_id = iinked_sign_conn_id
        self.poll_interval = check_interval(poll_interval, "poll_interval")
        flags = {"all_members": all_members, "is_executed": is_executed}
        words = {"member_id": member_id, "team_id": team_id, "folder_id": folder_id, "search": search}
        lists = {"types": types, "states": states}
        self._arguments: dict[str, Any] = {
            **{name: require_bool(value, name) for name, value in flags.items() if value is not None},
            **{name: check_filter(value, name) for name, value in {**words, **lists}.items() if value is not None},
        }
        self._follower: PackagePoller | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """
        Return what makes this trigger again, elsewhere; watchers with the same answer share one trigger.

        :return: class path and arguments.
        """
        return (
            "airflow_provider_iinked.triggers.videos.IinkedVideosArchivedEventTrigger",
            {
                "iinked_sign_conn_id": self.iinked_sign_conn_id,
                "poll_interval": self.poll_interval,
                **self._arguments,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Follow the packages.

        :return: an event for each package with newly archived recordings.
        """
        memory = SeenVideos(getattr(self, "asset_state_store", None))
        filters = {_camel_case(name): value for name, value in self._arguments.items()}
        self._follower = PackagePoller(self.iinked_sign_conn_id, filters, self.poll_interval, memory)
        async for event in self._follower.events():
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def cleanup(self) -> None:
        """Give the shared client back. Calling it again, or before the first step of :meth:`run`, does nothing."""
        follower, self._follower = self._follower, None
        if follower is not None:
            await follower.access.close()


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
