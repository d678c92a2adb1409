"""Log lines that show how far the downloads are."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_iinked import progress
from airflow_provider_iinked.progress import size

log = logging.getLogger(__name__)


class Transfer(Protocol):
    """A recording on its way."""

    @property
    def done(self) -> int:
        """Bytes so far."""

    @property
    def total(self) -> int | None:
        """Bytes in all, where known."""


@dataclass(frozen=True)
class BatchState:
    """
    How far a task with several packages is.

    :param packages: packages in all.
    :param packages_done: of these, done or failed.
    :param recordings_done: recordings copied, or found to be copied.
    :param at_work: recordings at work now.
    :param bytes_done: bytes of the finished downloads, and of those at work.
    """

    packages: int
    packages_done: int
    recordings_done: int
    at_work: int
    bytes_done: int


class Progress:
    """Logs every few seconds: each download's bytes, percent, rate and time left; of a batch one line for all."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self._done: dict[str, int] = {}
        self._batch_bytes = 0

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next lines."""
        return time.monotonic() - self._last >= progress.INTERVAL

    def log(self, transfers: Iterable[tuple[str, Transfer]], batch: BatchState) -> None:
        """
        Log the lines, when it is time to.

        :param transfers: the running downloads, by video id.
        :param batch: how far the task is.
        """
        if not self.is_due:
            return
        now = time.monotonic()
        elapsed = now - self._last
        self._last = now
        if batch.packages > 1:
            rate = max(0, batch.bytes_done - self._batch_bytes) / elapsed
            self._batch_bytes = batch.bytes_done
            log.info("%s", describe_batch(batch, rate, now - self._started))
            return
        for video_id, transfer in transfers:
            done = transfer.done
            rate = max(0, done - self._done.get(video_id, 0)) / elapsed
            self._done[video_id] = done
            log.info("Video %s: %s", video_id, describe(done, transfer.total, rate))


def describe(done: int, total: int | None, rate: float) -> str:
    """
    Say how far a download is.

    :param done: bytes so far.
    :param total: bytes in all, where known.
    :param rate: bytes a second.
    :return: one line.
    """
    text = size(done)
    if total:
        text += f" of {size(total)} ({100 * done // total} %)"
    text += f", {size(rate)}/s"
    if total and rate > 0:
        text += f", {(total - done) / rate:.0f} s left"
    return text


def describe_batch(batch: BatchState, rate: float, elapsed: float) -> str:
    """
    Say how far a task with several packages is.

    :param batch: its state.
    :param rate: bytes a second.
    :param elapsed: seconds since it began.
    :return: one line.
    """
    text = (
        f"{batch.packages_done} of {batch.packages} packages, {batch.recordings_done} recordings done, "
        f"{batch.at_work} at work; {size(batch.bytes_done)}, {size(rate)}/s"
    )
    if batch.packages_done:
        left = elapsed / batch.packages_done * (batch.packages - batch.packages_done)
        text += f", about {left:.0f} s left"
    return text
