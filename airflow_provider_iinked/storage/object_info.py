"""What a store says about an object, and how the answers of fsspec's file systems are read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

# Names under which fsspec's file systems report the store's own validators, by what they mean.
_VALIDATORS: Mapping[str, tuple[str, ...]] = {
    "etag": ("ETag", "etag"),
    "version_id": ("VersionId", "version_id", "generation"),
}
# What tells one object under a name from the next one under the same name; each store gives some of them.
_IDENTITY: Final = (
    *(name for names in _VALIDATORS.values() for name in names),
    *("LastModified", "last_modified", "ino", "mtime", "size"),
)
_TIMES: Final = ("mtime", "LastModified", "last_modified", "updated")

ObjectIdentity = tuple[tuple[str, str], ...]
"""What tells one object under a name from the next one under the same name."""


@dataclass(frozen=True)
class ObjectInfo:
    """
    What a store says about an object.

    :param size: its bytes; None where the store does not say.
    :param validator: ``etag`` and ``version_id`` as far as the store gives them; None where it gives none.
    :param modified: when it was written, in seconds since 1970; None where the store does not say.
    :param identity: tells it from the next object under the same name.
    """

    size: int | None
    validator: Mapping[str, str] | None
    modified: float | None
    identity: ObjectIdentity


def read_info(found: Mapping[str, Any]) -> ObjectInfo:
    """
    Read what a file system of fsspec says about an object.

    :param found: its answer.
    :return: what we make of it.
    """
    validator = {
        meaning: str(found[name]).strip('"')
        for meaning, names in _VALIDATORS.items()
        for name in names
        if found.get(name) not in (None, "", "null")
    }
    return ObjectInfo(
        size=found.get("size"),
        validator=validator or None,
        modified=next((seconds for name in _TIMES if (seconds := _seconds(found.get(name))) is not None), None),
        identity=tuple((name, str(found[name])) for name in _IDENTITY if found.get(name) is not None),
    )


def _seconds(time: object) -> float | None:
    if isinstance(time, datetime):
        return time.timestamp()
    return time if isinstance(time, (int, float)) and not isinstance(time, bool) else None
