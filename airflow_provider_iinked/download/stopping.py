"""How a download is stopped, from a signal handler too."""

from __future__ import annotations

import threading


class StopSignal:
    """
    Says that the download is to end: nothing new is started, nothing more is published.

    The task's own thread may call :meth:`request` from a signal handler, in the middle of its own call of it; so it
    never waits here: only workers do.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._requested = False

    @property
    def requested(self) -> bool:
        """True once :meth:`request` was called."""
        return self._requested

    def request(self) -> None:
        """Ask the download to end. May be called again, and from a signal handler."""
        if not self._requested:
            self._requested = True
            self._event.set()

    def wait(self, seconds: float | None = None) -> bool:
        """
        Wait for the request; never in the task's own thread.

        :param seconds: how long at most; None for as long as it takes.
        :return: whether it was made.
        """
        return self._event.wait(seconds)
