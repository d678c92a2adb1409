"""Google Cloud Storage: every write carries its condition on the wire, every name is literal."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage import gcs
from airflow_provider_iinked.storage.quarantine import quarantine
from tests.stores.store_chain import StoreChain

MIB = 1 << 20
SIZES = pytest.mark.parametrize("size", [3 * MIB, 20 * MIB], ids=["whole", "in chunks"])
pytestmark = pytest.mark.parametrize("bucket", ["gcs"], indirect=True)


def uploads(stored: StoreChain) -> list[Any]:
    return [
        each for each in stored.bucket.server.wire.log if each.path.startswith("/upload/") and each.method == "POST"
    ]


def write(stored: StoreChain, name: str, size: int) -> Any:
    upload = stored.store().upload(f"{stored.url}/{name}", size)
    for _ in range(size // MIB):
        upload.write(bytes(MIB))
    return upload


@SIZES
def test_a_copy_is_created_only_if_its_name_is_free(stored: StoreChain, size: int) -> None:
    write(stored, "p/v.mp4", size).publish()

    begun = [each for each in uploads(stored) if "upload_id" not in each.query]
    assert [each.generation_match for each in begun] == ["0"]


def test_a_record_is_created_only_if_its_name_is_free_and_a_receipt_is_replaced(stored: StoreChain) -> None:
    store = stored.store()
    store.create_json(f"{stored.url}/p/v.custody.json", {})
    store.replace_json(f"{stored.url}/p/v.deletion.json", {})

    assert [each.generation_match for each in uploads(stored)] == ["0", None]


@SIZES
def test_the_record_holds_the_generation_that_lies_there(stored: StoreChain, size: int) -> None:
    package, (video,) = stored.package({"meeting_video_id": "v", "size": size})
    stored.download(package)

    validator = stored.json(package, f"{video}.custody.json")["validator"]
    assert validator["version_id"] == str(stored.bucket.generation(f"copies/{package}/v.mp4"))


def test_a_name_with_pattern_characters_touches_no_other(stored: StoreChain) -> None:
    for folder in ("rec[12]", "rec1", "rec2"):
        stored.bucket.put(f"{folder}/p/v.mp4", folder.encode())
    url = stored.url.replace("/copies", "/rec[12]/p/v.mp4")
    store = stored.store()

    assert quarantine(store, url, "it is a test", seen=store.identity(url))

    names = stored.bucket.names()
    assert "rec[12]/p/v.mp4" not in names
    assert (
        stored.bucket.get(next(name for name in names if name.startswith("rec[12]/p/v.mp4.set-aside-"))) == b"rec[12]"
    )
    store.remove(url.replace("v.mp4", "v*.mp4"))
    assert [stored.bucket.get(f"rec{n}/p/v.mp4") for n in (1, 2)] == [b"rec1", b"rec2"]
    assert store.list_names(stored.url.replace("/copies", "/rec?/p")) == []


def test_a_rename_names_the_generations_that_it_expects(stored: StoreChain) -> None:
    stored.put("p", "v.mp4", b"stale")
    generation = str(stored.bucket.generation("copies/p/v.mp4"))

    stored.store().rename_no_replace(f"{stored.url}/p/v.mp4", f"{stored.url}/p/w.mp4")

    log = stored.bucket.server.wire.log
    (copied,) = [each for each in log if "/rewriteTo/" in each.path]
    (removed,) = [each for each in log if each.method == "DELETE"]
    assert (copied.query["ifGenerationMatch"], copied.query["ifSourceGenerationMatch"]) == ("0", generation)
    assert removed.query["ifGenerationMatch"] == generation
    assert stored.get("p", "w.mp4") == b"stale"


def test_nothing_is_removed_that_changed_while_it_was_copied(stored: StoreChain) -> None:
    stored.put("p", "v.mp4", b"stale")

    def overwrite(exchange: Any) -> None:
        if "/rewriteTo/" in exchange.path:
            stored.put("p", "v.mp4", b"newer")

    stored.bucket.server.wire.before.append(overwrite)
    with pytest.raises(StorageError):
        stored.store().rename_no_replace(f"{stored.url}/p/v.mp4", f"{stored.url}/p/w.mp4")
    stored.bucket.server.wire.before.clear()

    assert stored.get("p", "v.mp4") == b"newer"


@pytest.mark.parametrize(("status", "code"), [(401, "Unauthorized"), (403, "Forbidden")])
def test_an_error_names_the_stores_code(stored: StoreChain, status: int, code: str) -> None:
    store = stored.store()
    stored.bucket.server.wire.answer_next(lambda each: True, status, "refused", times=20)

    with pytest.raises(StorageError, match=code):
        store.create_json(f"{stored.url}/p/v.custody.json", {})


def test_a_failing_clean_up_of_one_recording_does_not_end_the_task(stored: StoreChain) -> None:
    package, (small, _) = stored.package({"meeting_video_id": "small"}, {"meeting_video_id": "large", "size": 20 * MIB})
    stored.bucket.server.wire.answer_next(
        lambda each: "large" in str(each.query) or "upload_id" in each.query, 403, "x", times=50
    )

    with pytest.raises(StorageError, match="large"):
        stored.download(package)

    assert stored.json(package, "small.custody.json")["sha256"] == stored.sim.sha256(small)


@SIZES
def test_bytes_that_were_damaged_on_their_way_are_not_kept(
    stored: StoreChain, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store computes the digest of what it has; here it has other bytes than the digest is made of."""
    package, (video,) = stored.package({"meeting_video_id": "v", "size": size})
    really = hashlib.md5
    monkeypatch.setattr(gcs, "hashlib", SimpleNamespace(md5=lambda data=b"", **more: really(b"other", **more)))

    with pytest.raises(StorageError, match="damaged on its way"):
        stored.download(package)
    assert stored.names(package) == []

    monkeypatch.setattr(gcs, "hashlib", hashlib)
    (copy,) = stored.download(package)
    assert copy["sha256"] == stored.sim.sha256(video)


@SIZES
@pytest.mark.parametrize("after", [False, True], ids=["before the act", "after the act"])
@pytest.mark.parametrize("step", ["/rewriteTo/", "DELETE", "/upload/"])
def test_an_answer_that_is_lost_costs_nothing(stored: StoreChain, size: int, step: str, after: bool) -> None:
    package, (video,) = stored.package({"meeting_video_id": "v", "size": size})
    stored.put(package, "v.mp4", b"stale")
    stored.bucket.server.wire.break_next(lambda each: step in f"{each.method} {each.path}", after=after)

    try:
        (copy,) = stored.download(package)
    except StorageError:
        (copy,) = stored.download(package)

    assert copy["sha256"] == stored.sim.sha256(video)
    names = stored.names(package)
    assert [name for name in names if "set-aside" not in name] == ["v.custody.json", "v.mp4"]
    assert {stored.get(package, name) for name in names if "set-aside" in name} == {b"stale"}


@SIZES
def test_two_writers_at_once_end_with_one_copy(stored: StoreChain, size: int, bucket: Callable[..., Any]) -> None:
    package, (video,) = stored.package({"meeting_video_id": "v", "size": size})
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(stored.download(package))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 2
    assert results[0] == results[1]
    assert results[0][0]["sha256"] == stored.sim.sha256(video)
    assert stored.names(package) == ["v.custody.json", "v.mp4"]
