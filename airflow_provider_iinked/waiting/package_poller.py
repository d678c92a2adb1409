"""Follow all packages that match, and tell of recordings that became archived: rounds, memory, what is told when."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.retries import backoff
from airflow_provider_iinked.exceptions import AuthenticationError, IinkedSignError, IinkedSignPermanentError
from airflow_provider_iinked.hooks.iinked_sign import PackagePages
from airflow_provider_iinked.models import parse_videos
from airflow_provider_iinked.waiting import seen_store as told
from airflow_provider_iinked.waiting.connection_cache import TriggerClient

STATE_KEY: Final = "iinked_sign_told"
SAVE_AFTER: Final = 60.0
"""
Seconds between telling of a recording and writing that down.

An event is in the triggerer's memory first, and in the database a second or so later. What were written down before
would be lost with a triggerer that dies in between; like this, it is told again.
"""
_PAGE: Final = 100
_SHORTEST_PAUSE: Final = 1.0

log = logging.getLogger(__name__)


class SeenVideos:
    """
    What was told, in Airflow's asset state store where there is one.

    :param store: the store that the triggerer gave, or None.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self.told: set[bytes] = set()
        self._listed: set[bytes] = set()
        self._fresh: dict[bytes, float] = {}
        self._saved: set[bytes] | None = None

    async def load(self) -> None:
        """Read what was told before. Raises what the store raises: telling all again is not the answer to that."""
        if self._store is None:
            return
        try:
            first = await self._store.aget(STATE_KEY)
        except ValueError:
            log.warning("The trigger watches several assets; what it has told is kept in memory only.")
            self._store = None
            return
        found = told.unpack(first)
        for number in range(1, told.parts(first)):
            found |= told.unpack(await self._store.aget(f"{STATE_KEY}_{number}"))
        self._saved = set(found)
        self.told |= found
        self._listed = set(found)

    def add(self, digests: set[bytes]) -> None:
        """
        Note what was told just now.

        :param digests: marks of the recordings.
        """
        self.told |= digests
        if self._store is not None:
            self._fresh.update(dict.fromkeys(digests, time.monotonic()))

    def prune(self, listed: set[bytes]) -> None:
        """
        Forget what was not listed as archived two rounds running: pages that shift can hide a package from one.

        :param listed: marks of the recordings that are listed now.
        """
        self.told &= listed | self._listed
        self._listed = listed

    async def save(self) -> None:
        """Write down what was told a while ago; trouble is logged, and the next call tries again."""
        if self._store is None:
            return
        ripe = time.monotonic() - SAVE_AFTER
        self._fresh = {digest: at for digest, at in self._fresh.items() if at > ripe}
        lasting = self.told - self._fresh.keys()
        if lasting == self._saved:
            return
        try:
            for number, value in reversed(list(enumerate(told.pack(lasting)))):
                await self._store.aset(f"{STATE_KEY}_{number}" if number else STATE_KEY, value)
        except Exception as error:
            log.warning("What was told could not be written down (%s); trying again later.", type(error).__name__)
        else:
            self._saved = lasting


class PackagePoller:
    """
    Look at every package once an interval, evenly spread.

    :param conn_id: the Airflow connection.
    :param filters: the filter fields of ``POST /packages/list``, in the API's spelling.
    :param interval: seconds a round takes at least.
    :param memory: what was told.
    """

    def __init__(self, conn_id: str, filters: Mapping[str, Any], interval: float, memory: SeenVideos) -> None:
        self.access = TriggerClient(conn_id)
        self._filters = filters
        self._interval = max(interval, _SHORTEST_PAUSE)
        self._memory = memory

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """
        Go on for ever.

        :return: for each package with newly archived recordings ``package_id`` and ``meeting_video_ids``.
        """
        failures = 0
        loaded = False
        while True:
            begun = time.monotonic()
            try:
                if not loaded:
                    await self._memory.load()
                    loaded = True
                async for event in self._round(begun):
                    yield event
            except Exception as error:
                failures += 1
                await self._recover(error, failures)
                continue
            failures = 0
            await self._rest(begun + self._interval)

    async def _round(self, begun: float) -> AsyncIterator[dict[str, Any]]:
        packages = await self._packages()
        listed: set[bytes] = set()
        whole = True
        for number, package_id in enumerate(packages):
            await self._rest(begun + number * self._interval / len(packages))
            try:
                archived = await self._archived(package_id)
            except AuthenticationError:
                raise
            except IinkedSignError as error:
                # One package, such as one that was deleted meanwhile, must not hold up those after it.
                log.warning("%s It is left out of this round.", error)
                whole = False
                continue
            listed |= archived.keys()
            if fresh := {digest: video for digest, video in archived.items() if digest not in self._memory.told}:
                yield {"package_id": package_id, "meeting_video_ids": list(fresh.values())}
                # Only now: who consumes the events has taken this one.
                self._memory.add(set(fresh))
        if whole:
            self._memory.prune(listed)

    async def _packages(self) -> list[str]:
        pages, found = PackagePages(), []
        while not pages.ended:
            client = await self.access.open()
            request = protocol.list_packages(self._filters, take=_PAGE, skip=pages.skip)
            found += [package.package_id for package in pages.take(await client.send(request))]
        return found

    async def _archived(self, package_id: str) -> dict[bytes, str]:
        client = await self.access.open()
        videos = parse_videos(await client.send(protocol.list_videos(package_id)), package_id)
        return {
            told.digest(package_id, video.meeting_video_id): video.meeting_video_id
            for video in videos
            if video.is_archived
        }

    async def _recover(self, error: Exception, failures: int) -> None:
        """Wait, longer each time up to the interval, and read the connection anew; at once when its key was refused."""
        if isinstance(error, AuthenticationError) and failures == 1 and await self._has_another_key():
            log.info("The key was refused; the connection holds another one now.")
            return
        text = str(error) if isinstance(error, IinkedSignError) else type(error).__name__
        pause = min(self._interval, max(_SHORTEST_PAUSE, 2 * backoff(failures)))
        if isinstance(error, IinkedSignPermanentError):
            pause = self._interval
        if isinstance(error, IinkedSignError) and error.retry_after is not None:
            pause = max(pause, error.retry_after)
        log.warning("%s Nothing is lost: the round starts again in %.0f s.", text, pause)
        await self.access.close()
        await self._rest(time.monotonic() + pause)

    async def _has_another_key(self) -> bool:
        with contextlib.suppress(IinkedSignError):
            return await self.access.renew(asyncio.get_running_loop().time())
        return False

    async def _rest(self, until: float) -> None:
        """Sleep, and write down meanwhile what has become ripe."""
        await self._memory.save()
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, SAVE_AFTER / 2))
            await self._memory.save()
