"""
What the API speaks of, parsed once at the edge. No Airflow, no network.

Every field but the ids may be absent or null, unknown fields and states survive (fact sheet, sections 3 and 5.1), and a
value that cannot be read is None, never an error: a strange date must not stop a recording from being copied.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.exceptions import UnexpectedAnswerError, UnrequestedDeletionError

if TYPE_CHECKING:
    from pendulum import DateTime

_ID = re.compile(r"[A-Za-z0-9_-]+")
_DATE = re.compile(r"[0-9]{4}-?[0-9]{2}")
_MAX_DEPTH = 50
FIXED_VIDEO_FIELDS = ("size", "timeCreated", "duration", "meetingId")
"""Fields of a video, in the API's spelling, that must be the same when it is copied and when it is deleted."""
SECRET_FIELDS = ("url", "timeUrlExpires")
"""Fields of a video that make up its signed URL; they never leave the process."""
XCOM_FIELDS = (
    "meetingVideoId",
    "meetingVideoSharedId",
    "meetingId",
    "meetingSessionId",
    "externalVideoId",
    "externalStorageId",
    "timeCreated",
    "timeRetention",
    "timeDeleted",
    "duration",
    "size",
    "source",
    "type",
    "state",
)
"""Fields of a video that XComs carry: the documented ones, without the signed URL. Others stay in custody records."""


class VideoState(StrEnum):
    """State of a video as documented. A state that is not listed here is waited for, reported and never deleted."""

    STARTED = "started"
    STOPPED = "stopped"
    QUEUED = "queued"
    FAILED = "failed"
    ARCHIVED = "archived"
    DELETED = "deleted"


@dataclass(frozen=True)
class Video:
    """
    One recording of a package, as listed.

    :param meeting_video_id: its id, in the spelling of the API.
    :param state: its state as the API spells it; '' when the API gave none.
    :param fields: the whole object of the API, unknown fields included; holds the signed URL.
    """

    meeting_video_id: str
    state: str
    fields: Mapping[str, Any] = field(repr=False)

    @property
    def is_archived(self) -> bool:
        """True when the recording can be downloaded."""
        return self.state == VideoState.ARCHIVED

    @property
    def is_deleted(self) -> bool:
        """True when the platform lists the recording as permanently removed."""
        return self.state == VideoState.DELETED

    @property
    def url(self) -> str | None:
        """The signed URL; a secret."""
        value = self.fields.get("url")
        return value if isinstance(value, str) and value else None

    @property
    def size(self) -> int | None:
        """Size in bytes as the API gives it; None where it gives none, or one that no recording can have."""
        size = whole_number(self.fields.get("size"))
        return size if size is None or size >= 0 else None

    @cached_property
    def time_created(self) -> DateTime | None:
        """When the recording was made."""
        return parse_time(self.fields.get("timeCreated"))

    @cached_property
    def time_retention(self) -> DateTime | None:
        """When the platform's retention of the recording ends."""
        return parse_time(self.fields.get("timeRetention"))

    @cached_property
    def time_url_expires(self) -> DateTime | None:
        """When the signed URL ends."""
        return parse_time(self.fields.get("timeUrlExpires"))

    @cached_property
    def duration(self) -> timedelta | None:
        """Play length."""
        return parse_duration(self.fields.get("duration"))

    def public_fields(self) -> dict[str, Any]:
        """Return all fields of the API without the signed URL: what a custody record and a receipt keep."""
        kept: dict[str, Any] = redact_signed_urls({k: v for k, v in self.fields.items() if k not in SECRET_FIELDS})
        return kept

    def xcom_fields(self) -> dict[str, Any]:
        """Return the documented fields without the signed URL (:data:`XCOM_FIELDS`): what an XCom may carry."""
        kept: dict[str, Any] = redact_signed_urls({k: self.fields[k] for k in XCOM_FIELDS if k in self.fields})
        return kept


class VideoList:
    """
    The videos of a package at one moment, found by id.

    :param videos: what the API listed.
    """

    def __init__(self, videos: Iterable[Video]) -> None:
        self.videos = tuple(videos)
        self._alike: dict[str, list[Video]] = {}
        for video in self.videos:
            self._alike.setdefault(video.meeting_video_id.casefold(), []).append(video)

    def find(self, meeting_video_id: str) -> Video | None:
        """
        Find a video; an id that differs from a listed one by case alone is that one.

        :param meeting_video_id: the id to find.
        :return: the video, or None when it is not listed.
        :raises UnexpectedAnswerError: when several differ from it by case alone and none is spelled like it.
        """
        alike = self._alike.get(meeting_video_id.casefold(), [])
        exact = [video for video in alike if video.meeting_video_id == meeting_video_id]
        if len(alike) > 1 and not exact:
            raise UnexpectedAnswerError(f"Several listed videos differ from {meeting_video_id} by case alone.")
        best = exact or alike
        return best[0] if best else None

    def twins(self, meeting_video_id: str) -> list[str]:
        """
        Name the listed videos that an API which does not mind the case could take for another one.

        :param meeting_video_id: the id.
        :return: ids that differ from it by case alone.
        """
        alike = self._alike.get(meeting_video_id.casefold(), [])
        return [video.meeting_video_id for video in alike if video.meeting_video_id != meeting_video_id]

    def select(self, meeting_video_ids: Iterable[str] | None) -> tuple[tuple[Video, ...], tuple[str, ...]]:
        """
        Select videos by id. Every part of the package that takes ids selects with this function.

        :param meeting_video_ids: the ids; None for all that are listed.
        :return: the videos, each once, in the order of the ids; and the ids that are not listed, as given.
        :raises UnexpectedAnswerError: as :meth:`find`.
        """
        if meeting_video_ids is None:
            return self.videos, ()
        found: dict[str, Video] = {}
        missing: list[str] = []
        for video_id in meeting_video_ids:
            video = self.find(video_id)
            if video is None:
                missing.append(video_id)
            else:
                found.setdefault(video.meeting_video_id, video)
        return tuple(found.values()), tuple(missing)


@dataclass(frozen=True)
class Package:
    """
    One package, as listed or read.

    :param package_id: its id.
    :param fields: the whole object of the API; may hold links that are secrets, so never log or store it whole.
    """

    package_id: str
    fields: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str | None:
        """Its name."""
        return self.fields.get("name")

    @property
    def state(self) -> str | None:
        """Its state as the API spells it."""
        return self.fields.get("state")

    @property
    def type(self) -> str | None:
        """Its type as the API spells it."""
        return self.fields.get("type")

    @cached_property
    def time_retention(self) -> DateTime | None:
        """When the retention of the package ends."""
        return parse_time(self.fields.get("timeRetention"))


@dataclass(frozen=True)
class StoredVideo:
    """
    A copy whose custody record is written: what the download's XCom holds.

    :param package_id: the package.
    :param meeting_video_id: the recording.
    :param uri: where the copy lies.
    :param size: its bytes.
    :param sha256: hex digest of its bytes.
    :param custody_uri: where its custody record lies.
    """

    package_id: str
    meeting_video_id: str
    uri: str
    size: int
    sha256: str
    custody_uri: str

    def as_xcom(self) -> dict[str, Any]:
        """Return the short form of the custody record that tasks pass on."""
        return dict(self.__dict__)


def parse_video(fields: object) -> Video:
    """
    Read one video object.

    :param fields: the JSON value.
    :return: the video.
    :raises UnexpectedAnswerError: when it is no object, or has no usable id.
    """
    if not isinstance(fields, Mapping):
        raise UnexpectedAnswerError("The API listed a video that is not an object. Nothing was done with it.")
    video_id = fields.get("meetingVideoId")
    if not isinstance(video_id, str) or not _ID.fullmatch(video_id):
        raise UnexpectedAnswerError("The API listed a video without a usable meetingVideoId. Nothing was done with it.")
    state = fields.get("state")
    return Video(video_id, state if isinstance(state, str) else "", fields)


def parse_videos(answer: Mapping[str, Any], package_id: str) -> list[Video]:
    """
    Read ``{packageId, videos: [...]}``, the answer of both the list and the delete call.

    :param answer: the JSON object.
    :param package_id: the requested package.
    :return: its videos, in the API's order; one that is named twice alike stands once.
    :raises UnexpectedAnswerError: when it is not of that form.
    :raises UnrequestedDeletionError: when it is about another package.
    """
    named = answer.get("packageId")
    listed = answer.get("videos")
    if named is not None and (not isinstance(named, str) or named.casefold() != package_id.casefold()):
        raise UnrequestedDeletionError(
            f"The API answered about another package than the requested one ({package_id}). Everything stops here; "
            "look at what stands between this worker and the API (a cache, a proxy) before clearing the task."
        )
    if code := answer.get("error"):
        # A list beside it, mostly an empty one, must not say that recordings are gone.
        named_code = f" ({code})" if isinstance(code, str) and _ID.fullmatch(code) else ""
        raise UnexpectedAnswerError(
            f"The API's answer about package {package_id} names an error{named_code}, although its status says that "
            "all is well. Nothing was done with it."
        )
    if listed is None and named is not None:
        return []
    if not isinstance(listed, list):
        raise UnexpectedAnswerError(f"The API's answer about package {package_id} has no list of videos.")
    videos: dict[str, Video] = {}
    for item in listed:
        video = parse_video(item)
        first = videos.setdefault(video.meeting_video_id, video)
        if different := [
            name for name in ("state", *FIXED_VIDEO_FIELDS) if video.fields.get(name) != first.fields.get(name)
        ]:
            raise UnexpectedAnswerError(
                f"The API lists video {video.meeting_video_id} twice, with different {', '.join(different)}. "
                "Nothing was done with it."
            )
    return list(videos.values())


def parse_package(fields: object) -> Package:
    """
    Read one package object.

    :param fields: the JSON value.
    :return: the package.
    :raises UnexpectedAnswerError: when it is no object, or has no usable id.
    """
    package_id = fields.get("packageId") if isinstance(fields, Mapping) else None
    if not isinstance(package_id, str) or not _ID.fullmatch(package_id):
        raise UnexpectedAnswerError("The API listed a package without a usable packageId.")
    return Package(package_id, fields)  # type: ignore[arg-type]


def redact_signed_urls(value: Any, *, levels: int = _MAX_DEPTH) -> Any:
    """
    Leave out whatever is an address with a query, also in fields that are not documented: it may be signed.

    What Airflow cannot pass on or store becomes text: one such value in an event would end the triggerer.

    :param value: a JSON value.
    :param levels: how deep it is looked at; what lies deeper is left out too.
    :return: the value without them.
    """
    if not isinstance(value, (Mapping, list)):
        return _json_safe(value)
    if not levels:
        return None
    inner = levels - 1
    if isinstance(value, Mapping):
        return {
            _json_safe(name): redact_signed_urls(item, levels=inner)
            for name, item in value.items()
            if not _may_be_signed(item)
        }
    return [redact_signed_urls(item, levels=inner) for item in value if not _may_be_signed(item)]


def _json_safe(value: Any) -> Any:
    """Turn into text what msgpack, strict JSON or PostgreSQL refuse: long numbers, NaN, NUL, halves of characters."""
    if isinstance(value, str):
        return value.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()
    if isinstance(value, int):
        return value if value.bit_length() < 64 else str(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _may_be_signed(value: object) -> bool:
    return isinstance(value, str) and "?" in value and value[:8].lower().startswith(("http://", "https://"))


def whole_number(value: object) -> int | None:
    """
    Read a whole number that may be spelled as a float, or as text.

    :param value: the JSON value.
    :return: the number, or None where there is none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        # Not through isfinite: JSON knows whole numbers that no float can hold.
        return value
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[0-9]{1,18}", value) else None
    return int(value) if isinstance(value, float) and math.isfinite(value) and value == int(value) else None


def parse_time(value: object) -> DateTime | None:
    """
    Read an ISO 8601 time; up to 7 fractional digits are seen, a time without a zone is UTC.

    :param value: the JSON value.
    :return: the time, or None where there is none that can be read.
    """
    import pendulum

    # pendulum also reads "now", and a time of day as today's.
    if not isinstance(value, str) or not _DATE.match(value):
        return None
    try:
        parsed = pendulum.parse(value)
    except Exception:
        # Odd texts make the parser raise TypeError and others.
        return None
    return parsed if isinstance(parsed, pendulum.DateTime) else None


def parse_duration(value: object) -> timedelta | None:
    """
    Read an ISO 8601 duration.

    :param value: the JSON value.
    :return: the duration, or None where there is none that can be read.
    """
    import isodate

    if not isinstance(value, str) or not value:
        return None
    try:
        parsed = isodate.parse_duration(value)
    except Exception:
        # Beside its own error, odd texts make the parser raise others (of decimal, for one).
        return None
    return parsed if isinstance(parsed, timedelta) else None
