"""Poll all packages that match, and report recordings that became archived, round by round."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.errors import concerns_all
from airflow_provider_iinked.api.package_list import PackageFilters, PackagePages
from airflow_provider_iinked.api.retries import backoff
from airflow_provider_iinked.exceptions import AuthenticationError, IinkedSignError, IinkedSignPermanentError
from airflow_provider_iinked.models import parse_videos
from airflow_provider_iinked.waiting import seen_store
from airflow_provider_iinked.waiting.connection_cache import TriggerClient
from airflow_provider_iinked.waiting.seen_store import SeenVideos, fingerprint

_PAGE: Final = 100
_MIN_PAUSE: Final = 1.0

log = logging.getLogger(__name__)


class PackagePoller:
    """
    Look at every package once an interval, evenly spread.

    :param client: the way to the API.
    :param filters: which packages.
    :param interval: seconds a round takes at least.
    :param seen: what was reported.
    """

    def __init__(self, client: TriggerClient, filters: PackageFilters, interval: float, seen: SeenVideos) -> None:
        self._client = client
        self._filters = filters.to_body()
        self._interval = max(interval, _MIN_PAUSE)
        self._seen = seen

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
                    await self._seen.load()
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
            except IinkedSignError as error:
                if isinstance(error, AuthenticationError) and concerns_all(error):
                    raise
                # One package, such as one that was deleted meanwhile, must not hold up those after it.
                log.warning("%s Skipped in this round.", error)
                whole = False
                continue
            listed |= archived.keys()
            if fresh := {one: video for one, video in archived.items() if one not in self._seen.seen}:
                yield {"package_id": package_id, "meeting_video_ids": list(fresh.values())}
                # Only now: who consumes the events has taken this one.
                self._seen.add(set(fresh))
        if whole:
            self._seen.prune(listed)

    async def _packages(self) -> list[str]:
        pages, found = PackagePages(), []
        while not pages.ended:
            client = await self._client.open()
            request = protocol.list_packages(self._filters, take=_PAGE, skip=pages.skip)
            found += [package.package_id for package in pages.take(await client.send(request))]
        return found

    async def _archived(self, package_id: str) -> dict[bytes, str]:
        client = await self._client.open()
        videos = parse_videos(await client.send(protocol.list_videos(package_id)), package_id)
        return {
            fingerprint(package_id, video.meeting_video_id): video.meeting_video_id
            for video in videos
            if video.is_archived
        }

    async def _recover(self, error: Exception, failures: int) -> None:
        """Wait, longer each time up to the interval, and read the connection again; at once after a refused key."""
        if isinstance(error, AuthenticationError) and failures == 1 and await self._has_another_key():
            log.info("API key rejected; retrying with the new key from the connection.")
            return
        text = str(error) if isinstance(error, IinkedSignError) else type(error).__name__
        pause = min(self._interval, max(_MIN_PAUSE, 2 * backoff(failures)))
        if isinstance(error, IinkedSignPermanentError):
            pause = self._interval
        if isinstance(error, IinkedSignError) and error.retry_after is not None:
            pause = max(pause, error.retry_after)
        log.warning("%s No recording is lost: the round is retried in %.0f s.", text, pause)
        await self._client.close()
        await self._rest(time.monotonic() + pause)

    async def _has_another_key(self) -> bool:
        with contextlib.suppress(IinkedSignError):
            return await self._client.renew(await self._client.open())
        return False

    async def _rest(self, until: float) -> None:
        """Sleep, and save meanwhile what is old enough."""
        await self._seen.save()
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, seen_store.SAVE_AFTER / 2))
            await self._seen.save()
