"""The simulator: two servers on localhost in a thread of their own, and what a test does with them."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
import uuid
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from airflow_provider_iinked.simulator.api import BASE, Api
from airflow_provider_iinked.simulator.clock import Clock
from airflow_provider_iinked.simulator.faults import FaultPlan
from airflow_provider_iinked.simulator.hosts import ApiHost, Host, RecordingsHost
from airflow_provider_iinked.simulator.ledger import Ledger
from airflow_provider_iinked.simulator.media.content import SAMPLE_SECONDS, pad_file
from airflow_provider_iinked.simulator.quirks import Quirks
from airflow_provider_iinked.simulator.state import SimPackage, SimVideo, Store, VideoSpec
from airflow_provider_iinked.simulator.views import Views

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

ADDRESS = "127.0.0.1"
OTHER_NAME = "localhost"
DAY = 24 * 3600.0
SEED_PACKAGE = "c603079c-2dc7-4af7-8c2e-dc992662621c"
SEED_VIDEO = "4c512b8a-c1ad-47da-ae22-5a61115505e3"


class IinkedSimulator:
    """The documented part of the iinked Sign service, on localhost. A context manager; any thread may call any method.

    :param port: port of the API; 0: a free one.
    :param recordings_port: port of the recordings' host; 0: a free one.
    :param api_key: the key that is let in; None: a new one.
    :param url_lifetime: seconds for which a recording's URL works.
    :param max_take: cap on ``take`` of the package list.
    :param ledger_file: file to which each event is appended as a line of JSON.
    :param quirks: departures from the documents, by name; see ``Quirks``.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        recordings_port: int = 0,
        api_key: str | None = None,
        url_lifetime: float = DAY,
        max_take: int = 100,
        ledger_file: Path | str | None = None,
        **quirks: Any,
    ) -> None:
        self.api_key = api_key or f"sim-api-key-{secrets.token_hex(16)}"
        self.api_keys = {self.api_key}
        self.url_lifetime = url_lifetime
        self.clock = Clock()
        self.quirks = Quirks(**quirks)
        self.faults = FaultPlan()
        self.ledger = Ledger(ledger_file)
        self._lock = threading.RLock()
        self._store = Store(self.clock)
        self._views = Views(self.quirks, self._mint_url)
        self._max_take = max_take
        self._ports = [port, recordings_port]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    # -- running

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Listen on both ports; returns when requests are answered."""
        if self._thread is not None:
            raise RuntimeError("the simulator runs already")
        sockets: list[socket.socket] = []
        try:
            sockets += (_listen(port) for port in self._ports)
        except (OSError, ValueError):
            for sock in sockets:
                sock.close()
            raise
        # A second start after stop() listens on the same ports: URLs stay what they were.
        self._ports = [sock.getsockname()[1] for sock in sockets]
        pad_file()
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete,
            args=(self._serve(sockets, ready),),
            name="iinked-simulator",
            daemon=True,
        )
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the simulator did not start")

    def stop(self) -> None:
        """Close all sockets at once, also in the middle of answers. ``start`` listens on the same ports again."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()
        self._thread = self._loop = None

    def close(self) -> None:
        """Stop, and close the ledger's file."""
        self.stop()
        self.ledger.close()

    async def _serve(self, sockets: list[socket.socket], ready: threading.Event) -> None:
        self._stop = asyncio.Event()
        shared: dict[str, Any] = {
            "ledger": self.ledger,
            "faults": self.faults,
            "quirks": self.quirks,
            "clock": self.clock,
            "lock": self._lock,
        }
        api = Api(self._store, self.quirks, self._views, self.ledger, self.api_keys, self._max_take)
        other = [f"http://{OTHER_NAME}:{port}" for port in self._ports]
        hosts: tuple[Host, ...] = (
            ApiHost(api=api, elsewhere=other[0], **shared),
            RecordingsHost(store=self._store, elsewhere=other[1], **shared),
        )
        runners = []
        for host, sock in zip(hosts, sockets, strict=True):
            server = web.Server(host.handle, access_log=None)
            runner = web.ServerRunner(server, shutdown_timeout=0.05)
            await runner.setup()
            await web.SockSite(runner, sock, backlog=1024).start()
            runners.append(runner)
        ready.set()
        await self._stop.wait()
        await asyncio.gather(*(runner.cleanup() for runner in runners))

    # -- where it is

    @property
    def api_base(self) -> str:
        """Base URL of the API."""
        return f"{self._origin(0)}{BASE}"

    @property
    def recordings_base(self) -> str:
        """Origin of the recordings' URLs."""
        return self._origin(1)

    def _origin(self, index: int) -> str:
        if not self._ports[index]:
            raise RuntimeError("the simulator has no port yet: start it first")
        return f"http://{ADDRESS}:{self._ports[index]}"

    def connection_json(self, **extra: Any) -> str:
        """An Airflow connection to this simulator, as JSON.

        :param extra: the connection's extra fields, such as ``max_retries=1``.
        """
        connection: dict[str, Any] = {"conn_type": "iinked_sign", "host": self.api_base, "password": self.api_key}
        if extra:
            connection["extra"] = extra
        return json.dumps(connection)

    def connection_env(self, conn_id: str = "iinked_sign_default", **extra: Any) -> dict[str, str]:
        """Environment variables that define the connection.

        :param conn_id: the connection's id.
        :param extra: the connection's extra fields.
        """
        return {f"AIRFLOW_CONN_{conn_id.upper()}": self.connection_json(**extra)}

    # -- what it holds

    def add_package(
        self,
        package_id: str | None = None,
        *,
        name: str = "Closing",
        videos: Iterable[dict[str, Any] | str] = (),
        **fields: Any,
    ) -> str:
        """Make a package, and give its id.

        :param package_id: its id; None: a new one.
        :param name: its name.
        :param videos: recordings: ids, or parameters of ``add_video``.
        :param fields: further API fields, such as ``matterNumber="M-1"`` or ``state="executed"``.
        """
        with self._lock:
            package = self._store.add_package(package_id, name, fields)
            for video in videos:
                self.add_video(package.package_id, **({"meeting_video_id": video} if isinstance(video, str) else video))
        return package.package_id

    def add_video(
        self,
        package_id: str,
        meeting_video_id: str | None = None,
        *,
        state: str = "archived",
        size: int = 200_000,
        duration: float = SAMPLE_SECONDS,
        container: str = "mp4",
        archive_after: float | None = None,
        fail: bool = False,
        retention_in: float | None = None,
        time_created: dt.datetime | str | None = None,
        omit: Iterable[str] = (),
        **fields: Any,
    ) -> str:
        """Make a recording, and give its id.

        :param package_id: its package, which must exist.
        :param meeting_video_id: its id; None: a new one.
        :param state: its state.
        :param size: bytes.
        :param duration: seconds; the file plays as long.
        :param container: ``mp4`` or ``webm``.
        :param archive_after: seconds on the simulator's clock in which it goes from ``started`` over ``stopped`` (a
            quarter) and ``queued`` (half) to ``state``; None: it is there at once.
        :param fail: it ends as ``failed``.
        :param retention_in: seconds until ``timeRetention``; None: no retention.
        :param time_created: ``timeCreated``; text is shown as it is; None: now.
        :param omit: API fields that this recording does not have.
        :param fields: API fields with values of their own, such as ``meetingId="..."``.
        """
        spec = VideoSpec(
            meeting_video_id=meeting_video_id,
            state=state,
            size=size,
            duration=duration,
            container=container,
            archive_after=archive_after,
            fail=fail,
            retention_in=retention_in,
            time_created=time_created,
            omit=omit,
            fields=fields,
        )
        with self._lock:
            video = self._store.add_video(package_id, spec)
        return video.meeting_video_id

    def add_seed_example(self) -> tuple[str, str]:
        """Add the documents' own example; deleting it is answered word for word as there. Gives both ids."""
        absent = ("meetingVideoSharedId", "meetingSessionId", "externalVideoId", "externalStorageId", "source")
        with self._lock:
            self.add_package(SEED_PACKAGE, name="Example of the documents")
            self.add_video(
                SEED_PACKAGE,
                SEED_VIDEO,
                size=484_524,
                time_created="2019-08-20T18:57:33.541Z",
                omit=absent,
                meetingId="0f2f4065-3d07-4fd5-96e8-13b3f77a7c9d",
                timeDeleted="2019-08-20T18:58:02.2596573Z",
            )
        return SEED_PACKAGE, SEED_VIDEO

    def packages(self) -> list[SimPackage]:
        """All packages, oldest first."""
        with self._lock:
            return list(self._store.packages.values())

    def video(self, package_id: str, meeting_video_id: str) -> SimVideo:
        """A recording: ``state``, ``size``, ``deleted``, ``deleted_at`` and so on.

        :param package_id: its package.
        :param meeting_video_id: its id.
        """
        with self._lock:
            return self._store.packages[package_id].videos[meeting_video_id]

    def set_state(self, package_id: str, meeting_video_id: str, state: str) -> None:
        """Put a recording in a state, also one that the documents do not know; it stays there.

        :param package_id: its package.
        :param meeting_video_id: its id.
        :param state: the state; ``deleted`` deletes it, any other brings a deleted one back.
        """
        with self._lock:
            video = self.video(package_id, meeting_video_id)
            now = self.clock.timestamp()
            if state == "deleted":
                video.deleted_at = now
            else:
                video.deleted_at, video.life = None, [(now, state)]

    def set_fields(self, package_id: str, meeting_video_id: str, **fields: Any) -> None:
        """Change what the API shows of a recording.

        :param package_id: its package.
        :param meeting_video_id: its id.
        :param fields: API fields and their values.
        """
        with self._lock:
            self.video(package_id, meeting_video_id).fields.update(fields)

    def remove_video(self, package_id: str, meeting_video_id: str) -> None:
        """Let a recording vanish without a trace.

        :param package_id: its package.
        :param meeting_video_id: its id.
        """
        with self._lock:
            self._store.remove_video(package_id, meeting_video_id)

    def change_content(self, meeting_video_id: str) -> None:
        """Put other bytes of the same size behind a recording's URL.

        :param meeting_video_id: its id.
        """
        with self._lock:
            self._store.videos[meeting_video_id].change_content()

    def content(self, meeting_video_id: str) -> bytes:
        """The bytes of a recording.

        :param meeting_video_id: its id.
        """
        return self._store.videos[meeting_video_id].content.read()

    def sha256(self, meeting_video_id: str) -> str:
        """SHA-256 of a recording, in hexadecimal; large ones are not held in memory.

        :param meeting_video_id: its id.
        """
        return self._store.videos[meeting_video_id].content.sha256()

    # -- access

    def url(self, meeting_video_id: str, *, lifetime: float | None = None) -> str:
        """A new signed URL of a recording.

        :param meeting_video_id: its id.
        :param lifetime: seconds; None: the simulator's ``url_lifetime``.
        """
        with self._lock:
            return self._mint_url(self._store.videos[meeting_video_id], lifetime)[0]

    def expire_urls(self, meeting_video_id: str | None = None) -> None:
        """End all URLs given out so far.

        :param meeting_video_id: of one recording; None: of all.
        """
        with self._lock:
            videos = self._store.videos
            self._store.expire_urls(videos.values() if meeting_video_id is None else [videos[meeting_video_id]])

    def rotate_api_key(self, *, keep_old: bool = False) -> str:
        """Make a new API key, and give it; ``api_key`` and ``connection_json`` use it from now on.

        :param keep_old: older keys go on working.
        """
        with self._lock:
            if not keep_old:
                self.api_keys.clear()
            self.api_key = f"sim-api-key-{uuid.uuid4().hex}"
            self.api_keys.add(self.api_key)
        return self.api_key

    def _mint_url(self, video: SimVideo, lifetime: float | None = None) -> tuple[str, float]:
        expires = self.clock.timestamp() + (self.url_lifetime if lifetime is None else lifetime)
        token = self._store.mint(video, expires)
        return f"{self.recordings_base}/video/{video.meeting_video_id}?access={token}", expires


def _listen(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((ADDRESS, port))
    except OverflowError:
        sock.close()
        raise ValueError(f"{port} is no port") from None
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"port {port} of {ADDRESS} is taken or not allowed: {error.strerror}") from None
    sock.listen(1024)
    return sock
