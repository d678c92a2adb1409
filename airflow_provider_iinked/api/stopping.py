"""How the calls of a task are stopped, from a signal handler too."""

from __future__ import annotations

import time
from typing import Final

_LOOK_EVERY: Final = 0.05


class StopFlag:
    """
    Says that nothing more may be sent.

    Airflow calls ``on_kill`` in the handler of SIGTERM, in the middle of whatever the task's own thread does. A
    ``threading.Event`` could be in the middle of its own lock then, and setting it would wait for ever.
    """

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Ask for the end. May be called again, from any thread, and from a signal handler."""
        self._set = True

    def is_set(self) -> bool:
        """Return whether the end was asked for."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """
        Pause, unless the end is asked for.

        :param seconds: how long at most.
        :return: whether the end was asked for.
        """
        until = time.monotonic() + seconds
        while not self._set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_EVERY))
        return self._set
