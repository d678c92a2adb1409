"""Ask for the videos of many packages side by side, within the connection's ceiling. Threads touch the client alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.errors import concerns_all
from airflow_provider_iinked.api.sync_client import SyncClient
from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.models import Video, parse_videos

Listed = tuple[str, list[Video] | IinkedSignError]


def list_videos_of_many(client: SyncClient, package_ids: Iterable[str], max_parallel: int) -> Iterator[Listed]:
    """
    List the videos of packages, so many at a time.

    :param client: the client; its rate limiter and pauses hold for all threads.
    :param package_ids: the packages; taken as they are needed, in the caller's thread.
    :param max_parallel: requests in flight at a time.
    :return: for each package, in order, its videos, or the error that is about this package alone.
    :raises IinkedSignError: for what concerns the service as a whole; requests in flight are broken off.
    """
    remaining = iter(package_ids)
    waiting: deque[tuple[str, Future[list[Video]]]] = deque()
    pool = ThreadPoolExecutor(max_parallel, thread_name_prefix="iinked-list")
    try:
        while True:
            # Twice as many as there are threads, so that none is idle while the first one's answer is awaited.
            for package_id in islice(remaining, 2 * max_parallel - len(waiting)):
                waiting.append((package_id, pool.submit(_list, client, package_id)))
            if not waiting:
                return
            package_id, future = waiting.popleft()
            try:
                yield package_id, future.result()
            except IinkedSignError as error:
                if concerns_all(error):
                    raise
                yield package_id, error
    finally:
        if waiting:
            client.abort()
        pool.shutdown(cancel_futures=True)


def _list(client: SyncClient, package_id: str) -> list[Video]:
    return parse_videos(client.send(protocol.list_videos(package_id)), package_id)
