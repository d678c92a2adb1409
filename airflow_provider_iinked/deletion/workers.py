"""Threads that verify copies and write receipts ahead of the requests, which stay in the task's own thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_POLL: Final = 0.5


class Workers:
    """
    Two groups of threads: one verifies, one completes receipts, so that neither waits for the other.

    :param max_parallel: how many threads each has.
    :param stopping: tells whether the task is to end.
    """

    def __init__(self, max_parallel: int, stopping: Callable[[], bool]) -> None:
        self._verify = ThreadPoolExecutor(max_parallel, thread_name_prefix="iinked-verify")
        self._receipts = ThreadPoolExecutor(max_parallel, thread_name_prefix="iinked-receipt")
        self._stopping = stopping

    def verify(self, work: Callable[[], R]) -> Future[R]:
        """
        Start a verification.

        :param work: what to do.
        :return: its result, later.
        """
        return self._verify.submit(work)

    def write(self, work: Callable[[], R]) -> Future[R]:
        """
        Start to write a receipt.

        :param work: what to do.
        :return: its result, later.
        """
        return self._receipts.submit(work)

    def result(self, future: Future[R]) -> R | None:
        """
        Wait for a result, as long as the task may go on.

        :param future: the result, later.
        :return: the result; None when the task is to end first.
        :raises Exception: what the work raised.
        """
        while not future.done():
            if self._stopping():
                return None
            wait([future], timeout=_POLL)
        return future.result()

    def close(self, *, at_once: bool) -> None:
        """
        End the threads.

        :param at_once: whether to leave them behind, with what they do.
        """
        for pool in (self._verify, self._receipts):
            pool.shutdown(wait=not at_once, cancel_futures=True)


def settle(futures: Iterable[Future[R]], *, until: float | None = None) -> None:
    """
    Wait until all are done.

    :param futures: what to wait for.
    :param until: monotonic time after which the rest is left; None to wait for all.
    """
    wait(list(futures), timeout=None if until is None else max(0.0, until - time.monotonic()))


class Lookahead:
    """
    Start the preparation of the next items before their turn.

    How many are under way follows from how long a turn takes: what would be stale at its turn is not begun yet.

    :param max_parallel: how many at most.
    :param max_age: seconds for which a preparation holds.
    """

    def __init__(self, max_parallel: int, max_age: float) -> None:
        self._max_parallel = max_parallel
        self._max_age = max_age
        self._turn = 0.0

    @property
    def depth(self) -> int:
        """How many items are prepared ahead now: half of what a preparation's age allows; none without parallelism."""
        most = self._max_parallel if self._max_parallel > 1 else 0
        return min(most, int(self._max_age / 2 / self._turn)) if self._turn else most

    def run(self, items: Iterable[T], start: Callable[[T], R]) -> Iterator[tuple[T, R]]:
        """
        Go through items in their order, each with what was started for it.

        :param items: the items; taken as late as the depth allows.
        :param start: starts the preparation of one.
        :return: each item at its turn.
        """
        window: deque[tuple[T, R]] = deque()
        for item in items:
            window.append((item, start(item)))
            while len(window) > self.depth:
                yield from self._turn_of(window)
        while window:
            yield from self._turn_of(window)

    def _turn_of(self, window: deque[tuple[T, R]]) -> Iterator[tuple[T, R]]:
        began = time.perf_counter()
        yield window.popleft()
        took = time.perf_counter() - began
        self._turn = took if not self._turn else 0.7 * self._turn + 0.3 * took
