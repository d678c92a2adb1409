"""One call for many: what everybody asks for at the same time is done once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


class SharedCall:
    """
    A call that serves all threads that asked for it before it began.

    Who asks while one is under way waits for the next one: the one under way may have come too early for it.

    :param call: what to do; what it raises reaches the thread that made it, and the next one tries again.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._began_at = float("-inf")

    def __call__(self, not_before: float | None = None) -> None:
        """
        See to it that the call is made, by this thread or by another one.

        :param not_before: a call that began later than this moment of ``time.monotonic()`` serves; None for now.
        :raises Exception: what it raised in this thread.
        """
        asked_at = time.monotonic() if not_before is None else not_before
        with self._lock:
            if self._began_at > asked_at:
                return
            began_at = time.monotonic()
            self._call()
            self._began_at = began_at
