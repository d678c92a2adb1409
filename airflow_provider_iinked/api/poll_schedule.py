"""
When the waits of one connection may ask. Arithmetic on a clock that the caller reads; no I/O, no event loop.

Each wait has a seat: a fixed point within its interval. Seats follow the golden ratio, so any number of them, however
they come and go, lies spread over the interval (the gaps differ by less than a factor of three), and a wait asks once
an interval however long the answers take. A pause moves nobody: whoever is due meanwhile asks at their own next point
after it, so that a thousand waits come back spread out as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
TICK: Final = 0.05
"""Seconds. Points are rounded up to ticks: whoever is due within one wakes the event loop once, not each for itself."""
MIN_INTERVAL: Final = 0.05
"""Seconds. A shorter poll interval is taken for this, so that no wait ever spins."""


@dataclass(frozen=True)
class Slot:
    """
    The place of one wait.

    :param phase: which part of its interval lies before its point, from 0 to below 1.
    :param interval: seconds between two polls.
    """

    phase: float
    interval: float


class PollSchedule:
    """
    The common timetable of all waits of one connection.

    :param per_second: ceiling for requests a second, or None.
    """

    def __init__(self, per_second: float | None = None) -> None:
        self._spacing = 1.0 / per_second if per_second else 0.0
        self._joined = 0
        self._free_at = -math.inf
        self.hold_until = -math.inf

    def join(self, interval: float) -> Slot:
        """
        Give a new wait its seat. Leaving needs no call.

        :param interval: seconds between two polls.
        :return: the seat.
        """
        self._joined += 1
        return Slot((self._joined * GOLDEN) % 1.0, max(interval, MIN_INTERVAL))

    def next_slot(self, seat: Slot, now: float) -> float:
        """
        Tell when a wait asks next.

        :param seat: its seat.
        :param now: the clock.
        :return: the first of its points after now and after the pause, if there is one.
        """
        earliest = max(now, self.hold_until)
        start = seat.phase * seat.interval
        point = start + (math.floor((earliest - start) / seat.interval) + 1) * seat.interval
        tick = min(TICK, seat.interval / 8)
        return math.ceil(point / tick) * tick

    def reserve(self, now: float) -> float:
        """
        Take the next place below the ceiling of requests a second.

        :param now: the clock.
        :return: when that request may leave; now, where there is no ceiling.
        """
        if not self._spacing:
            return now
        leave = max(now, self._free_at)
        self._free_at = leave + self._spacing
        return leave

    def hold(self, until: float) -> None:
        """
        Let nobody ask before a moment.

        :param until: that moment; an earlier one than is in force changes nothing.
        """
        if until > self.hold_until:
            self.hold_until = until
            # Places taken for the time of the pause lapse, and whoever held one takes another; later ones stay.
            self._free_at = max(self._free_at, until)

    def is_held(self, now: float) -> bool:
        """
        Tell whether a pause is in force.

        :param now: the clock.
        :return: True while nobody may ask.
        """
        return now < self.hold_until
