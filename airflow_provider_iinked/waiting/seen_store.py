"""What an event trigger has told already, small enough for Airflow's asset state store. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

FORMAT: Final = 1
DIGEST: Final = 8
"""Bytes kept of each recording's digest: among 100,000 recordings two alike have a chance of 1 in 3,000 million."""
PER_PART: Final = 4000
"""Recordings a value holds: 43 KiB of text, below the 64 KiB that the store advises."""


def digest(package_id: str, meeting_video_id: str) -> bytes:
    """
    Shorten the name of a recording.

    :param package_id: the package.
    :param meeting_video_id: the recording.
    :return: a few bytes.
    """
    return hashlib.sha256(f"{package_id}/{meeting_video_id}".casefold().encode()).digest()[:DIGEST]


def pack(told: Iterable[bytes]) -> list[dict[str, Any]]:
    """
    Write what was told.

    :param told: digests.
    :return: one value or more; the first one says how many.
    """
    digests = sorted(told)
    chunks = [digests[at : at + PER_PART] for at in range(0, len(digests), PER_PART)] or [[]]
    return [
        {"format": FORMAT, "parts": len(chunks), "told": base64.b64encode(b"".join(chunk)).decode()} for chunk in chunks
    ]


def parts(value: object) -> int:
    """
    Tell how many values there are.

    :param value: the first one, or what stands in its place.
    :return: how many; 0 where there is none that is understood.
    """
    count = value.get("parts") if isinstance(value, Mapping) and value.get("format") == FORMAT else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0


def unpack(value: object) -> set[bytes]:
    """
    Read a value.

    :param value: what :func:`pack` wrote, or anything else.
    :return: its digests; none of a value that is not understood, so that recordings are told again, not lost.
    """
    text = value.get("told") if isinstance(value, Mapping) and value.get("format") == FORMAT else None
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        return set()
    return {data[at : at + DIGEST] for at in range(0, len(data) - DIGEST + 1, DIGEST)}
