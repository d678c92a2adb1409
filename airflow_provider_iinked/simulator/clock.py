"""The simulator's clock: real time plus an offset, or frozen."""

from __future__ import annotations

import datetime as dt
import threading
import time


class Clock:
    """Time as the simulated service sees it. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset = 0.0
        self._frozen: float | None = None

    def timestamp(self) -> float:
        """Seconds since 1970."""
        frozen = self._frozen
        return time.time() + self._offset if frozen is None else frozen

    def now(self) -> dt.datetime:
        """The time as a UTC datetime."""
        return dt.datetime.fromtimestamp(self.timestamp(), dt.UTC)

    def advance(self, seconds: float) -> None:
        """Let time pass at once.

        :param seconds: how much; negative values go back.
        """
        with self._lock:
            self._offset += seconds
            if self._frozen is not None:
                self._frozen += seconds

    def freeze(self) -> None:
        """Stop the clock; ``advance`` still moves it."""
        with self._lock:
            if self._frozen is None:
                self._frozen = time.time() + self._offset

    def unfreeze(self) -> None:
        """Let the clock run on from where it stands."""
        with self._lock:
            if self._frozen is not None:
                self._offset = self._frozen - time.time()
                self._frozen = None


def to_api_time(moment: float) -> str:
    """A time as the service writes it: UTC, seven fractional digits, ``Z``.

    :param moment: seconds since 1970.
    """
    whole, ticks = divmod(round(moment * 10_000_000), 10_000_000)
    text = dt.datetime.fromtimestamp(whole, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ticks:07d}Z"


def to_api_duration(seconds: float) -> str:
    """A duration as the service writes it, such as ``PT5M12S``.

    :param seconds: length in seconds.
    """
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{hours}H" if hours else ""
    text += f"{minutes}M" if minutes else ""
    if rest or not text:
        text += f"{rest:.3f}".rstrip("0").rstrip(".") + "S"
    return f"PT{text}"
