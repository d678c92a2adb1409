"""Packages and recordings of the simulated service, and how they live, expire and go."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import itertools
import secrets
import struct
import uuid
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_iinked.simulator.clock import to_api_time
from airflow_provider_iinked.simulator.media.content import Content

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from airflow_provider_iinked.simulator.clock import Clock

TriggerClient = Literal["ok", "expired", "bad"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoSpec:
    """What a new recording is like.

    :param meeting_video_id: its id; None: a new one.
    :param state: its state.
    :param size: bytes.
    :param duration: seconds.
    :param container: ``mp4`` or ``webm``.
    :param archive_after: seconds until it reaches ``state``; None: it is there at once.
    :param fail: it ends as ``failed``.
    :param retention_in: seconds until ``timeRetention``; None: no retention.
    :param time_created: ``timeCreated``; text is shown as it is; None: now.
    :param omit: API fields it does not have.
    :param fields: API fields with values of their own.
    """

    meeting_video_id: str | None
    state: str
    size: int
    duration: float
    container: str
    archive_after: float | None
    fail: bool
    retention_in: float | None
    time_created: dt.datetime | str | None
    omit: Iterable[str]
    fields: dict[str, Any]


@dataclasses.dataclass(kw_only=True, eq=False)
class SimVideo:
    """One recording.

    :param clock: the simulator's clock.
    :param package_id: the package it belongs to.
    :param meeting_video_id: its id.
    :param size: bytes.
    :param duration: seconds.
    :param container: ``mp4`` or ``webm``.
    :param time_created: as the API shows it.
    :param retention_at: when retention ends (seconds since 1970), or None.
    :param life: states and the moments from which they hold, oldest first.
    :param omit: API fields this video does not have.
    :param fields: API fields with values of their own.
    :param changed_at: when its bytes last changed.
    :param deleted_at: when it was deleted, or None.
    :param urls_end_at_serial: tokens up to this serial number are ended.
    :param version: which bytes are behind its id, from 1.
    """

    clock: Clock
    package_id: str
    meeting_video_id: str
    size: int
    duration: float
    container: str
    time_created: str
    retention_at: float | None
    life: list[tuple[float, str]]
    omit: frozenset[str]
    fields: dict[str, Any]
    changed_at: float
    deleted_at: float | None = None
    urls_end_at_serial: int = -1
    version: int = 1
    _content: Content | None = None

    @property
    def deleted(self) -> bool:
        """Whether it was deleted."""
        return self.deleted_at is not None

    @property
    def state(self) -> str:
        """The state now, as the API names it."""
        return "deleted" if self.deleted else self.live_state

    @property
    def live_state(self) -> str:
        """The state now, or the one in which it was deleted."""
        now = self.clock.timestamp() if self.deleted_at is None else self.deleted_at
        return [state for since, state in self.life if since <= now or since == self.life[0][0]][-1]

    @property
    def content(self) -> Content:
        """Its bytes."""
        if self._content is None:
            seed = f"{self.meeting_video_id}/{self.version}"
            self._content = Content(seed=seed, size=self.size, container=self.container, duration=self.duration)
        return self._content

    def change_content(self) -> None:
        """Put other bytes of the same size behind the same id, as a re-encoding service would."""
        self.version += 1
        self.changed_at = self.clock.timestamp()
        self._content = None

    def shown_deleted(self, delay: float) -> bool:
        """Whether lists show it as deleted by now.

        :param delay: seconds for which lists lag behind.
        """
        return self.deleted_at is not None and self.clock.timestamp() >= self.deleted_at + delay


@dataclasses.dataclass(kw_only=True, eq=False)
class SimPackage:
    """One package.

    :param package_id: its id.
    :param fields: API fields of the package.
    :param videos: its recordings by id, oldest first.
    """

    package_id: str
    fields: dict[str, Any]
    videos: dict[str, SimVideo] = dataclasses.field(default_factory=dict)

    def live(self) -> list[SimVideo]:
        """Recordings that are not deleted."""
        return [video for video in self.videos.values() if not video.deleted]


class Store:
    """All packages and recordings. Whoever uses it from several threads holds the simulator's lock.

    :param clock: the simulator's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.packages: dict[str, SimPackage] = {}
        self.videos: dict[str, SimVideo] = {}
        self.organization_id = "5f0c4c07-7d3a-4d5c-9a53-0f0b9d0c1a10"
        self.member_id = "2b1f7d7e-6a0e-4c58-8f5e-7f1f3c1b2a20"
        self._secret = secrets.token_bytes(32)
        self._serial = itertools.count(1)

    def add_package(self, package_id: str | None, name: str, fields: dict[str, Any]) -> SimPackage:
        """Make a package.

        :param package_id: its id; None: a new one.
        :param name: its name.
        :param fields: further API fields.
        """
        package_id = package_id or str(uuid.uuid4())
        if package_id in self.packages:
            raise ValueError(f"package {package_id} exists already")
        now = to_api_time(self.clock.timestamp())
        base = {
            "organizationId": self.organization_id,
            "memberId": self.member_id,
            "timeCreated": now,
            "timeLastModified": now,
            "type": "video_closing_room",
            "state": "open",
            "isExecuted": False,
        }
        package = SimPackage(package_id=package_id, fields={**base, "name": name, **fields})
        self.packages[package_id] = package
        return package

    def add_video(self, package_id: str, spec: VideoSpec) -> SimVideo:
        """Make a recording.

        :param package_id: its package, which must exist.
        :param spec: what it is like.
        """
        package = self.packages[package_id]
        video_id = spec.meeting_video_id or str(uuid.uuid4())
        if video_id in self.videos:
            raise ValueError(f"video {video_id} exists already")
        now = self.clock.timestamp()
        created = spec.time_created
        meeting = str(uuid.uuid5(uuid.NAMESPACE_OID, f"meeting {package_id}"))
        own = {
            "meetingVideoSharedId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"shared {video_id}")),
            "meetingId": meeting,
            "meetingSessionId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"session {meeting}")),
            "source": "room",
        }
        video = SimVideo(
            clock=self.clock,
            package_id=package_id,
            meeting_video_id=video_id,
            size=spec.size,
            duration=spec.duration,
            container=spec.container,
            time_created=created if isinstance(created, str) else to_api_time(created.timestamp() if created else now),
            retention_at=None if spec.retention_in is None else now + spec.retention_in,
            life=_life(now, "failed" if spec.fail else spec.state, spec.archive_after),
            omit=frozenset(spec.omit),
            fields={**own, **spec.fields},
            changed_at=now,
        )
        package.videos[video_id] = self.videos[video_id] = video
        return video

    def remove_video(self, package_id: str, meeting_video_id: str) -> None:
        """Let a recording vanish without a trace.

        :param package_id: its package.
        :param meeting_video_id: its id.
        """
        del self.packages[package_id].videos[meeting_video_id]
        del self.videos[meeting_video_id]

    def find_package(self, package_id: str, *, any_case: bool) -> SimPackage | None:
        """A package by id, or None.

        :param package_id: the id as the caller wrote it.
        :param any_case: ids match whatever their case.
        """
        found = self.packages.get(package_id)
        if found is None and any_case:
            found = next((p for key, p in self.packages.items() if key.lower() == package_id.lower()), None)
        return found

    def find_video(self, package: SimPackage, video_id: str, *, any_case: bool) -> SimVideo | None:
        """A package's recording by id, or None.

        :param package: where to look.
        :param video_id: the id as the caller wrote it.
        :param any_case: ids match whatever their case.
        """
        found = package.videos.get(video_id)
        if found is None and any_case:
            found = next((v for key, v in package.videos.items() if key.lower() == video_id.lower()), None)
        return found

    def mint(self, video: SimVideo, expires: float) -> str:
        """A new access token for a recording; nothing is stored, the token carries its own expiry and signature.

        :param video: the recording.
        :param expires: seconds since 1970.
        """
        body = struct.pack(">dQ", expires, next(self._serial))
        return base64.urlsafe_b64encode(body + self._signature(video, body)).decode().rstrip("=")

    def check(self, video: SimVideo, token: str) -> TriggerClient:
        """Whether an access token opens a recording now.

        :param video: the recording.
        :param token: what the URL carried.
        """
        try:
            data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            expires, serial = struct.unpack(">dQ", data[:16])
        except (ValueError, struct.error):
            return "bad"
        if not hmac.compare_digest(data[16:], self._signature(video, data[:16])):
            return "bad"
        return "ok" if self.clock.timestamp() < expires and serial > video.urls_end_at_serial else "expired"

    def expire_urls(self, videos: Iterable[SimVideo]) -> None:
        """End all URLs that were given out so far.

        :param videos: of which recordings.
        """
        serial = next(self._serial)
        for video in videos:
            video.urls_end_at_serial = serial

    def _signature(self, video: SimVideo, body: bytes) -> bytes:
        return hmac.digest(self._secret, body + video.meeting_video_id.encode(), "sha256")[:15]


def _life(now: float, last: str, archive_after: float | None) -> list[tuple[float, str]]:
    if archive_after is None:
        return [(now, last)]
    steps = ((0.0, "started"), (0.25, "stopped"), (0.5, "queued"), (1.0, last))
    return [(now + share * archive_after, step) for share, step in steps]
