"""Log lines that show how far a task with many packages is: one every ten seconds."""

from __future__ import annotations

import time
from typing import Final

INTERVAL: Final = 10.0


class Every:
    """Says when it is time for the next line: every :data:`INTERVAL` seconds."""

    def __init__(self) -> None:
        self._begun = self._last = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._begun

    def is_due(self) -> bool:
        """
        Check whether a line is due; the next one is due an interval later.

        :return: True once an interval.
        """
        now = time.monotonic()
        if now - self._last < INTERVAL:
            return False
        self._last = now
        return True


def describe(
    *, packages: int, packages_done: int, recordings_done: int, bytes_done: int, verb: str, elapsed: float
) -> str:
    """
    Say how far a task is.

    :param packages: packages in all.
    :param packages_done: of these, done or failed.
    :param recordings_done: recordings done.
    :param bytes_done: bytes worked on.
    :param verb: what was done with the bytes, such as ``verified``.
    :param elapsed: seconds since it began.
    :return: one line.
    """
    rate = bytes_done / elapsed if elapsed > 0 else 0.0
    text = (
        f"{packages_done} of {packages} packages, {recordings_done} recordings done; "
        f"{size(bytes_done)} {verb}, {size(rate)}/s"
    )
    if packages_done:
        text += f", about {elapsed / packages_done * (packages - packages_done):.0f} s left"
    return text


def size(count: float) -> str:
    """
    Show a number of bytes.

    :param count: bytes.
    :return: such as ``1.5 MiB``.
    """
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
