"""Worker threads that cannot keep the process from ending, whatever a host or a store does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class WorkerPool:
    """
    Run calls side by side in daemon threads.

    ``concurrent.futures`` waits for its threads when the interpreter ends: a store that never answers would hold a task
    for ever.

    :param size: how many threads at most; each is started when it is first needed.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished: set[Future[Any]] = set()
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """
        Run a call in a worker thread.

        :param call: what to run.
        :return: its result to come.
        """
        future: Future[T] = Future()
        self._unfinished.add(future)  # before a worker can have it
        future.add_done_callback(self._unfinished.discard)
        self._calls.put((future, call))
        with self._lock:
            if len(self._threads) < self._size:
                name = f"iinked-download-{len(self._threads) + 1}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def unfinished(self) -> list[Future[Any]]:
        """
        Name the calls that were submitted and have not ended, also where :meth:`submit` has not returned yet.

        :return: their results to come.
        """
        return list(self._unfinished)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del item, future, call

    def close(self) -> None:
        """Let each thread end after its present call; does not wait for them."""
        for _ in self._threads:
            self._calls.put(None)
