"""Two runs publish one recording: no record stands for bytes that are not there, whoever comes first or last."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.custody.record import TaskIdentity
from airflow_provider_iinked.download import publication
from airflow_provider_iinked.download.downloader import DownloadedRecording
from airflow_provider_iinked.download.publication import Publisher
from airflow_provider_iinked.exceptions import IinkedSignError, StorageError
from airflow_provider_iinked.models import StoredVideo, Video, parse_video
from airflow_provider_iinked.storage import Store, open_store, register_store
from tests.servers.threads import at_once

MINE, THEIRS = b"mine" * 1000, b"their" * 1000


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[str]:
    """A folder behind the generic store: no conditions, no validators, and a copy that grows before one's eyes."""
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    try:
        from airflow.sdk.io import attach
        from airflow.sdk.io.store import _STORE_CACHE as stores
    except ImportError:
        from airflow.io.store import _STORE_CACHE as stores
        from airflow.io.store import attach

    class PlainFileSystem(LocalFileSystem):
        protocol = "plain"
        cachable = False

        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "auto_mkdir": True})

        @classmethod
        def _strip_protocol(cls, path: Any) -> str:
            return "/" + str(path).removeprefix("plain://").strip("/")

        def cp_file(self, path1: Any, path2: Any, **options: Any) -> None:
            data = Path(path1).read_bytes()
            with open(path2, "wb", buffering=0) as stream:
                for start in range(0, len(data), max(1, len(data) // 4)):
                    stream.write(data[start : start + max(1, len(data) // 4)])
                    time.sleep(0.05)

    from airflow_provider_iinked.storage.fsspec_store import FsspecStore

    fsspec.register_implementation("plain", PlainFileSystem, clobber=True)
    register_store("plain", FsspecStore)
    attach(protocol="plain", fs=PlainFileSystem())
    yield f"plain:/{tmp_path}/copies"
    stores.pop("plain", None)


@pytest.fixture(params=["file", "plain"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("plain")) if request.param == "plain" else f"file://{tmp_path}/copies"


class Run:
    """One run that has the bytes of the recording, and publishes them."""

    def __init__(self, destination: str, data: bytes) -> None:
        self.store: Store = open_store(destination)
        self.data, self.uri = data, f"{destination}/p/v.mp4"

    def publish(self) -> StoredVideo:
        upload = self.store.upload(self.uri, len(self.data))
        upload.write(self.data)
        publisher = Publisher(self.store, "https://api.example/api/v1", "p", TaskIdentity(), {})
        recording = DownloadedRecording(len(self.data), hashlib.sha256(self.data).hexdigest(), "video/mp4")
        try:
            return publisher.record(video(), recording, publisher.publish(video(), recording, upload))
        finally:
            upload.discard()

    def before(self, method: str, act: Callable[[], Any]) -> None:
        """Let something happen right before this run calls a method of its store for the first time."""
        really, happened = getattr(self.store, method), []

        def wrapped(*arguments: Any, **more: Any) -> Any:
            if not happened:
                happened.append(True)
                act()
            return really(*arguments, **more)

        setattr(self.store, method, wrapped)


def video() -> Video:
    return parse_video({"meetingVideoId": "v", "state": "archived"})


def record_and_copy(tmp_path: Path) -> tuple[dict[str, Any] | None, bytes]:
    folder = tmp_path / "copies" / "p"
    record = folder / "v.custody.json"
    return json.loads(record.read_text()) if record.exists() else None, (folder / "v.mp4").read_bytes()


def assert_true(tmp_path: Path, data: bytes) -> None:
    record, copy = record_and_copy(tmp_path)
    assert copy == data
    assert record is not None
    assert record["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_run_whose_copy_was_set_aside_by_another_one_ends_with_that_ones_record(
    destination: str, tmp_path: Path
) -> None:
    """The other run finds a copy without a record that is not what it has: it publishes its own."""
    first, second = Run(destination, MINE), Run(destination, THEIRS)
    first.before("create_json", second.publish)

    assert first.publish().sha256 == hashlib.sha256(THEIRS).hexdigest()
    assert_true(tmp_path, THEIRS)


def test_a_record_that_is_written_while_its_copy_is_set_aside_does_not_stay(
    destination: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run writes its record in the moment in which the second one has judged its copy."""
    first, second = Run(destination, THEIRS), Run(destination, MINE)
    published, judged = threading.Event(), threading.Event()
    results: list[Any] = []

    def between() -> None:
        published.set()
        assert judged.wait(20)

    first.before("create_json", between)
    thread = threading.Thread(target=lambda: results.append(first.publish()))
    thread.start()
    assert published.wait(20)
    quarantine = publication.quarantine

    def first_ends(*arguments: Any, **more: Any) -> bool:
        judged.set()
        thread.join(20)
        monkeypatch.setattr(publication, "quarantine", quarantine)
        return quarantine(*arguments, **more)

    monkeypatch.setattr(publication, "quarantine", first_ends)

    assert second.publish().sha256 == hashlib.sha256(MINE).hexdigest()
    assert results[0].sha256 == hashlib.sha256(THEIRS).hexdigest(), "its XCom is refused by the deletion"
    assert_true(tmp_path, MINE)


def test_a_run_that_wrote_over_a_recorded_copy_leaves_the_record_of_its_own(plain: str, tmp_path: Path) -> None:
    """Both looked before either wrote; without a condition the second one's copy replaces the first one's."""
    first, second = Run(plain, THEIRS), Run(plain, MINE)
    second.before("_copy", first.publish)

    assert second.publish().sha256 == hashlib.sha256(MINE).hexdigest()
    assert_true(tmp_path, MINE)


def test_a_copy_that_was_written_over_before_its_record_gets_none(plain: str, tmp_path: Path) -> None:
    run = Run(plain, MINE)
    run.before("create_json", lambda: (tmp_path / "copies/p/v.mp4").write_bytes(THEIRS))

    with pytest.raises(StorageError, match="wrote other bytes"):
        run.publish()

    record, copy = record_and_copy(tmp_path)
    assert (record, copy) == (None, THEIRS)


def test_the_same_bytes_written_over_a_copy_are_recorded_as_they_are_now(plain: str, tmp_path: Path) -> None:
    run = Run(plain, MINE)
    path = tmp_path / "copies/p/v.mp4"

    def again() -> None:
        shutil.copy(path, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    run.before("create_json", again)

    assert run.publish().sha256 == hashlib.sha256(MINE).hexdigest()
    record, _ = record_and_copy(tmp_path)
    assert record is not None
    assert record["modified"] == run.store.info(run.uri).modified  # type: ignore[union-attr]
    assert_true(tmp_path, MINE)


@pytest.mark.parametrize("runs", [2, 4])
def test_runs_at_once_on_a_store_without_conditions_end_with_one_verified_copy(
    chain: Any, plain: str, tmp_path: Path, runs: int
) -> None:
    package, videos = chain.package("video-1", "video-2")
    results = at_once(lambda: chain.download(package, destination=plain), runs)

    done = [result for result in results if not isinstance(result, Exception)]
    assert all(isinstance(result, IinkedSignError) for result in results if result not in done)
    assert done, results
    assert all(result == done[0] for result in done)
    for video_id in videos:
        record = json.loads((tmp_path / "copies" / package / f"{video_id}.custody.json").read_text())
        copy = (tmp_path / "copies" / package / f"{video_id}.mp4").read_bytes()
        assert record["sha256"] == hashlib.sha256(copy).hexdigest() == chain.sim.sha256(video_id)
    assert not [path.name for path in (tmp_path / "copies" / package).iterdir() if path.name.endswith(".part")]
