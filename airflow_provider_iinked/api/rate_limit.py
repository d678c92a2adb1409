"""
How many requests a second, and the pauses that the service asks for: one rule for workers and the triggerer.

Arithmetic on a clock that the caller reads; no I/O, no event loop. Threads may share a limiter.
"""

from __future__ import annotations

import math
import threading
from typing import Final

SLACK: Final = 0.05
"""Seconds by which a timer may be late without the next request being later too: a second holds 5 % more at most."""


class RateLimiter:
    """
    Keep the ceiling of requests a second, and let nobody send while a pause holds.

    Who sends reserves a moment, waits for it, and departs. A process that stood still has many moments behind it;
    departing keeps them from being made up for at once.

    :param per_second: ceiling for requests a second, or None.
    """

    def __init__(self, per_second: float | None = None) -> None:
        self._spacing = 1.0 / per_second if per_second else 0.0
        self._free_at = -math.inf
        self._next_departure = -math.inf
        self._lock = threading.Lock()
        self.paused_until = -math.inf

    def reserve(self, now: float) -> float:
        """
        Take the next free moment. A pause that begins before it cancels it: look at :meth:`is_paused` and take another.

        :param now: the clock.
        :return: when the request may leave; now, where there is no ceiling.
        """
        if not self._spacing:
            return now
        with self._lock:
            leave = max(now, self._free_at)
            self._free_at = leave + self._spacing
            return leave

    def depart(self, at: float) -> bool:
        """
        Let a request leave, unless a pause holds or too many have just left.

        :param at: the clock, not before the moment that was reserved.
        :return: False when there is a pause now, or others came late and left at this moment: reserve another one.
        """
        with self._lock:
            if at < self.paused_until or at < self._next_departure - SLACK:
                return False
            if not self._spacing:
                return True
            self._next_departure = max(self._next_departure, at) + self._spacing
            self._free_at = max(self._free_at, self._next_departure)
            return True

    def next_free(self, now: float) -> float:
        """
        Return when the next request could leave, pauses included, without taking that moment.

        :param now: the clock.
        :return: now, or a later moment.
        """
        return max(now, self._free_at if self._spacing else now, self.paused_until)

    def pause(self, until: float) -> None:
        """
        Let nobody send before a moment.

        :param until: that moment; an earlier one than is in force changes nothing.
        """
        with self._lock:
            if until > self.paused_until:
                self.paused_until = until
                # Moments taken for the time of the pause lapse, and whoever held one takes another; later ones stay.
                self._free_at = max(self._free_at, until)

    def is_paused(self, now: float) -> bool:
        """
        Check whether a pause is in force.

        :param now: the clock.
        :return: True while nobody may send.
        """
        return now < self.paused_until
