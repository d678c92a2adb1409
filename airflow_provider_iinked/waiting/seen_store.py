"""
Which recordings an event trigger has reported: in memory, and packed small enough for Airflow's asset state store.

A store belongs to an asset, and several watchers may watch one, so each keeps its memory under a key of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

STATE_KEY: Final = "iinked_sign_told"
"""What the keys in the store begin with."""
SAVE_AFTER: Final = 60.0
"""
Seconds between reporting a recording and saving that.

An event is in the triggerer's memory first, and in the database a second or so later. What were saved before would be
lost with a triggerer that dies in between; like this, it is reported again.
"""
FORMAT: Final = 1
DIGEST: Final = 8
"""Bytes kept of each recording's digest: among 100,000 recordings two alike have a chance of 1 in 3,000 million."""
PER_PART: Final = 4000
"""Recordings a value holds: 43 KiB of text, below the 64 KiB that the store advises."""


log = logging.getLogger(__name__)


class SeenVideos:
    """
    The recordings that were reported, in Airflow's asset state store where there is one.

    :param store: the store that the triggerer gave, or None.
    :param watched: what is watched (connection, filters): watchers of one asset with other filters have other keys.
    """

    def __init__(self, store: Any, watched: Mapping[str, Any]) -> None:
        self._store = store
        text = json.dumps(watched, sort_keys=True, default=str)
        self.key = f"{STATE_KEY}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self.seen: set[bytes] = set()
        self._listed: set[bytes] = set()
        self._fresh: dict[bytes, float] = {}
        self._saved: set[bytes] | None = None

    async def load(self) -> None:
        """Read what was reported before. Raises what the store raises: reporting all again is no answer to that."""
        if self._store is None:
            return
        try:
            first = await self._store.aget(self.key)
        except ValueError:
            log.warning("The trigger watches several assets; what it has reported is kept in memory only.")
            self._store = None
            return
        found = unpack(first)
        for number in range(1, parts(first)):
            found |= unpack(await self._store.aget(f"{self.key}_{number}"))
        self._saved = set(found)
        self.seen |= found
        self._listed = set(found)

    def add(self, fingerprints: set[bytes]) -> None:
        """
        Note what was reported just now.

        :param fingerprints: of the recordings.
        """
        self.seen |= fingerprints
        if self._store is not None:
            self._fresh.update(dict.fromkeys(fingerprints, time.monotonic()))

    def prune(self, listed: set[bytes]) -> None:
        """
        Forget what was not listed as archived two rounds running: pages that shift can hide a package from one.

        :param listed: fingerprints of the recordings that are listed now.
        """
        self.seen &= listed | self._listed
        self._listed = listed

    async def save(self) -> None:
        """Save what was reported a while ago; an error is logged, and the next call tries again."""
        if self._store is None:
            return
        ripe = time.monotonic() - SAVE_AFTER
        self._fresh = {one: at for one, at in self._fresh.items() if at > ripe}
        lasting = self.seen - self._fresh.keys()
        if lasting == self._saved:
            return
        try:
            for number, value in reversed(list(enumerate(pack(lasting)))):
                await self._store.aset(f"{self.key}_{number}" if number else self.key, value)
        except Exception as error:
            log.warning("Could not save the list of reported recordings (%s); retrying later.", type(error).__name__)
        else:
            self._saved = lasting


def fingerprint(package_id: str, meeting_video_id: str) -> bytes:
    """
    Shorten the name of a recording.

    :param package_id: the package.
    :param meeting_video_id: the recording.
    :return: a few bytes.
    """
    return hashlib.sha256(f"{package_id}/{meeting_video_id}".casefold().encode()).digest()[:DIGEST]


def pack(seen: Iterable[bytes]) -> list[dict[str, Any]]:
    """
    Write fingerprints as values for the store.

    :param seen: fingerprints.
    :return: one value or more; the first one says how many.
    """
    digests = sorted(seen)
    chunks = [digests[at : at + PER_PART] for at in range(0, len(digests), PER_PART)] or [[]]
    return [
        {"format": FORMAT, "parts": len(chunks), "told": base64.b64encode(b"".join(chunk)).decode()} for chunk in chunks
    ]


def parts(value: object) -> int:
    """
    Return how many values there are.

    :param value: the first one, or what stands in its place.
    :return: how many; 0 where there is none that is understood.
    """
    count = value.get("parts") if isinstance(value, Mapping) and value.get("format") == FORMAT else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0


def unpack(value: object) -> set[bytes]:
    """
    Read a value.

    :param value: what :func:`pack` wrote, or anything else.
    :return: its fingerprints; none of a value that is not understood: recordings are reported again, not lost.
    """
    text = value.get("told") if isinstance(value, Mapping) and value.get("format") == FORMAT else None
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        return set()
    return {data[at : at + DIGEST] for at in range(0, len(data) - DIGEST + 1, DIGEST)}
