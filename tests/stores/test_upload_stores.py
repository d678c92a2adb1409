"""One upload: nothing under the final name before it is whole, nothing overwritten, nothing left open."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_iinked.exceptions import IinkedSignError, StorageError
from airflow_provider_iinked.simulator import Fault
from airflow_provider_iinked.storage import Upload, leftovers, open_store
from tests.stores.store_chain import StoreChain

MIB = 1 << 20
SIZES = pytest.mark.parametrize("size", [3 * MIB, 20 * MIB], ids=["one part", "several parts"])


@contextlib.contextmanager
def watched(stored: StoreChain, final: str) -> Iterator[list[int]]:
    """Ask for an object again and again meanwhile; every length that it was ever seen with."""
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            with contextlib.suppress(Exception):
                seen.append(len(stored.bucket.get(final)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@SIZES
def test_nothing_is_seen_under_the_final_name_before_publication(stored: StoreChain, size: int) -> None:
    store, url = stored.store(), f"{stored.url}/p/video.mp4"
    upload = store.upload(url, size)
    for _ in range(size // MIB):
        upload.write(bytes(MIB))

    assert "copies/p/video.mp4" not in stored.bucket.names()
    assert store.info(url) is None
    upload.publish()

    assert store.info(url).size == size
    assert stored.bucket.names() == ["copies/p/video.mp4"]
    assert stored.bucket.open_uploads() == []


@SIZES
def test_a_discarded_upload_leaves_nothing(stored: StoreChain, size: int) -> None:
    upload = stored.store().upload(f"{stored.url}/p/video.mp4", size)
    for _ in range(size // MIB):
        upload.write(bytes(MIB))

    upload.discard()
    upload.discard()

    assert stored.bucket.names() == []
    assert stored.bucket.open_uploads() == []


@SIZES
def test_a_forgotten_upload_publishes_nothing(stored: StoreChain, size: int) -> None:
    upload = stored.store().upload(f"{stored.url}/p/video.mp4", size)
    for _ in range(size // MIB):
        upload.write(bytes(MIB))
    del upload

    assert "copies/p/video.mp4" not in stored.bucket.names()


@SIZES
def test_the_second_of_two_uploads_overwrites_nothing(stored: StoreChain, size: int) -> None:
    url = f"{stored.url}/p/video.mp4"
    first, second = (stored.store().upload(url, size) for _ in range(2))
    for fill in (b"1", b"2"):
        for _ in range(size // MIB):
            (first if fill == b"1" else second).write(fill * MIB)
    first.publish()

    with pytest.raises(FileExistsError):
        second.publish()
    second.discard()

    assert stored.bucket.get("copies/p/video.mp4") == b"1" * size
    assert stored.bucket.open_uploads() == []
    assert stored.bucket.names() == ["copies/p/video.mp4"]


# Not S3 with a size of several parts: moto completes a multipart upload without looking at its condition.
@pytest.mark.parametrize(
    ("bucket", "size"), [("s3", 3 * MIB), ("azure", 3 * MIB), ("azure", 20 * MIB)], indirect=["bucket"]
)
def test_a_name_that_is_taken_between_the_look_and_the_completion_is_not_overwritten(
    stored: StoreChain, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, url = stored.store(), f"{stored.url}/p/video.mp4"
    upload = store.upload(url, size)
    for _ in range(size // MIB):
        upload.write(bytes(MIB))
    stored.bucket.put("copies/p/video.mp4", b"first")
    look = store.info
    answers = iter([None])
    monkeypatch.setattr(store, "info", lambda at: next(answers, look(at)))

    with pytest.raises(FileExistsError):
        upload.publish()

    assert stored.bucket.get("copies/p/video.mp4") == b"first"


def test_s3_is_asked_to_complete_only_if_the_name_is_free(stored_s3: StoreChain) -> None:
    store = stored_s3.store()
    sent: dict[str, Any] = {}
    upload = store.upload(f"{stored_s3.url}/p/video.mp4", 9 * MIB)

    def note(request: Any, **_: Any) -> None:
        sent.update(request.headers)

    store.client.meta.events.register("before-send.s3.CompleteMultipartUpload", note)
    upload.write(bytes(9 * MIB))
    upload.publish()

    assert sent["If-None-Match"] in (b"*", "*")


def test_a_small_object_is_created_only_if_its_name_is_free(
    stored: StoreChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, url = stored.store(), f"{stored.url}/p/video.custody.json"
    stored.bucket.put("copies/p/video.custody.json", b"first")
    look = store.info
    answers = iter([None])
    monkeypatch.setattr(store, "info", lambda at: next(answers, look(at)))

    assert store.create_json(url, {"second": True}) is False
    assert stored.bucket.get("copies/p/video.custody.json") == b"first"


def test_a_broken_source_goes_on_inside_the_same_upload(stored: StoreChain) -> None:
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": 20 * MIB})
    stored.sim.faults.add(Fault(call="recording", kind="cut", after=12 * MIB))

    with watched(stored, f"copies/{package}/video-1.mp4") as seen:
        (copy,) = stored.download(package)

    asked = [request.headers.get("range") for request in stored.sim.ledger.requests(call="recording")]
    assert asked[0] is None
    assert len(asked) == 2
    assert int(asked[1].removeprefix("bytes=").rstrip("-")) > 8 * MIB
    assert copy["sha256"] == stored.sim.sha256(video)
    assert set(seen) <= {20 * MIB}


@SIZES
def test_a_recording_that_cannot_be_fetched_leaves_nothing(stored: StoreChain, size: int) -> None:
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": size})
    stored.sim.faults.add(Fault(call="recording", kind="cut", after=size - MIB))
    stored.sim.faults.add(Fault(call="recording", kind="status", status=500, on=range(1, 100)))

    with watched(stored, f"copies/{package}/video-1.mp4") as seen, pytest.raises(IinkedSignError, match=video):
        stored.download(package)

    assert seen == []
    assert stored.names(package) == []
    assert stored.bucket.open_uploads() == []


KILLED = """
    import os, sys
    from airflow_provider_iinked.storage import open_store

    url, token = sys.argv[1:]
    upload = open_store(url, token).upload(url + "/p/video.mp4", 40 << 20)
    for _ in range(17):
        upload.write(bytes(1 << 20))
    print("writing", flush=True)
    sys.stdin.read()
"""


def kill_upload(url: str, token: str) -> None:
    """Kill a process in the middle of an upload."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), url, token]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    assert b"writing\n" in process.stdout
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_an_upload_of_a_killed_run_is_gone_after_its_next_try(stored: StoreChain) -> None:
    kill_upload(stored.url, "mine")
    assert "copies/p/video.mp4" not in stored.bucket.names()

    stored.store("mine").remove_stale(f"{stored.url}/p")

    assert stored.bucket.names() == []
    assert stored.bucket.open_uploads() == []


def test_a_strangers_upload_is_left_until_it_is_a_day_old(
    stored_s3: StoreChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_upload(stored_s3.url, "theirs")
    stored_s3.store("mine").remove_stale(f"{stored_s3.url}/p")
    assert len(stored_s3.bucket.open_uploads()) == len(stored_s3.bucket.names()) == 1

    monkeypatch.setattr(leftovers, "STALE_AFTER", 0.0)
    stored_s3.store("mine").remove_stale(f"{stored_s3.url}/p")
    assert stored_s3.bucket.open_uploads() == stored_s3.bucket.names() == []


class Killed(BaseException):
    """No handler of errors sees it, as none sees a kill."""


@pytest.fixture
def begin(stored_s3: StoreChain, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Upload]:
    """Begin an upload of 9 MiB; ``act`` runs between the beginning of it in the store and the note of its id."""

    def start(token: str, act: Callable[[], None] = lambda: None) -> Upload:
        store = stored_s3.store(token)
        call = store.call

        def watched_call(method: str, *args: Any, **kwargs: Any) -> Any:
            answer = call(method, *args, **kwargs)
            if method == "create_multipart_upload":
                act()
            return answer

        monkeypatch.setattr(store, "call", watched_call)
        return store.upload(f"{stored_s3.url}/p/video.mp4", 9 * MIB)

    return start


def kill() -> None:
    raise Killed


def fail() -> None:
    raise ConnectionResetError("the answer was lost")


def sweep(stored: StoreChain, token: str) -> None:
    stored.store(token).remove_stale(f"{stored.url}/p")


def test_an_upload_that_just_begins_is_not_aborted_by_another_run(
    stored_s3: StoreChain, begin: Callable[..., Upload]
) -> None:
    """Moto gives all uploads one old date: what decides is the marker alone."""
    upload = begin("mine", lambda: sweep(stored_s3, "another"))
    upload.write(bytes(9 * MIB))
    upload.publish()

    assert len(stored_s3.bucket.get("copies/p/video.mp4")) == 9 * MIB


def test_an_upload_killed_before_its_id_was_noted_is_gone_after_the_next_try(
    stored_s3: StoreChain, begin: Callable[..., Upload]
) -> None:
    with pytest.raises(Killed):
        begin("mine", kill)
    assert len(stored_s3.bucket.open_uploads()) == 1

    sweep(stored_s3, "mine")

    assert stored_s3.bucket.open_uploads() == stored_s3.bucket.names() == []


def test_an_upload_whose_beginning_was_not_answered_is_aborted(
    stored_s3: StoreChain, begin: Callable[..., Upload]
) -> None:
    with pytest.raises(StorageError):
        begin("mine", fail)

    assert stored_s3.bucket.open_uploads() == stored_s3.bucket.names() == []


def test_clearing_up_after_such_a_kill_leaves_another_runs_upload_of_the_same_recording(
    stored_s3: StoreChain, begin: Callable[..., Upload]
) -> None:
    with pytest.raises(Killed):
        begin("mine", kill)
    theirs = begin("another", lambda: sweep(stored_s3, "mine"))
    assert len(stored_s3.bucket.open_uploads()) == 2, "neither can be told from the other yet"

    sweep(stored_s3, "mine")
    assert len(stored_s3.bucket.open_uploads()) == 1
    theirs.write(bytes(9 * MIB))
    theirs.publish()

    assert len(stored_s3.bucket.get("copies/p/video.mp4")) == 9 * MIB
    assert stored_s3.bucket.names() == ["copies/p/video.mp4"]


def test_an_upload_that_no_marker_stands_for_is_not_ours_to_abort(
    stored_s3: StoreChain, begin: Callable[..., Upload]
) -> None:
    with pytest.raises(Killed):
        begin("mine", kill)
    others = ["copies/p-other/video.mp4", "copies/p/deeper/video.mp4", "copies/p/video.mp4.bak"]
    for key in others:
        stored_s3.bucket.client.create_multipart_upload(Bucket=stored_s3.bucket.name, Key=key)

    sweep(stored_s3, "mine")

    assert sorted(stored_s3.bucket.open_uploads()) == others


def test_what_others_write_is_seen_at_once(stored: StoreChain) -> None:
    store, url = stored.store(), f"{stored.url}/p/note.json"
    assert store.list_names(f"{stored.url}/p") == []
    for text in (b'{"a": 1}', b'{"a": 22}'):
        stored.put("p", "note.json", text)
        assert store.list_names(f"{stored.url}/p") == ["note.json"]
        assert store.info(url).size == len(text)
        assert store.sha256(url)[1] == len(text)
        assert store.read_json(url)[0] is True
    stored.bucket.remove("copies/p/note.json")
    assert (store.info(url), store.sha256(url), store.read_json(url)) == (None, None, (False, None))
    assert store.list_names(f"{stored.url}/p") == []


def test_nothing_is_remembered_while_the_same_folder_is_listed(stored: StoreChain) -> None:
    store = stored.store()
    stored.put("p", "note.json", b"1")
    store.list_names(f"{stored.url}/p")

    if stored.bucket.kind != "s3":  # whose client knows no cache
        assert dict(getattr(store.fs.dircache, "_cache", {})) == {}
        assert list(store.fs.dircache) == []


def test_a_move_keeps_every_byte_and_frees_the_old_name(stored: StoreChain) -> None:
    stored.put("p", "a.mp4", bytes(range(256)) * 4096)

    stored.store().rename_no_replace(f"{stored.url}/p/a.mp4", f"{stored.url}/p/b.mp4")

    assert stored.bucket.names() == ["copies/p/b.mp4"]
    assert stored.get("p", "b.mp4") == bytes(range(256)) * 4096


# On SFTP a folder that is not there is made.
@pytest.mark.parametrize("bucket", ["s3", "azure", "gcs"], indirect=True)
def test_a_store_that_is_away_is_an_error_that_a_retry_may_mend(
    stored: StoreChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored.store()
    stored.bucket.put("copies/p/x", b"1")
    gone = open_store(stored.url.replace(stored.bucket.name, "no-such-bucket-here"))

    with pytest.raises(StorageError) as caught:
        gone.create_json(f"{stored.url.replace(stored.bucket.name, 'no-such-bucket-here')}/p/x.json", {})

    assert "clearing the task is safe" in str(caught.value)
    assert store.info(f"{stored.url}/p/x").size == 1


MEMORY = """
    import json, re, sys, time
    from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

    def download(package):
        task = IinkedDownloadVideosOperator(task_id="d" + package[:5], package_id=package, destination=sys.argv[1])
        began = time.monotonic()
        task.execute({})
        # Not ru_maxrss: that counts the process that started this one, too.
        rss = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
        return {"rss_mib": rss, "seconds": round(time.monotonic() - began, 2)}

    print(json.dumps([download(package) for package in sys.argv[2:]]), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_memory_does_not_grow_with_the_recording(stored: StoreChain, capsys: pytest.CaptureFixture[str]) -> None:
    # As many parts as are in flight at most. Two tasks in each process: the second one adds to the peak, whatever it
    # copies, so a process whose second recording is small is what the other one is compared with.
    first, again, small = (stored.package({"size": 96 * MIB})[0] for _ in range(3))
    large, (video,) = stored.package({"size": 256 * MIB})

    after_small, after_large = _peak_after(stored, first, small), _peak_after(stored, again, large)

    with capsys.disabled():
        print(f"\n{stored.bucket.kind}: after 96 MiB {after_small}, after 256 MiB {after_large}")
    assert stored.json(large, f"{video}.custody.json")["sha256"] == stored.sim.sha256(video)
    assert after_large["rss_mib"] - after_small["rss_mib"] < 32


def _peak_after(stored: StoreChain, *packages: str) -> dict[str, float]:
    """Peak memory of a process that downloads packages one after the other, and the seconds of the last one."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEMORY), stored.url, *packages],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    results = json.loads(next(line for line in process.stdout.splitlines() if line.startswith("[{")))
    return dict(results[-1])
