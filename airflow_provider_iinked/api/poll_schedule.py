"""
When the waits of one connection poll. Arithmetic on a clock that the caller reads; no I/O, no event loop.

Each wait has a slot: a fixed point within its interval. Slots follow the golden ratio, so any number of them, however
they come and go, lies spread over the interval (the gaps differ by less than a factor of three), and a wait polls once
an interval however long the answers take. A pause moves nobody: whoever is due meanwhile polls at their own next point
after it, so that a thousand waits come back spread out as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from airflow_provider_iinked.api.rate_limit import RateLimiter

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

    :param limiter: its pauses hold for all slots.
    """

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._joined = 0

    def join(self, interval: float) -> Slot:
        """
        Give a new wait its slot. Leaving needs no call.

        :param interval: seconds between two polls.
        :return: the slot.
        """
        self._joined += 1
        return Slot((self._joined * GOLDEN) % 1.0, max(interval, MIN_INTERVAL))

    def next_poll(self, slot: Slot, now: float) -> float:
        """
        Return when a wait polls next.

        :param slot: its slot.
        :param now: the clock.
        :return: the first of its points after now and after the pause, if there is one.
        """
        earliest = max(now, self._limiter.paused_until)
        start = slot.phase * slot.interval
        point = start + (math.floor((earliest - start) / slot.interval) + 1) * slot.interval
        tick = min(TICK, slot.interval / 8)
        return math.ceil(point / tick) * tick
