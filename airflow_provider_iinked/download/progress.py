"""Log lines that show how far the transfers are."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Final

from airflow_provider_iinked.download.downloader import Fetch

log = logging.getLogger(__name__)

INTERVAL: Final = 10.0


class Progress:
    """Tells of each running transfer every few seconds: bytes, percent, rate, time left."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._done: dict[str, int] = {}

    def log(self, transfers: Iterable[tuple[str, Fetch]]) -> None:
        """
        Log the transfers, when it is time to.

        :param transfers: the running ones, by video id.
        """
        now = time.monotonic()
        elapsed = now - self._last
        if elapsed < INTERVAL:
            return
        self._last = now
        for video_id, fetch in transfers:
            done = fetch.done
            rate = max(0, done - self._done.get(video_id, 0)) / elapsed
            self._done[video_id] = done
            log.info("Video %s: %s", video_id, describe(done, fetch.total, rate))


def describe(done: int, total: int | None, rate: float) -> str:
    """
    Say how far a transfer is.

    :param done: bytes so far.
    :param total: bytes in all, where known.
    :param rate: bytes a second.
    :return: one line.
    """
    text = f"{_size(done)}"
    if total:
        text += f" of {_size(total)} ({100 * done // total} %)"
    text += f", {_size(rate)}/s"
    if total and rate > 0:
        text += f", {(total - done) / rate:.0f} s left"
    return text


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return ""
